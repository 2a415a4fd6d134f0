"""The expressions that mean the same in Trino and in DuckDB, each with the type that Trino gives it.

Belongs here: the one list of expressions that a mart's SQL may contain; every other one is refused. Add a function only
if both engines give the same result, nulls and errors included. Does not belong here: how DuckDB is made to compute it
(exact).

Decimal types: https://trino.io/docs/current/functions/decimal.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.types import (
    MAX_PRECISION,
    common_type,
    decimal_type,
    digits,
    is_decimal,
    of_kind,
    require_known,
)
from medallion_assets.errors import MartError

_INT_LIMIT = 2**31
_DATE_UNITS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}


def _literal(node: exp.Literal) -> exp.DataType:
    if node.is_string:
        return of_kind(exp.DType.VARCHAR)
    text = node.name
    if "e" in text.lower():
        return of_kind(exp.DType.DOUBLE)
    whole, point, fraction = text.partition(".")
    if point:
        return decimal_type(max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction))
    return of_kind(exp.DType.INT if int(text) < _INT_LIMIT else exp.DType.BIGINT)


def _plus(node: exp.Binary) -> exp.DataType:
    """Type `+` and `-` of numbers, and of a date or timestamp with an interval."""
    left, right = require_known(node.left.type), require_known(node.right.type)
    if right.this is exp.DType.INTERVAL:
        return _moved(left, node.right)
    if left.this is exp.DType.INTERVAL and isinstance(node, exp.Add):
        return _moved(right, node.left)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        return _capped(max(a[0] - a[1], b[0] - b[1]) + scale + 1, scale)
    return _number(left, right)


def _moved(type_: exp.DataType, interval: exp.Expr) -> exp.DataType:
    if type_.this not in {exp.DType.DATE, exp.DType.TIMESTAMPTZ}:
        raise MartError(f"an interval is added to {type_}; expected a date or a timestamp with time zone")
    unit = str(interval.args.get("unit") or "").upper()
    if unit not in _DATE_UNITS:
        raise MartError(f"an interval of {unit or 'several units'}; expected one of {', '.join(sorted(_DATE_UNITS))}")
    return type_


def _times(node: exp.Mul) -> exp.DataType:
    left, right = require_known(node.left.type), require_known(node.right.type)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        if a[1] + b[1] > MAX_PRECISION:
            raise MartError(f"{left} times {right} has {a[1] + b[1]} decimals, 38 is the most; CAST one of them")
        return _capped(a[0] + b[0], a[1] + b[1])
    return _number(left, right)


def _divided(node: exp.Div) -> exp.DataType:
    left, right = require_known(node.left.type), require_known(node.right.type)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        if scale + b[1] - a[1] > MAX_PRECISION:
            raise MartError(f"{left} divided by {right} needs more than 38 digits on the way; CAST one of them")
        return _capped(a[0] + b[1] + max(b[1] - a[1], 0), scale)
    return _number(left, right)


def _remainder(node: exp.Mod) -> exp.DataType:
    left, right = require_known(node.left.type), require_known(node.right.type)
    a, b = digits(left), digits(right)
    if a and b and (is_decimal(left) or is_decimal(right)):
        scale = max(a[1], b[1])
        return _capped(min(a[0] - a[1], b[0] - b[1]) + scale, scale)
    return _number(left, right)


def _capped(precision: int, scale: int) -> exp.DataType:
    return decimal_type(min(precision, MAX_PRECISION), scale)


def _number(left: exp.DataType, right: exp.DataType) -> exp.DataType:
    for type_ in (left, right):
        if not digits(type_) and type_.this is not exp.DType.DOUBLE:
            raise MartError(f"arithmetic on {type_}; expected a number")
    return common_type((left, right))


def _sum(node: exp.Sum) -> exp.DataType:
    type_ = _argument(node)
    found = digits(type_)
    if found is None:
        raise MartError(f"a sum over {type_} depends on the order of its rows; CAST to a decimal")
    return decimal_type(MAX_PRECISION, found[1]) if is_decimal(type_) else of_kind(exp.DType.BIGINT)


def _avg(node: exp.Avg) -> exp.DataType:
    type_ = _argument(node)
    if not is_decimal(type_):
        raise MartError(f"an average over {type_} is a double; CAST it to a decimal with the digits you want")
    return type_


def _argument(node: exp.Expr) -> exp.DataType:
    """Return the type of an aggregate's argument, which may be DISTINCT."""
    inner = node.this
    if isinstance(inner, exp.Distinct):
        (inner,) = inner.expressions
    return require_known(inner.type)


def _round(node: exp.Round) -> exp.DataType:
    type_ = require_known(node.this.type)
    found = digits(type_)
    places = node.args.get("decimals")
    if found is None or not is_decimal(type_):
        raise MartError(f"a rounded {type_}; expected a decimal")
    precision, scale = found
    if places is None:
        return decimal_type(min(MAX_PRECISION, max(precision - scale + min(1, scale), 1)), 0)
    if not (isinstance(places, exp.Literal) and places.is_int and 0 <= int(places.name) <= scale):
        raise MartError(f"rounded to {places.sql('trino')} places; expected a number from 0 to {scale}")
    return decimal_type(min(MAX_PRECISION, precision + 1), scale)


def _cast(node: exp.Cast) -> exp.DataType:
    source, target = require_known(node.this.type), node.to
    kind = target.this
    if kind is exp.DType.DECIMAL and digits(target) is None:
        raise MartError("DECIMAL without digits; write CAST(... AS decimal(p,s))")
    of_number = {exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL, exp.DType.DOUBLE}
    match source.this:
        case exp.DType.NULL:
            allowed = {exp.DType.VARCHAR, exp.DType.DATE, exp.DType.BOOLEAN, *of_number}
        case exp.DType.VARCHAR:
            allowed = {exp.DType.VARCHAR}
            if isinstance(node.this, exp.Literal):
                allowed |= {exp.DType.DATE}
        case exp.DType.INT | exp.DType.BIGINT:
            allowed = {exp.DType.VARCHAR, *of_number}
        case exp.DType.DECIMAL:
            allowed = {exp.DType.VARCHAR, *of_number}
        case exp.DType.DOUBLE:
            allowed = {exp.DType.DOUBLE}
        case exp.DType.DATE:
            allowed = {exp.DType.DATE, exp.DType.VARCHAR}
        case exp.DType.TIMESTAMPTZ:
            allowed = {exp.DType.DATE}
        case _:
            allowed = set()
    sized_text = kind is exp.DType.VARCHAR and target.expressions
    if kind not in allowed or sized_text:
        raise MartError(
            f"a cast of {source} to {target.sql('trino')} is not known to give the same result in both engines"
        )
    return target


def _date_part(node: exp.Expr) -> exp.DataType:
    value = node.expression if isinstance(node, exp.Extract) else node.this
    if isinstance(node, exp.Extract) and node.name.upper() not in {"YEAR", "QUARTER", "MONTH", "DAY"}:
        raise MartError("expected YEAR, QUARTER, MONTH or DAY")
    if require_known(value.type).this not in {exp.DType.DATE, exp.DType.TIMESTAMPTZ}:
        raise MartError(f"a part of {value.type}; expected a date or a timestamp with time zone")
    return of_kind(exp.DType.BIGINT)


def _date_math(node: exp.Expr) -> exp.DataType:
    """Type DATE_TRUNC, DATE_ADD and DATE: the result is a date."""
    type_ = require_known(node.this.type)
    if type_.this is exp.DType.TIMESTAMPTZ and isinstance(node, exp.Date):
        return of_kind(exp.DType.DATE)
    if type_.this is not exp.DType.DATE:
        raise MartError(f"its argument is {type_}; expected a date: CAST(... AS DATE)")
    if not isinstance(node, exp.Date) and node.text("unit").upper() not in _DATE_UNITS:
        raise MartError(f"expected one of the units {', '.join(sorted(_DATE_UNITS))}")
    return type_


def _date_diff(node: exp.DateDiff) -> exp.DataType:
    types = {require_known(node.this.type).this, require_known(node.expression.type).this}
    if types != {exp.DType.DATE} or node.text("unit").upper() != "DAY":
        raise MartError("expected date_diff('day', date, date): other units are counted differently by each engine")
    return of_kind(exp.DType.BIGINT)


def _compared(*parts: exp.Expr | None) -> exp.DataType:
    common_type(part.type for part in parts if part is not None)
    return of_kind(exp.DType.BOOLEAN)


def _in(node: exp.In) -> exp.DataType:
    query = node.args.get("query")
    among = query.this.selects if isinstance(query, exp.Subquery) else node.expressions
    return _compared(node.this, *among)


def _case(node: exp.Case) -> exp.DataType:
    if node.this is not None:
        _compared(node.this, *(branch.this for branch in node.args["ifs"]))
    default = node.args.get("default")
    return common_type(
        [branch.args["true"].type for branch in node.args["ifs"]] + ([default.type] if default is not None else [])
    )


def _if(node: exp.If) -> exp.DataType:
    return common_type(part.type for part in (node.args["true"], node.args.get("false")) if part is not None)


def _field(node: exp.Dot) -> exp.DataType:
    type_ = require_known(node.this.type)
    for part in type_.expressions:
        if isinstance(part, exp.ColumnDef) and part.name == node.expression.name and part.kind is not None:
            return part.kind
    raise MartError(f"{type_.sql('trino')} has no field {node.expression.name!r}")


def _subquery(node: exp.Subquery) -> exp.DataType:
    """Type a subquery that is a value; one in FROM has no type."""
    selects = node.this.selects if isinstance(node.this, exp.Select) else []
    return (selects[0].type if len(selects) == 1 else None) or of_kind(exp.DType.UNKNOWN)


def _same(node: exp.Expr) -> exp.DataType:
    return _argument(node)


def _text(kind: exp.DType) -> Callable[[Any], exp.DataType]:
    """Return the rule of a function that takes texts and gives `kind`."""

    def of(node: exp.Expr) -> exp.DataType:
        for part in node.iter_expressions():
            if require_known(part.type).this is not exp.DType.VARCHAR:
                raise MartError(f"its argument is {part.type}; expected text")
        return of_kind(kind)

    return of


def _always(kind: exp.DType) -> Callable[[Any], exp.DataType]:
    return lambda node: of_kind(kind)


EXPRESSIONS: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Literal: _literal,
    exp.Boolean: _always(exp.DType.BOOLEAN),
    exp.Null: _always(exp.DType.NULL),
    exp.Interval: _always(exp.DType.INTERVAL),
    exp.CurrentDate: _always(exp.DType.DATE),
    exp.Paren: _same,
    exp.Alias: _same,
    exp.Subquery: _subquery,
    exp.Dot: _field,
    exp.Cast: _cast,
    # numbers
    exp.Add: _plus,
    exp.Sub: _plus,
    exp.Mul: _times,
    exp.Div: _divided,
    exp.Mod: _remainder,
    exp.Neg: _same,
    exp.Abs: _same,
    exp.Round: _round,
    # conditions
    exp.And: _always(exp.DType.BOOLEAN),
    exp.Or: _always(exp.DType.BOOLEAN),
    exp.Not: _always(exp.DType.BOOLEAN),
    exp.Is: _always(exp.DType.BOOLEAN),
    exp.Exists: _always(exp.DType.BOOLEAN),
    exp.Like: lambda node: _compared(node.this, node.expression),
    exp.EQ: lambda node: _compared(node.this, node.expression),
    exp.NEQ: lambda node: _compared(node.this, node.expression),
    exp.LT: lambda node: _compared(node.this, node.expression),
    exp.LTE: lambda node: _compared(node.this, node.expression),
    exp.GT: lambda node: _compared(node.this, node.expression),
    exp.GTE: lambda node: _compared(node.this, node.expression),
    exp.NullSafeEQ: lambda node: _compared(node.this, node.expression),
    exp.NullSafeNEQ: lambda node: _compared(node.this, node.expression),
    exp.Between: lambda node: _compared(node.this, node.args["low"], node.args["high"]),
    exp.In: _in,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: lambda node: common_type(part.type for part in (node.this, *node.expressions)),
    exp.Nullif: lambda node: _compared(node.this, node.expression) and node.this.type,
    # text
    exp.Lower: _text(exp.DType.VARCHAR),
    exp.Upper: _text(exp.DType.VARCHAR),
    exp.Length: _text(exp.DType.BIGINT),
    exp.DPipe: _text(exp.DType.VARCHAR),
    # days
    exp.Date: _date_math,
    exp.TimestampTrunc: _date_math,
    exp.DateTrunc: _date_math,
    exp.DateAdd: _date_math,
    exp.DateDiff: _date_diff,
    exp.Extract: _date_part,
    exp.Year: _date_part,
    exp.Quarter: _date_part,
    exp.Month: _date_part,
    exp.Day: _date_part,
    # lists
    exp.ArraySize: _always(exp.DType.BIGINT),
    # aggregates and windows
    exp.Count: _always(exp.DType.BIGINT),
    exp.CountIf: _always(exp.DType.BIGINT),
    exp.Sum: _sum,
    exp.Avg: _avg,
    exp.Min: _same,
    exp.Max: _same,
    exp.LogicalAnd: _always(exp.DType.BOOLEAN),
    exp.LogicalOr: _always(exp.DType.BOOLEAN),
    exp.Filter: _same,
    exp.Window: _same,
    exp.Rank: _always(exp.DType.BIGINT),
    exp.DenseRank: _always(exp.DType.BIGINT),
}
"""Each expression that a mart may use, with the function that derives its Trino type from its typed parts."""

STRUCTURE: frozenset[type[exp.Expr]] = frozenset(
    {
        *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Distinct),
        *(exp.With, exp.CTE, exp.Table, exp.TableAlias, exp.Identifier, exp.Column, exp.Star, exp.Unnest),
        *(exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.Var, exp.Tuple),
    }
)
"""The parts of a SELECT that are not values."""
