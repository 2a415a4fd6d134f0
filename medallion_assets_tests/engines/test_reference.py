"""docs/reference/mart.md lists what a mart's SQL may say: every example is admitted, every expression has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from medallion_assets.engines.query import read_query
from medallion_assets.engines.trino import EXPRESSIONS, FUNCTIONS
from medallion_assets.errors import MartError
from medallion_assets_tests.engines.differential.edges import COLUMNS, KEYS

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mart.md"
_SHOWN_ELSEWHERE = {exp.DateTrunc, exp.Unnest, exp.Dot}
"""What stands in FROM, and classes that sqlglot makes later or of other dialects."""


def examples() -> list[str]:
    """The expressions in the table of what is allowed."""
    text = _PAGE.read_text(encoding="utf-8")
    table = text[text.index("| about | expressions |") : text.index("The best-known expressions that are refused")]
    return [one.replace("\\|", "|") for one in re.findall(r"`([^`]+)`", table)]


@pytest.mark.parametrize("expression", examples())
def test_an_example_of_the_reference_is_admitted(expression: str) -> None:
    group = "" if "OVER" in expression else " GROUP BY g" if _is_aggregate(expression) else ""
    sql = f"SELECT {expression} AS v FROM silver.t{group}"
    read_query(sql, {"t": COLUMNS}, where="docs/reference/mart.md", keys=KEYS)


def _is_aggregate(expression: str) -> bool:
    tree = sqlglot.parse_one(expression, dialect="trino")
    functions = (exp.AggFunc, exp.CountIf, exp.LogicalAnd, exp.LogicalOr, exp.Grouping)
    return any(not node.find_ancestor(exp.Subquery) for node in tree.find_all(*functions)) or "every(" in expression


def test_every_expression_of_the_list_has_an_example() -> None:
    shown: set[type[exp.Expr]] = set()
    named = set()
    for example in examples():
        for node in sqlglot.parse_one(f"SELECT {example} AS v", dialect="trino").walk():
            shown.add(type(node))
            if isinstance(node, exp.Anonymous):
                named.add(node.name.lower())
    missing = {kind.__name__ for kind in EXPRESSIONS.keys() - shown - _SHOWN_ELSEWHERE}
    assert not missing
    assert set(FUNCTIONS) <= named


@pytest.mark.parametrize(
    "function", ["approx_distinct(s)", "arbitrary(s)", "stddev(d)", "ln(d)", "map_keys(m)", "try(i)"]
)
def test_the_best_known_others_are_refused(function: str) -> None:
    with pytest.raises(MartError):
        read_query(f"SELECT {function} AS v FROM silver.t", {"t": COLUMNS}, where="q", keys=KEYS)
