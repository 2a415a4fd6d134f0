"""Decimals by Trino's rules, to the last digit, on DuckDB."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.embedded import Embedded
from medallion_assets.engines.exact import macros_of
from medallion_assets.engines.query import read_query
from medallion_assets.errors import MartError

EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
TODAY = date(2026, 3, 15)


def half_up(numerator: Decimal, denominator: Decimal, scale: int) -> Decimal:
    return EXACT.divide(numerator, denominator).quantize(Decimal(1).scaleb(-scale), context=EXACT)


def run(
    session: Embedded, select: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    """The rows of `SELECT select FROM` a table of these columns."""
    types = {name: parse_type(text) for name, text in columns.items()}
    return compute(session, f"SELECT {select} FROM silver.t", types, rows)


def compute(
    session: Embedded, sql: str, types: dict[str, ColumnType], rows: Sequence[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    arrays = {
        name: pa.array([row[at] for row in rows], type_.arrow()) for at, (name, type_) in enumerate(types.items())
    }
    session.show_rows("silver", "t", pa.table(arrays))
    query = read_query(sql, {"t": types}, where="query.sql")
    result: list[dict[str, Any]] = session.compute(query, today=TODAY).to_pylist()
    return result


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    limit = 10**precision - 1
    return st.integers(-limit, limit).map(lambda digits: EXACT.scaleb(Decimal(digits), -scale))


@st.composite
def averaged(draw: st.DrawFn) -> tuple[int, int, list[Decimal]]:
    precision = draw(st.integers(1, 37))
    scale = draw(st.integers(0, precision))
    return precision, scale, draw(st.lists(decimals(precision, scale), min_size=1, max_size=9))


@given(averaged())
@settings(max_examples=60, deadline=None)
def test_an_average_is_the_exact_one_rounded_half_up(session: Embedded, case: tuple[int, int, list[Decimal]]) -> None:
    precision, scale, values = case
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, value)
    ((row),) = run(session, "AVG(v) AS a", {"v": f"decimal({precision},{scale})"}, [(value,) for value in values])
    assert row["a"] == half_up(total, Decimal(len(values)), scale)


@st.composite
def divided(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], Decimal, Decimal]:
    """A dividend and a divisor whose quotient has at most 38 digits by Trino's rule."""
    p1 = draw(st.integers(1, 30))
    s1 = draw(st.integers(0, p1))
    p2 = draw(st.integers(1, 38))
    s2 = draw(st.integers(0, min(p2, (38 - p1 + s1) // 2 if s1 < 38 - p1 else 38 - p1)))
    a = draw(decimals(p1, s1))
    b = draw(decimals(p2, s2).filter(bool))
    return (p1, s1), (p2, s2), a, b


@given(divided())
@settings(max_examples=60, deadline=None)
def test_a_quotient_has_the_larger_scale_and_is_rounded_half_up(
    session: Embedded, case: tuple[tuple[int, int], tuple[int, int], Decimal, Decimal]
) -> None:
    (p1, s1), (p2, s2), a, b = case
    columns = {"a": f"decimal({p1},{s1})", "b": f"decimal({p2},{s2})"}
    ((row),) = run(session, "a / b AS q", columns, [(a, b)])
    assert row["q"] == half_up(a, b, max(s1, s2))


@pytest.mark.parametrize(
    ("values", "average"),
    [
        (["0.01", "0.02"], "0.02"),
        (["-0.01", "-0.02"], "-0.02"),
        (["0.01", "0.01", "0.02"], "0.01"),
        (["999999999999999999999999999999999999.99"], "999999999999999999999999999999999999.99"),
        (["0.1", "0.2", None], "0.15"),
        ([None], None),
        ([], None),
    ],
)
def test_averages_of_halves_nulls_nothing_and_38_digits(
    session: Embedded, values: list[str | None], average: str | None
) -> None:
    rows = [(None if value is None else Decimal(value),) for value in values]
    ((row),) = run(session, "AVG(v) AS a", {"v": "decimal(38,2)"}, rows)
    assert row["a"] == (None if average is None else Decimal(average))


def test_an_average_keeps_its_distinct_filter_and_window(session: Embedded) -> None:
    columns = {"g": "int", "v": "decimal(5,1)"}
    rows = [(1, Decimal("1.0")), (1, Decimal("1.0")), (1, Decimal("2.1")), (2, Decimal("5.0"))]
    select = "AVG(DISTINCT v) AS d, AVG(v) FILTER (WHERE g = 1) AS f, AVG(v) FILTER (WHERE g = 3) AS n"
    ((row),) = run(session, select, columns, rows)
    assert row == {"d": Decimal("2.7"), "f": Decimal("1.4"), "n": None}
    over = run(session, "g, AVG(v) OVER (PARTITION BY g) AS w", columns, rows)
    assert {(one["g"], one["w"]) for one in over} == {(1, Decimal("1.4")), (2, Decimal("5.0"))}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("n / 2", 4503599627370496),
        ("n % 10", 3),
        ("-7 % 4", -3),
        ("d / 3", Decimal("0.33")),
        ("d * d", Decimal("1.0000")),
        ("d + 1", Decimal("2.00")),
        ("1 - d", Decimal("0.00")),
        ("d % 0.3", Decimal("0.10")),
        ("SUM(d) / COUNT(*)", Decimal("1.00")),
        ("ROUND(d / 3, 1)", Decimal("0.3")),
        ("ROUND(-2.5)", Decimal("-3")),
        ("CAST(2.345 AS decimal(5,2))", Decimal("2.35")),
        ("CAST(-2.5 AS bigint)", -3),
        ("COALESCE(NULL, d, 0)", Decimal("1.00")),
        ("CASE WHEN d > 0.999 THEN 1 ELSE d END", Decimal("1.00")),
        ("IF(d = 1, d, 0)", Decimal("1.00")),
        ("NULLIF(d, 1)", None),
        ("d IN (1, 2.5)", True),
        ("d BETWEEN 0.5 AND 1", True),
        ("SUM(n)", 9007199254740993),
        ("COUNT_IF(d = 1)", 1),
        ("current_date - INTERVAL '1' MONTH", date(2026, 2, 15)),
        ("date_add('day', -15, current_date)", date(2026, 2, 28)),
        ("date_trunc('month', current_date)", date(2026, 3, 1)),
        ("date_diff('day', DATE '2026-02-28', current_date)", 15),
        ("year(current_date) * 100 + month(current_date)", 202603),
        ("EXTRACT(DAY FROM current_date)", 15),
        ("cardinality(l)", 2),
        ("sqrt(-d) > 1", False),
        ("sqrt(-d) <> sqrt(-d)", True),
        ("sqrt(-d) BETWEEN 0 AND 1e300", False),
        ("sqrt(d) = 1 AND sqrt(d) <= 1e0", True),
        ("CAST(CAST(0.125 AS decimal(3,3)) AS varchar)", "0.125"),
        ("CAST(CAST(-0.125 AS decimal(3,3)) AS varchar)", "-0.125"),
        ("CAST(d - 1 AS varchar)", "0.00"),
        ("CAST(-d AS varchar)", "-1.00"),
        ("CAST(current_date AS varchar)", "2026-03-15"),
        (
            "CAST(TIMESTAMP '2026-03-29 01:00:00.120 UTC' AT TIME ZONE 'Europe/Berlin' AS varchar)",
            "2026-03-29 03:00:00.120 Europe/Berlin",
        ),
        ("hour(TIMESTAMP '2026-10-25 01:30:00 UTC' AT TIME ZONE 'Europe/Berlin')", 2),
        ("CAST(TIMESTAMP '2026-03-14 23:30:00 UTC' AT TIME ZONE 'Europe/Berlin' AS date)", date(2026, 3, 15)),
        ("date_diff('month', DATE '2026-01-31', DATE '2026-02-28')", 1),
        ("TRY_CAST(' 12 ' AS bigint)", 12),
        ("TRY_CAST(' 12 ' AS decimal(5,2))", None),
        ("TRY_CAST(d * 1000 AS decimal(5,2)) > 3", None),
        ("substr('abc', 0)", ""),
        ("upper('straße')", "STRAßE"),
        ("json_extract_scalar('{\"a\":1.10}', '$.a')", "1.10"),
        ("contains(ARRAY[1, NULL], 2)", None),
        ("999999999.99 * 99999999999.99", Decimal("99999999998990000000.0001")),
        ("lower('ÄB') || upper('c')", "äbC"),
        ("length('äb')", 2),
    ],
)
def test_expressions_have_trinos_value(session: Embedded, expression: str, result: object) -> None:
    columns = {"n": "bigint", "d": "decimal(12,2)", "l": "list<string>"}
    aggregates = ("SUM", "COUNT_IF")
    group = "" if expression.startswith(aggregates) else " GROUP BY n, d, l"
    types = {name: parse_type(text) for name, text in columns.items()}
    rows = [(9007199254740993, Decimal("1.00"), ["a", "b"])]
    ((row),) = compute(session, f"SELECT {expression} AS v FROM silver.t{group}", types, rows)
    assert row["v"] == result
    assert type(row["v"]) is type(result)


@pytest.mark.parametrize("expression", ["d / 0", "1 / z", "1 % z", "d % z"])
def test_a_division_by_zero_is_an_error_as_in_trino(session: Embedded, expression: str) -> None:
    with pytest.raises(MartError, match="Division by zero"):
        run(session, f"{expression} AS v", {"d": "decimal(4,2)", "z": "int"}, [(Decimal(1), 0)])


def test_a_sum_beyond_38_digits_is_an_error_and_not_another_number(session: Embedded) -> None:
    with pytest.raises(MartError, match="cannot be run"):
        run(session, "SUM(v) AS s", {"v": "decimal(38,0)"}, [(Decimal("9" * 38),)] * 2)


EXPRESSIONS = [
    "AVG(d)",
    "AVG(d) FILTER (WHERE n > 1)",
    "SUM(d) / COUNT(*)",
    "SUM(d * n) / 7",
    "COUNT(*) / 2",
    "ROUND(AVG(d) * 1.19, 1)",
    "COALESCE(SUM(d), 0) - 0.5",
    "SUM(n) % 7",
    "MAX(d) / MIN(d)",
    "date_diff('day', current_date, current_date)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_duckdb_plans_no_floating_point_anywhere(expression: str) -> None:
    types = {"n": parse_type("bigint"), "d": parse_type("decimal(12,2)")}
    query = read_query(f"SELECT {expression} AS v FROM silver.t", {"t": types}, where="query.sql")
    assert not plans_floating_point(query.duckdb(TODAY))


def test_the_plan_of_duckdbs_own_average_has_floating_point() -> None:
    """The guard above can fail."""
    assert plans_floating_point("SELECT AVG(d) AS v FROM silver.t")


def plans_floating_point(sql: str) -> bool:
    with duckdb.connect() as connection:
        macros = "".join(macros_of(sql).values())
        connection.execute(f"{macros} CREATE SCHEMA silver; CREATE TABLE silver.t (n BIGINT, d DECIMAL(12,2))")
        ((text,),) = connection.execute("SELECT json_serialize_plan(?)", [sql]).fetchall()
        plan = json.loads(text)
        assert plan["error"] is False, plan
        return '"DOUBLE"' in text or '"FLOAT"' in text
