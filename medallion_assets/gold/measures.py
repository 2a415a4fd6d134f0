"""What the columns of a mart are to somebody who looks at it: the day, dimensions, measures, and which of them add up.

Belongs here: what mart.yaml and the SELECT say of a column's part. Does not belong here: how it is shown (grafana).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from medallion_assets.gold.spec import Mart

_NUMBERS: Final = frozenset({"int", "bigint", "decimal", "double"})
_WRAPPERS: Final = (exp.Alias, exp.Cast, exp.Coalesce, exp.Paren, exp.Filter)
_SUMS: Final = (exp.Sum, exp.Count, exp.CountIf)


def day(mart: Mart) -> str | None:
    """Return the column with the day of a mart that is refreshed by days; None for any other."""
    return mart.spec.partition.column if mart.is_daily and mart.spec.partition is not None else None


def dimensions(mart: Mart) -> Sequence[str]:
    """Return the columns that make a row unique, without the day."""
    return [name for name in mart.spec.grain if name != day(mart)]


def measures(mart: Mart) -> Sequence[str]:
    """Return the columns with numbers that are no dimensions, in the mart's order."""
    return [
        name for name, column in mart.columns.items() if column.type.kind in _NUMBERS and name not in mart.spec.grain
    ]


def adds_up(mart: Mart, column: str) -> bool:
    """Return whether the sum of the column over rows means something: its SELECT gives a SUM or a COUNT, not DISTINCT.

    False where the SELECT does not say it, for example for an average or a column of a common table expression.
    """
    query = mart.query.typed
    if not isinstance(query, exp.Select):
        return False
    part: exp.Expr | None = next((one for one in query.selects if one.alias_or_name == column), None)
    while part is not None and (isinstance(part, _WRAPPERS) or _is_scaled(part)):
        part = part.this
    return isinstance(part, _SUMS) and part.find(exp.Distinct) is None


def _is_scaled(part: exp.Expr) -> bool:
    """Return whether it is something multiplied with or divided by a literal, such as pennies / 100."""
    if not isinstance(part, exp.Mul | exp.Div):
        return False
    factor = part.expression
    while isinstance(factor, exp.Cast | exp.Paren):
        factor = factor.this
    return isinstance(factor, exp.Literal)


def has_one_row(mart: Mart) -> bool:
    """Return whether the SELECT aggregates without groups, so that the mart has one row."""
    query = mart.query.typed
    if not isinstance(query, exp.Select) or query.args.get("group") is not None:
        return False
    return any(one.find(exp.AggFunc) is not None and one.find(exp.Window) is None for one in query.selects)
