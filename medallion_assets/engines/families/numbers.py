"""Numbers: arithmetic and rounding. Decimal types: https://trino.io/docs/current/functions/decimal.html

DuckDB divides decimals as doubles, gives null for a division by zero, and rounds halves of a double to even.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.rewriting import call, cast, coerce, number, same_places, same_type, text
from medallion_assets.engines.types import (
    MAX_PRECISION,
    common_type,
    decimal_type,
    describe,
    digits,
    is_decimal,
    is_double,
    is_integer,
    of_kind,
    require_known,
)
from medallion_assets.errors import MartError

MACROS = """
CREATE MACRO divide_half_up(n, d) AS CASE WHEN d = 0 THEN error('Division by zero')
  WHEN abs(n % d) >= abs(d) - abs(n % d) THEN n // d + sign(n) * sign(d) ELSE n // d END;
CREATE MACRO divide_down(n, d) AS CASE WHEN d = 0 THEN error('Division by zero') ELSE n // d END;
CREATE MACRO remainder(n, d) AS CASE WHEN d = 0 THEN error('Division by zero') ELSE n % d END;
CREATE MACRO divide_shifted(n, d, unit) AS CASE WHEN d = 0 THEN error('Division by zero')
  ELSE (n // d) * unit + divide_half_up((n % d) * unit, d) END;
CREATE MACRO whole_power(x, n) AS CASE WHEN x IS NULL THEN NULL WHEN abs(pow(x, n)) <= 9007199254740992 THEN pow(x, n)
  ELSE error('power() beyond 2^53 is not exact; multiply decimals instead') END;
CREATE MACRO square_root(x) AS CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt(x) END;
"""

HUGEINT = exp.DataType.build("HUGEINT", dialect="duckdb")
_WHOLE = exp.DataType.build("DECIMAL(38,0)", dialect="duckdb")
_MAX_EXPONENT = 53
_SMALL_DIGITS = 18


def arithmetic(left: exp.Expr, right: exp.Expr) -> tuple[exp.DataType, exp.DataType]:
    """Return the types of two numbers. Raises MartError if one of them is none."""
    types = require_known(left.type), require_known(right.type)
    for type_ in types:
        if not digits(type_) and not is_double(type_):
            raise MartError(f"arithmetic on {describe(type_)}; expected a number")
    return types


def plus(node: exp.Binary) -> exp.DataType:
    """Type `+` and `-` of numbers."""
    left, right = arithmetic(node.left, node.right)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        return _capped(max(a[0] - a[1], b[0] - b[1]) + scale + 1, scale)
    return common_type((left, right))


def type_of_product(node: exp.Mul) -> exp.DataType:
    """Type `*` of two numbers."""
    left, right = arithmetic(node.left, node.right)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        if a[1] + b[1] > MAX_PRECISION:
            raise MartError(
                f"{describe(left)} times {describe(right)} has {a[1] + b[1]} decimals, 38 is the most; CAST one of them"
            )
        return _capped(a[0] + b[0], a[1] + b[1])
    return common_type((left, right))


def _divided(node: exp.Div) -> exp.DataType:
    left, right = arithmetic(node.left, node.right)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        if scale + b[1] - a[1] > MAX_PRECISION:
            raise MartError(
                f"{describe(left)} divided by {describe(right)} needs more than 38 digits on the way; CAST one of them"
            )
        return _capped(a[0] + b[1] + max(b[1] - a[1], 0), scale)
    return common_type((left, right))


def _remainder(node: exp.Mod) -> exp.DataType:
    left, right = arithmetic(node.left, node.right)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        return _capped(min(a[0] - a[1], b[0] - b[1]) + scale, scale)
    return common_type((left, right))


def _capped(precision: int, scale: int) -> exp.DataType:
    return decimal_type(min(precision, MAX_PRECISION), scale)


def _number(node: exp.Expr) -> exp.DataType:
    """Type a function of one number that has its type."""
    type_ = require_known(node.this.type)
    if not digits(type_) and not is_double(type_):
        raise MartError(f"its argument is {describe(type_)}; expected a number")
    return type_


def _exact_number(node: exp.Expr) -> exp.DataType:
    type_ = _number(node)
    if is_double(type_):
        raise MartError("a rounded double is not the same in both engines; CAST it to a decimal first")
    return type_


def _round(node: exp.Round) -> exp.DataType:
    type_ = _exact_number(node)
    places = _places(node)
    precision, scale = digits(type_) or (0, 0)
    if is_integer(type_):
        return type_
    if places is None:
        return decimal_type(min(MAX_PRECISION, max(precision - scale + min(1, scale), 1)), 0)
    if places < 0:
        raise MartError("a decimal rounded to tens or more; CAST it to a whole number first")
    return decimal_type(min(MAX_PRECISION, precision + 1), scale)


def _places(node: exp.Expr) -> int | None:
    """Return the places of a rounding, which must be a literal; None if there are none."""
    places = node.args.get("decimals")
    if places is None:
        return None
    negative = isinstance(places, exp.Neg)
    literal = places.this if negative else places
    if not (isinstance(literal, exp.Literal) and literal.is_int):
        raise MartError(f"rounded to {places.sql('trino')} places; expected a number, not an expression")
    return -int(literal.name) if negative else int(literal.name)


def _whole(node: exp.Expr) -> exp.DataType:
    """Type FLOOR and CEIL."""
    type_ = _exact_number(node)
    if is_integer(type_):
        return type_
    precision, scale = digits(type_) or (0, 0)
    if precision == scale == MAX_PRECISION:
        raise MartError(f"{describe(type_)} has no digit before the point; CAST it to fewer decimals")
    return decimal_type(max(precision - scale + min(scale, 1), 1), 0)


def _truncate(node: exp.Trunc) -> exp.DataType:
    type_ = _exact_number(node)
    places = _places(node)
    if is_integer(type_):
        raise MartError("a whole number has no decimals to cut off; leave truncate out")
    precision, scale = digits(type_) or (0, 0)
    if places is None:
        return decimal_type(max(precision - scale, 1), 0)
    if places < 0:
        raise MartError("a decimal cut to tens or more; CAST it to a whole number first")
    return type_


def _sign(node: exp.Sign) -> exp.DataType:
    type_ = _exact_number(node)
    return type_ if is_integer(type_) else decimal_type(1, 0)


def _power(node: exp.Pow) -> exp.DataType:
    base, exponent = require_known(node.this.type), node.expression
    whole = isinstance(exponent, exp.Literal) and exponent.is_int and int(exponent.name) <= _MAX_EXPONENT
    if not is_integer(base) or not whole:
        raise MartError(
            "only a whole number to the power of a literal from 0 to 53 is the same in both engines; for others "
            "multiply: x * x"
        )
    return of_kind(exp.DType.DOUBLE)


def _root(node: exp.Sqrt) -> exp.DataType:
    _number(node)
    return of_kind(exp.DType.DOUBLE)


def _extreme(node: exp.Greatest | exp.Least) -> exp.DataType:
    type_ = common_type(part.type for part in (node.this, *node.expressions))
    if type_.this in {exp.DType.ARRAY, exp.DType.MAP, exp.DType.STRUCT}:
        raise MartError(f"a comparison of {describe(type_)} as a whole; compare its parts")
    return type_


# Rewrites


def rewrite_plus(node: exp.Binary) -> exp.Expr | None:
    """Rewrite `+` and `-` of decimals: both in the type of the result."""
    if is_decimal(node.type):
        return type(node)(this=coerce(node.left, node.type), expression=coerce(node.right, node.type))
    return None


def _rewrite_times(node: exp.Mul) -> exp.Expr | None:
    if not is_decimal(node.type):
        return None
    parts = [coerce(part, same_places(part)) for part in (node.left, node.right)]
    if (digits(node.type) or (0, 0))[0] <= _SMALL_DIGITS:
        return exp.Mul(this=parts[0], expression=parts[1])
    # DuckDB multiplies decimals of up to 18 digits to 18 digits, however many the result has.
    wide = [
        cast(part, _decimal((digits(side.type) or (0, 0))[1]))
        for part, side in zip(parts, (node.left, node.right), strict=True)
    ]
    return cast(exp.Mul(this=wide[0], expression=wide[1]), node.type)


def _rewrite_divided(node: exp.Div) -> exp.Expr | None:
    if is_integer(node.type):
        return call("divide_down", node.left.copy(), node.right.copy())
    left, right = digits(node.left.type), digits(node.right.type)
    if not is_decimal(node.type) or left is None or right is None:
        return None
    _, scale = digits(node.type) or (0, 0)
    parts = [
        unscaled(cast(part.copy(), _decimal(places))) for part, (_, places) in ((node.left, left), (node.right, right))
    ]
    shift = scale + right[1] - left[1]
    if not shift:
        return scaled(call("divide_half_up", *parts), node.type)
    return scaled(call("divide_shifted", *parts, cast(text(str(10**shift)), HUGEINT)), node.type)


def unscaled(value: exp.Expr) -> exp.Expr:
    """Return a decimal's digits without the point, as a HUGEINT. Through text: 38 digits leave no room to multiply."""
    return cast(call("replace", cast(value, exp.DataType.build("TEXT")), text("."), text("")), HUGEINT)


def scaled(whole: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    """Return the decimal whose digits without the point are `whole`. DuckDB's product of decimals is exact."""
    _, scale = digits(type_) or (0, 0)
    value = cast(whole, _WHOLE)
    if scale:
        unit = cast(text(f"{10**-scale:.{scale}f}"), exp.DataType.build(f"DECIMAL({scale},{scale})"))
        value = exp.Mul(this=value, expression=unit)
    return cast(value, type_)


def _decimal(scale: int) -> exp.DataType:
    return exp.DataType.build(f"DECIMAL(38,{scale})", dialect="duckdb")


def _rewrite_remainder(node: exp.Mod) -> exp.Expr | None:
    return call("remainder", *same_type(node.left, node.right)) if digits(node.type) else None


def _rewrite_round(node: exp.Round) -> exp.Expr | None:
    places = _places(node) or 0
    if is_decimal(node.type):
        needed = places < (digits(node.this.type) or (0, 0))[1]
        return cast(node.copy() if needed else node.this.copy(), node.type)
    value: exp.Expr = node.this.copy()
    if places >= 0:
        return value
    unit = cast(text(str(10**-places)), HUGEINT)
    rounded = call("divide_half_up", cast(value, HUGEINT), unit)
    return cast(exp.Mul(this=rounded, expression=unit.copy()), node.type)


def _rewrite_whole(node: exp.Expr) -> exp.Expr:
    value: exp.Expr = node.this.copy()
    if is_integer(node.type):
        return value
    return cast(call("floor" if isinstance(node, exp.Floor) else "ceil", value), node.type)


def _rewrite_truncate(node: exp.Trunc) -> exp.Expr:
    places = _places(node)
    value: exp.Expr = node.this.copy()
    if places is not None and places >= (digits(node.type) or (0, 0))[1]:
        return value
    cut = call("trunc", value, *([] if places is None else [number(places)]))
    return cast(cut, node.type)


def _rewrite_sign(node: exp.Sign) -> exp.Expr:
    return cast(call("sign", node.this.copy()), node.type)


def _rewrite_power(node: exp.Pow) -> exp.Expr:
    return call("whole_power", cast(node.this.copy(), node.type), cast(node.expression.copy(), node.type))


def _rewrite_root(node: exp.Sqrt) -> exp.Expr:
    return call("square_root", cast(node.this.copy(), of_kind(exp.DType.DOUBLE)))


def _rewrite_extreme(node: exp.Greatest | exp.Least) -> exp.Expr:
    """Rewrite GREATEST and LEAST: null if one of the values is null, which DuckDB leaves out."""
    parts = same_type(node.this, *node.expressions)
    missing: exp.Expr = exp.Is(this=parts[0].copy(), expression=exp.Null())
    for part in parts[1:]:
        missing = exp.Or(this=missing, expression=exp.Is(this=part.copy(), expression=exp.Null()))
    name = "greatest" if isinstance(node, exp.Greatest) else "least"
    return exp.If(this=missing, true=exp.Null(), false=call(name, *parts))


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Div: _divided,
    exp.Mod: _remainder,
    exp.Neg: _number,
    exp.Abs: _number,
    exp.Round: _round,
    exp.Floor: _whole,
    exp.Ceil: _whole,
    exp.Trunc: _truncate,
    exp.Sign: _sign,
    exp.Pow: _power,
    exp.Sqrt: _root,
    exp.Greatest: _extreme,
    exp.Least: _extreme,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Mul: _rewrite_times,
    exp.Div: _rewrite_divided,
    exp.Mod: _rewrite_remainder,
    exp.Round: _rewrite_round,
    exp.Floor: _rewrite_whole,
    exp.Ceil: _rewrite_whole,
    exp.Trunc: _rewrite_truncate,
    exp.Sign: _rewrite_sign,
    exp.Pow: _rewrite_power,
    exp.Sqrt: _rewrite_root,
    exp.Greatest: _rewrite_extreme,
    exp.Least: _rewrite_extreme,
}
