"""Conditions: comparisons, LIKE, IN, BETWEEN, AND, OR, NOT, EXISTS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.families.values import always
from medallion_assets.engines.rewriting import call, coerce, comparable
from medallion_assets.engines.types import compared_type, describe, is_double, of_kind, require_known
from medallion_assets.errors import MartError

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_NOT_COMPARED = {exp.DType.MAP, exp.DType.STRUCT, exp.DType.ARRAY}


def _compared(*parts: exp.Expr | None) -> exp.DataType:
    type_ = compared_type(part.type for part in parts if part is not None)
    if type_.this in _NOT_COMPARED:
        raise MartError(f"a comparison of {describe(type_)} as a whole; compare its parts")
    return of_kind(exp.DType.BOOLEAN)


def _logic(node: exp.Expr) -> exp.DataType:
    for part in node.iter_expressions():
        if require_known(part.type).this not in {exp.DType.BOOLEAN, exp.DType.NULL}:
            raise MartError(f"{part.sql('trino')} is {describe(part.type)}; expected a condition")
    return of_kind(exp.DType.BOOLEAN)


def _in(node: exp.In) -> exp.DataType:
    query = node.args.get("query")
    if query is None:
        return _compared(node.this, *node.expressions)
    inner = query.unnest()
    selects = inner.selects if isinstance(inner, exp.Query) else []
    if len(selects) != 1:
        raise MartError(f"IN (SELECT ...) gives {len(selects)} columns; expected one")
    return _compared(node.this, selects[0])


def _like(node: exp.Like) -> exp.DataType:
    for part in (node.this, node.expression):
        if require_known(part.type).this is not exp.DType.VARCHAR:
            raise MartError(f"{part.sql('trino')} is {describe(part.type)}; expected text")
    return of_kind(exp.DType.BOOLEAN)


def _escape(node: exp.Escape) -> exp.DataType:
    """Type LIKE ... ESCAPE: in Trino the escape stands before %, _ or itself; anything else is an error."""
    pattern, mark = node.this.expression, node.expression
    if not (pattern.is_string and mark.is_string and len(mark.name) == 1):
        raise MartError("expected LIKE '<pattern>' ESCAPE '<one character>', both literals")
    characters = iter(pattern.name)
    for character in characters:
        if character == mark.name and next(characters, "") not in {"%", "_", mark.name}:
            raise MartError(f"{mark.name!r} must stand before %, _ or itself in the pattern")
    return of_kind(exp.DType.BOOLEAN)


def _compare(node: exp.Binary) -> exp.Expr:
    left, right = comparable(node.left, node.right)
    compared = type(node)(this=left, expression=right)
    if isinstance(node, exp.NullSafeEQ | exp.NullSafeNEQ):
        return compared
    return _without_nan(compared, node.left, node.right, otherwise=isinstance(node, exp.NEQ))


def _without_nan(compared: exp.Expr, *parts: exp.Expr, otherwise: bool = False) -> exp.Expr:
    """Return a comparison that is `otherwise` if one of its doubles is no number, which for DuckDB is the largest."""
    if not is_double(compared_type(part.type for part in parts)):
        return compared
    values = [coerce(part, of_kind(exp.DType.DOUBLE)) for part in parts]
    missing = exp.or_(*(exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null()) for value in values))
    broken = exp.or_(*(call("isnan", value.copy()) for value in values))
    ifs = [exp.If(this=missing, true=exp.Null()), exp.If(this=broken, true=exp.Boolean(this=otherwise))]
    return exp.Case(ifs=ifs, default=compared)


def _rewrite_between(node: exp.Between) -> exp.Expr:
    value, bounds = node.this, (node.args["low"], node.args["high"])
    this, low, high = comparable(value, *bounds)
    if not is_double(compared_type(part.type for part in (value, *bounds))):
        return exp.Between(this=this, low=low, high=high)
    halves = exp.GTE(this=this.copy(), expression=low), exp.LTE(this=this.copy(), expression=high)
    whole = [_without_nan(half, value, bound) for half, bound in zip(halves, bounds, strict=True)]
    return exp.Paren(this=exp.And(this=whole[0], expression=whole[1]))


def _rewrite_in(node: exp.In) -> exp.Expr | None:
    if not node.expressions:
        return None
    this, *among = comparable(node.this, *node.expressions)
    return exp.In(this=this, expressions=among)


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.And: _logic,
    exp.Or: _logic,
    exp.Not: _logic,
    exp.Is: always(exp.DType.BOOLEAN),
    exp.Exists: always(exp.DType.BOOLEAN),
    exp.Like: _like,
    exp.Escape: _escape,
    exp.Between: lambda node: _compared(node.this, node.args["low"], node.args["high"]),
    exp.In: _in,
    **dict.fromkeys(_COMPARISONS, lambda node: _compared(node.this, node.expression)),
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Between: _rewrite_between,
    exp.In: _rewrite_in,
    **dict.fromkeys(_COMPARISONS, _compare),
}
