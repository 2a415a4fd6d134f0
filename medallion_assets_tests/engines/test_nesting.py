"""SQL of any depth is read or refused with a sentence, never with a RecursionError."""

from __future__ import annotations

from datetime import date

import pytest

from medallion_assets.contracts.types import parse_type
from medallion_assets.engines.condition import read_condition
from medallion_assets.engines.query import read_any, read_query
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import MartError

BIGINT = parse_type("bigint")


def nested(kind: str, depth: int) -> str:
    """A query that nests one construct."""
    opened, closed = {
        "brackets": ("(", ")"),
        "calls": ("abs(", ")"),
        "cases": ("CASE WHEN a = 1 THEN 1 ELSE ", " END"),
    }.get(kind, ("", ""))
    if kind == "subqueries":
        return "SELECT a FROM " + "(SELECT a FROM " * depth + "silver.t" + ") AS x" * depth
    if kind == "sum":
        return f"SELECT {' + '.join(['a'] * depth)} AS a FROM silver.t"
    if kind == "conditions":
        return f"SELECT a FROM silver.t WHERE {' AND '.join(['a = 1'] * depth)}"
    return f"SELECT {opened * depth}a{closed * depth} AS a FROM silver.t"


@pytest.mark.parametrize(
    "kind",
    [
        *("brackets", "calls", "cases", "subqueries"),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sum", "conditions")),
    ],
)
def test_a_query_is_read_or_refused_whatever_its_depth(kind: str) -> None:
    tables = {"t": {"a": BIGINT}}
    assert read_query(nested(kind, 15), tables, where="query.sql").duckdb(date(2026, 1, 1))
    refusals = []
    for strict in (True, False):
        try:
            if strict:
                query = read_query(nested(kind, 3000), tables, where="query.sql")
            else:
                query = read_any(nested(kind, 3000), {"silver": {"t": {"a": trino_type(BIGINT)}}})
            query.duckdb(date(2026, 1, 1))
        except MartError as refused:
            refusals.append(str(refused))
    assert all("inside each other" in told or "too many terms" in told for told in refusals)
    assert len(refusals) == 2 or kind in {"sum", "conditions"}


@pytest.mark.parametrize(
    "text", ["(" * 3000 + "a = 1" + ")" * 3000, "NOT " * 3000 + "a = 1", " OR ".join(["a = 1"] * 3000)]
)
def test_a_condition_is_read_or_refused_whatever_its_depth(text: str) -> None:
    try:
        read_condition(text, ["a"])
    except MartError as refused:
        assert "inside each other" in str(refused) or "too many terms" in str(refused)
