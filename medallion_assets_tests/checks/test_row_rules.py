"""Row rules as SQL, compared with the same rules in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from medallion_assets.checks.row_rules import row_rules
from medallion_assets.lake import duck
from medallion_assets_tests.silver.changes import contract

BOUNDED = {
    "int": st.integers(-20, 20) | st.sampled_from([-(2**31), 2**31 - 1, Decimal("5.00")]),
    "bigint": st.integers(-20, 20) | st.sampled_from([-(2**63), 2**63 - 1]),
    "decimal(12,2)": st.decimals(-20, 20, places=2) | st.sampled_from([Decimal("9999999999.99"), Decimal("1.500")]),
    "decimal(38,0)": st.integers(-20, 20) | st.sampled_from([-(10**38) + 1, 10**38 - 1, Decimal("1E+37")]),
    "decimal(38,38)": st.decimals("-0.99", "0.99", places=38),
    "decimal(2,1)": st.decimals("-9.9", "9.9", places=1),
}
"""Bounds that are values of each type."""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.connect() as opened:
        yield opened


def broken(connection: duckdb.DuckDBPyConnection, type_: str, rule: dict[str, Any], values: list[Any]) -> list[bool]:
    """For each value, whether it breaks the rule."""
    wanted = contract("Things", {"Id": "string", "V": {"type": type_, "rules": [rule]}}, key="Id")
    (compiled,) = row_rules(wanted, rule.get("severity", "block"))
    rows = pa.table({"n": range(len(values)), "v": pa.array(values, wanted.by_name["v"].type.arrow())})
    connection.register("rows", rows)
    found = connection.execute(f"SELECT {compiled.breaks} FROM rows ORDER BY n").fetchall()
    return [one for (one,) in found]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(["min", "max"]),
    typed=st.sampled_from(sorted(BOUNDED)).flatmap(lambda type_: st.tuples(st.just(type_), BOUNDED[type_])),
    units=st.lists(st.one_of(st.none(), st.integers(-99, 99)), min_size=1, max_size=5),
)
def test_a_bound_is_compared_exactly_whatever_its_digits(
    connection: duckdb.DuckDBPyConnection, kind: str, typed: tuple[str, Any], units: list[int | None]
) -> None:
    type_, bound = typed
    scale = int(match[1]) if (match := re.search(r",(\d+)", type_)) else 0
    values = [None if unit is None else Decimal(unit).scaleb(-scale) if "decimal" in type_ else unit for unit in units]
    below = [value is not None and (value < bound if kind == "min" else value > bound) for value in values]
    assert broken(connection, type_, {kind: bound}, values) == below


@pytest.mark.parametrize(
    ("type_", "rule", "values", "expected"),
    [
        ("string", {"required": True}, ["", None], [False, True]),
        ("list<string>", {"required": True}, [[], None], [False, True]),
        ("string", {"values": ["a", "it's"]}, ["a", "it's", "b", None], [False, False, True, False]),
        ("int", {"values": [1, Decimal("3.0")]}, [1, 2, 3], [False, True, False]),
        ("decimal(4,2)", {"values": [Decimal("1.50")]}, [Decimal("1.5"), Decimal("1.51")], [False, True]),
        ("bool", {"values": [True]}, [True, False, None], [False, True, False]),
        ("string", {"pattern": "[a-z]+'?"}, ["abc'", "abc1", "", None], [False, True, True, False]),
        ("string", {"min": "b"}, ["a", "b"], [True, False]),
        ("double", {"max": Decimal("0.1")}, [0.1, 0.2], [False, True]),
        ("date", {"min": date(2000, 1, 1)}, [date(1999, 12, 31), date(2000, 1, 1)], [True, False]),
        (
            "timestamp",
            {"max": date(2000, 1, 1)},
            [datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)],
            [False, True],
        ),
        (
            "timestamp",
            {"min": datetime.fromisoformat("2000-01-01T02:00:00+02:00"), "severity": "warn"},
            [datetime(1999, 12, 31, 23, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)],
            [True, False],
        ),
    ],
)
def test_a_rule_breaks_what_it_should(
    connection: duckdb.DuckDBPyConnection, type_: str, rule: dict[str, Any], values: list[Any], expected: list[bool]
) -> None:
    assert broken(connection, type_, rule, values) == expected


def test_a_pattern_means_the_same_in_no_other_engine() -> None:
    rules = [{"pattern": "a"}, {"required": True}, {"values": ["a"]}]
    wanted = contract("Things", {"Id": "string", "V": {"type": "string", "rules": rules}}, key="Id")
    assert [rule.portable for rule in row_rules(wanted, "block")] == [False, True, True]


def test_a_reference_is_no_row_rule() -> None:
    wanted = contract(
        "Things", {"Id": "string", "V": {"type": "string", "rules": [{"references": "others"}]}}, key="Id"
    )
    assert row_rules(wanted, "block") == row_rules(wanted, "warn") == ()


ALPHABET = st.sampled_from("ab019.-+*?()[]{}|^$\\\\'\"/ \n\té\0dwsbpPQEz,:=!<>")
WRITTEN = st.one_of(
    st.text(ALPHABET, max_size=12),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.decimals(),
    st.booleans(),
    st.dates().map(date.isoformat),
    st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat),
    st.sampled_from(["0001-01-01", "9999-12-31", "2026-02-30", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00+01:00"]),
)
TYPES = ["string", "bool", "int", "bigint", "decimal(12,2)", "decimal(38,38)", "double", "date", "timestamp", "binary"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    type_=st.sampled_from([*TYPES, "json", "list<string>", "set<int>", "map<bool>", "struct<A:int>"]),
    kind=st.sampled_from(["values", "min", "max", "pattern"]),
    written=st.lists(WRITTEN, min_size=1, max_size=3),
)
def test_a_rule_that_passes_the_load_never_fails_over_rows(
    connection: duckdb.DuckDBPyConnection, type_: str, kind: str, written: list[Any]
) -> None:
    rule = {kind: written if kind == "values" else written[0]}
    try:
        wanted = contract("Things", {"Id": "string", "V": {"type": type_, "rules": [rule]}}, key="Id")
    except ValidationError:
        return
    (compiled,) = row_rules(wanted, "block")
    connection.register("rows", pa.table({"v": pa.array([None, None], wanted.by_name["v"].type.arrow())}))
    assert connection.execute(f"SELECT {compiled.breaks} FROM rows").fetchall() == [(False,), (False,)]
