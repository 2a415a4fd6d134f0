"""What a mart's SQL may say, and how a mistake is named."""

from __future__ import annotations

from datetime import date

import pytest

from medallion_assets.contracts.types import parse_type
from medallion_assets.engines.query import Query, read_any, read_query
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import MartError

ORDERS = {
    "order_id": parse_type("string"),
    "order_date": parse_type("timestamp"),
    "amount": parse_type("decimal(12,2)"),
    "wide": parse_type("decimal(38,30)"),
    "pieces": parse_type("int"),
    "ratio": parse_type("double"),
    "product_ids": parse_type("list<string>"),
    "address": parse_type("struct<City:string>"),
    "counts": parse_type("map<int>"),
}


def read(sql: str, *, doubles: bool = False) -> Query:
    keys = {"orders": ["order_id"]}
    return read_query(sql, {"orders": ORDERS}, where="marts/m/query.sql", doubles=doubles, keys=keys)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("now()", "CURRENT_TIMESTAMP: its value differs in every run"),
        ("localtimestamp", "its value differs in every run"),
        ("random()", "its value differs in every run"),
        ("uuid()", "its value differs in every run"),
        ("approx_distinct(order_id)", "use count(DISTINCT ...)"),
        ("arbitrary(order_id)", "use min, max or min_by with a key"),
        ("frobnicate(order_id)", "FROBNICATE(order_id): the function frobnicate is not known"),
        ("bitwise_and(pieces, 1)", "BitwiseAnd is not known to give the same result"),
        ("SUM(ratio)", "a sum over double depends on the order of its rows"),
        ("AVG(ratio)", "an average over double depends on the order of its rows"),
        ("AVG(pieces)", "is a double; CAST it to a decimal"),
        ("ratio", '"orders"."ratio" AS "v" is a double'),
        ("amount * 1e0", "is a double"),
        ("round(ratio, 1)", "CAST it to a decimal first"),
        ("CAST(wide AS double) / 3", "more digits than a double"),
        ("CAST(amount AS real)", "not known to give the same result"),
        ("CAST(amount AS decimal)", "DECIMAL without digits"),
        ("CAST(ratio AS varchar)", "CAST it to a decimal first"),
        ("CAST(order_id AS varchar(3))", "use substr"),
        ("CAST(order_id AS timestamp with time zone)", "use from_iso8601_timestamp"),
        ("CAST(order_date AS timestamp)", "is a timestamp(3) without time zone"),
        ("wide * wide", "60 decimals, 38 is the most"),
        ("pieces / wide", "needs more than 38 digits on the way"),
        ("wide > CAST(1 AS decimal(38,0))", "no common type of 38 digits"),
        ("order_date > '2026-01-01'", "no common type"),
        ("order_id + 1", "arithmetic on varchar"),
        ("amount || 'x'", "expected text"),
        ("order_date - order_date", "expected date_diff("),
        ("current_date + INTERVAL '1' HOUR", "hours added to a date"),
        ("order_date + INTERVAL '1' WEEK", "a week is INTERVAL '7' DAY"),
        ("order_date + INTERVAL '1.5' DAY", "expected a whole number in the interval"),
        ("date_trunc('fortnight', order_date)", "expected one of day, week, month"),
        ("date_trunc('hour', current_date)", "the unit 'hour' of date"),
        ("hour(current_date)", "the hour of a date; expected a timestamp"),
        ("order_date AT TIME ZONE 'Berlin'", "'Berlin' is not the name of a time zone"),
        ("order_date AT TIME ZONE order_id", "expected the name of a time zone as a literal"),
        ("COALESCE(order_date AT TIME ZONE 'Europe/Berlin', order_date)", "are of two time zones"),
        ("CAST(from_iso8601_timestamp(order_id) AS date)", "write AT TIME ZONE"),
        ("date_diff('day', order_date AT TIME ZONE 'Europe/Berlin', order_date)", "date_diff of CAST(... AS date)"),
        ("date_format(order_date, '%Y-%B')", "has '%B', which Trino does not know"),
        ("from_unixtime(ratio)", "expected a whole number of seconds"),
        ("substr(order_id, order_id)", "expected a whole number"),
        ("split_part(order_id, order_id, 1)", "expected a literal that is not empty as the delimiter"),
        ("replace(order_id, '', 'x')", "expected a literal that is not empty as what is replaced"),
        ("regexp_like(order_id, '(?i)a')", "is not the same in both engines"),
        ("regexp_like(order_id, 'a++')", "is not the same in both engines"),
        ("regexp_like(order_id, '^a|b')", "put the alternatives into a group"),
        ("regexp_like(order_id, '(a')", "a group that is not closed"),
        ("regexp_extract(order_id, '(a)?b', 1)", "need not take part in a match"),
        ("regexp_extract(order_id, 'a', 1)", "group 1 of a pattern with 0"),
        ("regexp_replace(order_id, 'x*', '')", "matches the empty text"),
        ("regexp_replace(order_id, 'x', '$1')", "the replacement has '$1'"),
        ("product_ids[pieces + 1]", "element_at(list, expression)"),
        ("map_keys(counts)", "UNNEST(map)"),
        ("json_extract(order_id, '$.a')", "json_extract_scalar for each value"),
        ("json_extract_scalar(order_id, order_id)", "expected a literal path"),
        ("array_agg(order_id)", "array_agg(value ORDER BY ...)"),
        ("max_by(order_id, order_date)", 'compare ROW(<value>, "orders"."order_id")'),
        ("row_number() OVER (ORDER BY order_date)", 'add "orders"."order_id" to ORDER BY'),
        ("SUM(pieces) FILTER (WHERE pieces > 1) OVER ()", "write CASE WHEN"),
        ("power(amount, 2)", "multiply: x * x"),
        ("TRY(pieces / 0)", "use TRY_CAST, or NULLIF"),
        ("(order_id, pieces) IN (('a', 1))", "its type is unknown"),
        ("NOT pieces", "expected a condition"),
        ("nothing", "Column 'nothing' could not be resolved"),
        ("_sequence_number", "could not be resolved"),
        ("address.Street", "has no field 'street'"),
        ("NULL", "its type is unknown"),
        ("12345678901234567890", "a number beyond 63 bits"),
    ],
)
def test_an_expression_that_is_not_exact_everywhere_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(MartError) as refused:
        read(f"SELECT {expression} AS v FROM silver.orders")
    assert str(refused.value).startswith("marts/m/query.sql: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM silver.customers", "no such table; expected one of silver.orders"),
        ("SELECT * FROM orders", "no such table"),
        ("SELECT * FROM gold.orders", "no such table"),
        ("SELECT * FROM other.silver.orders", "no such table"),
        ("SELECT * FROM read_csv('/etc/passwd')", "no such table"),
        ('SELECT * FROM "/etc/passwd"', "no such table"),
        ("SELECT 1 AS v FROM silver.orders LIMIT 1", 'add "orders"."order_id" to ORDER BY'),
        ("SELECT order_id FROM silver.orders UNION ALL SELECT pieces FROM silver.orders", "have no common type"),
        ("SELECT order_id FROM silver.orders UNION ALL SELECT 'a', 'b'", "have 1 and 2 columns"),
        ("SELECT x FROM (VALUES (1), ('a')) AS t (x)", "have no common type"),
        ("SELECT p FROM silver.orders CROSS JOIN UNNEST(counts) AS t (p)", "UNNEST gives 2 columns"),
        ("SELECT k FROM silver.orders CROSS JOIN UNNEST(counts) WITH ORDINALITY AS t (k, v, n)", "a map has no order"),
        ("SELECT 1 AS v FROM silver.orders QUALIFY row_number() OVER () = 1", "which has no QUALIFY"),
        ("WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n FROM x) SELECT n FROM x", "WITH RECURSIVE"),
        ("SELECT pieces AS v FROM silver.orders FOR VERSION AS OF 'day-2026-01-31'", "VERSION AS OF"),
        ("SELECT sum(pieces) OVER w AS v FROM silver.orders WINDOW w AS (ORDER BY pieces)", "OVER (...) in full"),
        ("SELECT order_id FROM silver.orders ORDER BY order_id FETCH FIRST 1 ROWS WITH TIES", "for ties use rank()"),
        ("SELECT order_id FROM", "not readable as Trino's SQL"),
        ("DELETE FROM silver.orders", "expected one SELECT"),
        ("SELECT 1 AS v FROM silver.orders; SELECT 2 AS v", "expected one SELECT"),
        ("", "expected one SELECT"),
        ("SELECT order_id AS v FROM silver.orders WHERE v = 'x'", "Column 'v' could not be resolved"),
    ],
)
def test_a_query_that_is_not_one_select_over_the_tables_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(MartError) as refused:
        read(sql)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("SUM(amount)", "decimal(38,2)"),
        ("AVG(amount)", "decimal(12,2)"),
        ("MAX(amount) + 1", "decimal(13,2)"),
        ("MAX(amount) * 2", "decimal(22,2)"),
        ("MAX(amount) / 3", "decimal(12,2)"),
        ("MAX(amount) % 3", "decimal(12,2)"),
        ("MAX(amount) - 0.125", "decimal(14,3)"),
        ("SUM(pieces)", "bigint"),
        ("MAX(pieces) + 1", "int"),
        ("COUNT(*)", "bigint"),
        ("MIN(CAST(order_date AS DATE))", "date"),
        ("MAX(order_date)", "timestamp"),
        ("COALESCE(MAX(address.City), 'none')", "string"),
        ("COUNT(*) > 1", "bool"),
        ("date_trunc('hour', MAX(order_date) AT TIME ZONE 'Europe/Berlin')", "timestamp"),
        ("from_unixtime(COUNT(*))", "timestamp"),
        ("CAST(AVG(pieces) AS decimal(10,2))", "decimal(10,2)"),
        ("array_agg(order_id ORDER BY order_id)", "list<string>"),
    ],
)
def test_an_output_column_has_trinos_type(expression: str, type_: str) -> None:
    assert read(f"SELECT {expression} AS v FROM silver.orders").columns == {"v": trino_type(parse_type(type_))}


def test_a_mart_that_asks_for_doubles_may_use_them_but_not_add_them_up() -> None:
    assert read("SELECT MAX(ratio) * 2e0 AS v FROM silver.orders", doubles=True)
    with pytest.raises(MartError, match="depends on the order"):
        read("SELECT SUM(ratio) AS v FROM silver.orders", doubles=True)


def test_the_day_is_pinned_and_known() -> None:
    query = read("SELECT COUNT(*) AS v FROM silver.orders WHERE CAST(order_date AS DATE) = current_date")
    assert query.uses_current_date
    assert "CAST('2026-03-15' AS DATE)" in query.duckdb(date(2026, 3, 15))
    assert not read("SELECT COUNT(*) AS v FROM silver.orders").uses_current_date


def test_the_tables_a_query_reads_are_known_but_not_its_own_names() -> None:
    assert read("WITH x AS (SELECT order_id FROM silver.orders) SELECT order_id FROM x").tables == ("orders",)


def test_a_readers_query_may_say_more_but_reads_only_the_tables_shown() -> None:
    tables = {"silver": {"orders": {name: trino_type(kind) for name, kind in ORDERS.items()}}}
    assert read_any("SELECT AVG(pieces), now() FROM silver.orders LIMIT 1", tables)
    for source in (
        "read_text('/etc/passwd')",
        '"/etc/passwd"',
        "duckdb_secrets()",
        "silver.other",
        "query('SELECT 1')",
    ):
        with pytest.raises(MartError, match="no such table"):
            read_any(f"SELECT * FROM {source}", tables)
    for statement in (
        "COPY silver.orders TO 'x'",
        "ATTACH 'x'",
        "SET x = 1",
        "CREATE TABLE x AS SELECT 1",
        "INSTALL x",
    ):
        with pytest.raises(MartError, match=r"expected one SELECT|not readable"):
            read_any(statement, tables)
