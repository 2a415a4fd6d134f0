"""Literals, CASE and the like: values whose type follows from their parts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.rewriting import comparable, same_type
from medallion_assets.engines.types import (
    common_type,
    compared_type,
    decimal_type,
    describe,
    of_kind,
    require_known,
    row_fields,
)
from medallion_assets.errors import MartError

_INT_LIMIT = 2**31
_BIGINT_LIMIT = 2**63


def always(kind: exp.DType) -> Callable[[Any], exp.DataType]:
    """Return the rule of an expression that always has a type of that kind."""
    return lambda node: of_kind(kind)


def same(node: exp.Expr) -> exp.DataType:
    """Type an expression that has the type of its argument, which may be DISTINCT."""
    return argument(node)


def argument(node: exp.Expr) -> exp.DataType:
    """Return the type of an aggregate's argument, which may be DISTINCT or ordered."""
    inner = node.this
    if isinstance(inner, exp.Order):
        inner = inner.this
    if isinstance(inner, exp.Distinct):
        if len(inner.expressions) != 1:
            raise MartError(
                "DISTINCT of several values; expected one: CAST(ROW(...) AS varchar) is none in Trino either"
            )
        (inner,) = inner.expressions
    return require_known(inner.type)


def _literal(node: exp.Literal) -> exp.DataType:
    if node.is_string:
        return of_kind(exp.DType.VARCHAR)
    found = node.name
    if "e" in found.lower():
        return of_kind(exp.DType.DOUBLE)
    whole, point, fraction = found.partition(".")
    if point:
        return decimal_type(max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction))
    if int(found) >= _BIGINT_LIMIT:
        raise MartError(f"a number beyond 63 bits; write DECIMAL '{found}'")
    return of_kind(exp.DType.INT if int(found) < _INT_LIMIT else exp.DType.BIGINT)


def _case(node: exp.Case) -> exp.DataType:
    if node.this is not None:
        for branch in node.args["ifs"]:
            compared_type((node.this.type, branch.this.type))
    default = node.args.get("default")
    return common_type(
        [branch.args["true"].type for branch in node.args["ifs"]] + ([default.type] if default is not None else [])
    )


def _if(node: exp.If) -> exp.DataType:
    return common_type(part.type for part in (node.args["true"], node.args.get("false")) if part is not None)


def _nullif(node: exp.Nullif) -> exp.DataType:
    compared_type((node.this.type, node.expression.type))
    return require_known(node.this.type)


def _field(node: exp.Dot) -> exp.DataType:
    type_ = require_known(node.this.type)
    found = row_fields(type_).get(node.expression.name)
    if found is None:
        raise MartError(f"{describe(type_)} has no field {node.expression.name!r}")
    return found.copy()


def _subquery(node: exp.Subquery) -> exp.DataType:
    """Type a subquery that is a value; one in FROM has no type."""
    query = node.unnest()
    selects = query.selects if isinstance(query, exp.Query) else []
    return (selects[0].type if len(selects) == 1 else None) or of_kind(exp.DType.UNKNOWN)


def _row(node: exp.Struct) -> exp.DataType:
    """Type ROW(...): fields without names, called as DuckDB calls them."""
    fields = [
        exp.ColumnDef(this=exp.to_identifier(f"v{at}"), kind=require_known(part.type).copy())
        for at, part in enumerate(node.expressions)
    ]
    return exp.DataType(this=exp.DType.STRUCT, expressions=fields, nested=True)


def _rewrite_case(node: exp.Case) -> exp.Expr:
    new = node.copy()
    branches, default = new.args["ifs"], new.args.get("default")
    values = [branch.args["true"] for branch in branches] + ([default] if default is not None else [])
    for value, coerced in zip(values, same_type(*values), strict=True):
        value.replace(coerced)
    if new.this is not None:
        operands = [new.this, *(branch.this for branch in branches)]
        for operand, coerced in zip(operands, comparable(*operands), strict=True):
            operand.replace(coerced)
    return new


def _rewrite_if(node: exp.If) -> exp.Expr | None:
    """Rewrite IF(condition, a, b). The branches of a CASE have the same class; `_rewrite_case` rewrites those."""
    otherwise = node.args.get("false")
    if otherwise is None:
        return None
    true, false = same_type(node.args["true"], otherwise)
    return exp.If(this=node.this.copy(), true=true, false=false)


def _rewrite_coalesce(node: exp.Coalesce) -> exp.Expr:
    first, *others = same_type(node.this, *node.expressions)
    return exp.Coalesce(this=first, expressions=others)


def _rewrite_nullif(node: exp.Nullif) -> exp.Expr:
    """Rewrite NULLIF: it compares in the common type and returns the first value in its own type."""
    left, right = comparable(node.this, node.expression)
    return exp.If(this=exp.EQ(this=left, expression=right), true=exp.Null(), false=node.this.copy())


def _rewrite_row(node: exp.Struct) -> exp.Expr:
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(f"v{at}"), expression=part.copy())
        for at, part in enumerate(node.expressions)
    ]
    return exp.Struct(expressions=fields)


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Literal: _literal,
    exp.Boolean: always(exp.DType.BOOLEAN),
    exp.Null: always(exp.DType.NULL),
    exp.CurrentDate: always(exp.DType.DATE),
    exp.Paren: same,
    exp.Alias: same,
    exp.Subquery: _subquery,
    exp.Dot: _field,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: lambda node: common_type(part.type for part in (node.this, *node.expressions)),
    exp.Nullif: _nullif,
    exp.Struct: _row,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Case: _rewrite_case,
    exp.If: _rewrite_if,
    exp.Coalesce: _rewrite_coalesce,
    exp.Nullif: _rewrite_nullif,
    exp.Struct: _rewrite_row,
}
