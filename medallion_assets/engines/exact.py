"""Rewrite a typed SELECT in Trino's dialect so that DuckDB computes the same values, to the last digit.

DuckDB 1.5 averages and divides decimals as doubles, gives null for a division by zero, sums integers to 128 bits, and
gives a timestamp for a date plus an interval. Belongs here: the replacement of each such expression. Does not belong
here: the types (trino).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.types import common_type, digits, is_decimal, is_integer
from medallion_assets.errors import MartError

MACROS = """
CREATE MACRO divide_half_up(n, d) AS CASE WHEN d = 0 THEN error('Division by zero')
  WHEN abs(n % d) >= abs(d) - abs(n % d) THEN n // d + sign(n) * sign(d) ELSE n // d END;
CREATE MACRO divide_down(n, d) AS CASE WHEN d = 0 THEN error('Division by zero') ELSE n // d END;
CREATE MACRO remainder(n, d) AS CASE WHEN d = 0 THEN error('Division by zero') ELSE n % d END;
"""
"""Macros that rewritten SQL calls: Trino's integer division and remainder. Run them once in each DuckDB catalog."""

_HUGEINT = exp.DataType.build("HUGEINT", dialect="duckdb")
_WHOLE = exp.DataType.build("DECIMAL(38,0)", dialect="duckdb")


def make_exact(tree: exp.Expr) -> None:
    """Rewrite a typed tree in place. An expression whose types are unknown stays as it is."""
    for node in reversed(list(tree.walk())):  # children before their parents
        rewrite = _REWRITES.get(type(node))
        if rewrite is None:
            continue
        try:
            new = rewrite(node)
        except MartError:  # no common type: possible only in a user's own query; a mart with one was refused
            continue
        if new is not None:
            old = _outermost(node)
            new.type = node.type
            old.replace(new)


def _outermost(node: exp.Expr) -> exp.Expr:
    """Return the aggregate together with the FILTER and OVER around it."""
    while isinstance(node.parent, exp.Filter | exp.Window) and node.parent.this is node:
        node = node.parent
    return node


def _instead(old: exp.Expr, new: exp.Expr) -> exp.Expr:
    """Return `new` inside copies of the FILTER and OVER of the aggregate `old`."""
    result = new
    while isinstance(old.parent, exp.Filter | exp.Window) and old.parent.this is old:
        old = old.parent
        outer = old.copy()
        outer.set("this", result)
        result = outer
    return result


def _avg(node: exp.Avg) -> exp.Expr | None:
    if node.type is None or not is_decimal(node.type):
        return None
    argument = node.this.copy()
    total = _instead(node, exp.Sum(this=argument))
    count = _instead(node, exp.Count(this=argument.copy()))
    _, scale = digits(node.type) or (0, 0)
    # Without rows the sum is null and the count is zero: no division by it.
    quotient = exp.func("divide_half_up", _unscaled(_cast(total, _decimal(scale))), exp.func("NULLIF", count, "0"))
    return _scaled(quotient, node.type)


def _narrow(node: exp.Expr) -> exp.Expr | None:
    """Cast sums and counts, which DuckDB gives as HUGEINT."""
    return _cast(_instead(node, node.copy()), node.type) if is_integer(node.type) else None


def _div(node: exp.Div) -> exp.Expr | None:
    if is_integer(node.type):
        return exp.func("divide_down", node.left.copy(), node.right.copy())
    left, right = digits(node.left.type), digits(node.right.type)
    if not is_decimal(node.type) or left is None or right is None:
        return None
    _, scale = digits(node.type) or (0, 0)
    dividend: exp.Expr = _unscaled(_cast(node.left.copy(), _decimal(left[1])))
    if shift := scale + right[1] - left[1]:
        dividend = exp.Mul(this=dividend, expression=_cast(exp.Literal.string(str(10**shift)), _HUGEINT))
    quotient = exp.func("divide_half_up", dividend, _unscaled(_cast(node.right.copy(), _decimal(right[1]))))
    return _scaled(quotient, node.type)


def _unscaled(value: exp.Expr) -> exp.Expr:
    """Return a decimal's digits without the point, as a HUGEINT. Through text: 38 digits leave no room to multiply."""
    text = exp.func(
        "REPLACE", _cast(value, exp.DataType.build("TEXT")), exp.Literal.string("."), exp.Literal.string("")
    )
    return _cast(text, _HUGEINT)


def _scaled(whole: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    """Return the decimal whose digits without the point are `whole`. DuckDB's product of decimals is exact."""
    _, scale = digits(type_) or (0, 0)
    value = _cast(whole, _WHOLE)
    if scale:
        unit = _cast(exp.Literal.string(f"{10**-scale:.{scale}f}"), exp.DataType.build(f"DECIMAL({scale},{scale})"))
        value = exp.Mul(this=value, expression=unit)
    return _cast(value, type_)


def _mod(node: exp.Mod) -> exp.Expr | None:
    return exp.func("remainder", *_same_type(node.left, node.right)) if digits(node.type) else None


def _plus(node: exp.Binary) -> exp.Expr | None:
    if is_decimal(node.type):
        return type(node)(this=_as(node.left, node.type), expression=_as(node.right, node.type))
    return _day(node)


def _mul(node: exp.Mul) -> exp.Expr | None:
    if not is_decimal(node.type):
        return None
    parts = [_as(part, _decimal_of(part)) for part in (node.left, node.right)]
    return exp.Mul(this=parts[0], expression=parts[1])


def _round(node: exp.Round) -> exp.Expr | None:
    return _cast(node.copy(), node.type) if is_decimal(node.type) else None


def _day(node: exp.Expr) -> exp.Expr | None:
    """Cast to a date what DuckDB makes a timestamp."""
    return _cast(node.copy(), node.type) if node.type is not None and node.type.this is exp.DType.DATE else None


def _compare(node: exp.Binary) -> exp.Expr:
    left, right = _same_type(node.left, node.right)
    return type(node)(this=left, expression=right)


def _between(node: exp.Between) -> exp.Expr:
    this, low, high = _same_type(node.this, node.args["low"], node.args["high"])
    return exp.Between(this=this, low=low, high=high)


def _in(node: exp.In) -> exp.Expr | None:
    if not node.expressions:
        return None
    this, *among = _same_type(node.this, *node.expressions)
    return exp.In(this=this, expressions=among)


def _coalesce(node: exp.Coalesce) -> exp.Expr:
    first, *others = _same_type(node.this, *node.expressions)
    return exp.Coalesce(this=first, expressions=others)


def _case(node: exp.Case) -> exp.Expr:
    new = node.copy()
    branches, default = new.args["ifs"], new.args.get("default")
    values = [branch.args["true"] for branch in branches] + ([default] if default is not None else [])
    for value, same in zip(values, _same_type(*values), strict=True):
        value.replace(same)
    if new.this is not None:
        operands = [new.this, *(branch.this for branch in branches)]
        for operand, same in zip(operands, _same_type(*operands), strict=True):
            operand.replace(same)
    return new


def _if(node: exp.If) -> exp.Expr | None:
    """Rewrite IF(condition, a, b). The branches of a CASE have the same class; `_case` rewrites those."""
    otherwise = node.args.get("false")
    if otherwise is None:
        return None
    true, false = _same_type(node.args["true"], otherwise)
    return exp.If(this=node.this.copy(), true=true, false=false)


def _nullif(node: exp.Nullif) -> exp.Expr:
    """Rewrite NULLIF: it compares in the common type and returns the first value in its own type."""
    left, right = _same_type(node.this, node.expression)
    return exp.If(this=exp.EQ(this=left, expression=right), true=exp.Null(), false=node.this.copy())


def _same_type(*parts: exp.Expr) -> list[exp.Expr]:
    """Return copies of `parts`, cast to the type that Trino coerces them to."""
    type_ = common_type(part.type for part in parts)
    return [_as(part, type_) for part in parts]


def _as(part: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    coerced = part.type is not None and part.type.this is not exp.DType.NULL and part.type != type_
    return _cast(part.copy(), type_) if coerced else part.copy()


def _cast(value: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    cast = exp.Cast(this=value, to=type_.copy() if type_ is not None else None)
    cast.type = type_
    return cast


def _decimal(scale: int) -> exp.DataType:
    return exp.DataType.build(f"DECIMAL(38,{scale})", dialect="duckdb")


def _decimal_of(part: exp.Expr) -> exp.DataType:
    precision, scale = digits(part.type) or (38, 0)
    return exp.DataType.build(f"DECIMAL({precision},{scale})", dialect="duckdb")


_REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Avg: _avg,
    exp.Sum: _narrow,
    exp.CountIf: _narrow,
    exp.Div: _div,
    exp.Mod: _mod,
    exp.Add: _plus,
    exp.Sub: _plus,
    exp.Mul: _mul,
    exp.Round: _round,
    exp.DateAdd: _day,
    exp.DateTrunc: _day,
    exp.TimestampTrunc: _day,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ), _compare),
    exp.Between: _between,
    exp.In: _in,
    exp.Coalesce: _coalesce,
    exp.Case: _case,
    exp.If: _if,
    exp.Nullif: _nullif,
}
