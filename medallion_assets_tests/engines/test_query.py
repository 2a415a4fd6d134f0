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
}


def read(sql: str, *, doubles: bool = False) -> Query:
    return read_query(sql, {"orders": ORDERS}, schema="silver", where="marts/m/query.sql", doubles=doubles)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("now()", "CURRENT_TIMESTAMP: its value differs in every run"),
        ("localtimestamp", "its value differs in every run"),
        ("random()", "its value differs in every run"),
        ("uuid()", "its value differs in every run"),
        ("approx_distinct(order_id)", "ApproxDistinct is not known"),
        ("arbitrary(order_id)", "AnyValue is not known"),
        ("frobnicate(order_id)", "FROBNICATE(order_id): Anonymous is not known"),
        ("greatest(pieces, 1)", "Greatest is not known"),
        ("TRY_CAST(order_id AS bigint)", "TryCast is not known"),
        ("product_ids[1]", "Bracket is not known"),
        ("AVG(pieces)", 'AVG("orders"."pieces"): an average over INT is a double'),
        ("SUM(ratio)", "a sum over DOUBLE depends on the order of its rows"),
        ("ratio", '"orders"."ratio" AS "v" is a double'),
        ("amount * 1e0", "is a double"),
        ("CAST(amount AS double) / 3", "is a double"),
        ("CAST(amount AS real)", "not known to give the same result"),
        ("CAST(amount AS decimal)", "DECIMAL without digits"),
        ("DECIMAL '1.5'", "DECIMAL without digits"),
        ("CAST(order_id AS bigint)", "a cast of VARCHAR to BIGINT"),
        ("CAST(order_date AS varchar)", "a cast of TIMESTAMPTZ to VARCHAR"),
        ("wide * wide", "60 decimals, 38 is the most"),
        ("pieces / wide", "needs more than 38 digits on the way"),
        ("wide > CAST(1 AS decimal(38,0))", "no common type of 38 digits"),
        ("order_date > '2026-01-01'", "no common type"),
        ("order_id + 1", "arithmetic on VARCHAR"),
        ("amount || 'x'", "expected text"),
        ("order_date + INTERVAL '1' HOUR", "an interval of HOUR"),
        ("date_diff('month', current_date, current_date)", "expected date_diff('day', date, date)"),
        ("date_trunc('month', order_date)", "expected a date"),
        ("nothing", "Column 'nothing' could not be resolved"),
        ("_sequence_number", "could not be resolved"),
        ("address.Street", "has no field 'street'"),
        ("NULL", "its type is unknown"),
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
        ("SELECT 1 AS v FROM silver.orders LIMIT 1", "Limit is not known"),
        ("SELECT order_id FROM silver.orders UNION ALL SELECT order_id FROM silver.orders", "Union is not known"),
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
