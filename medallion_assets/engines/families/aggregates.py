"""Aggregates and window functions. Which of them need a total order is in order.

Sums of doubles depend on the order of rows, so they are refused. DuckDB sums integers to 128 bits and averages decimals
as doubles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.families.numbers import scaled, unscaled
from medallion_assets.engines.families.text import require_text, require_whole
from medallion_assets.engines.families.values import always, argument, same
from medallion_assets.engines.rewriting import call, cast, coerce, instead, text
from medallion_assets.engines.types import (
    MAX_PRECISION,
    common_type,
    decimal_type,
    describe,
    digits,
    is_decimal,
    is_integer,
    list_type,
    of_kind,
    require_known,
)
from medallion_assets.errors import MartError

# Trino adds whole numbers up as doubles, which is exact and the same in any order up to 2^53.
MACROS = """
CREATE MACRO whole_average(total, size, n) AS CASE WHEN size > 9007199254740992
  THEN error('avg() of whole numbers beyond 2^53 is not exact; CAST them to a decimal')
  ELSE CAST(total AS DOUBLE) / CAST(nullif(n, 0) AS DOUBLE) END;
"""

_UNORDERED = {exp.DType.ARRAY, exp.DType.MAP, exp.DType.STRUCT}
_MAX_SIZE = 2**31


def _sum(node: exp.Sum) -> exp.DataType:
    type_ = argument(node)
    found = digits(type_)
    if found is None:
        raise MartError(f"a sum over {describe(type_)} depends on the order of its rows; CAST to a decimal")
    return decimal_type(MAX_PRECISION, found[1]) if is_decimal(type_) else of_kind(exp.DType.BIGINT)


def _avg(node: exp.Avg) -> exp.DataType:
    type_ = argument(node)
    if is_integer(type_):
        return of_kind(exp.DType.DOUBLE)
    if not is_decimal(type_):
        raise MartError(f"an average over {describe(type_)} depends on the order of its rows; CAST to a decimal")
    return type_


def _extreme(node: exp.Min | exp.Max) -> exp.DataType:
    if node.expressions:
        raise MartError("expected one value; for the largest of several columns: greatest")
    type_ = argument(node)
    if type_.this in _UNORDERED:
        raise MartError(f"{describe(type_)} has no order; expected numbers, text or times")
    return type_


def _condition(node: exp.Expr) -> exp.DataType:
    inner = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    if require_known(inner.type).this is not exp.DType.BOOLEAN:
        raise MartError(f"{inner.sql('trino')} is {describe(inner.type)}; expected a condition")
    return of_kind(exp.DType.BIGINT if isinstance(node, exp.CountIf) else exp.DType.BOOLEAN)


def _window(node: exp.Window) -> exp.DataType:
    if node.find(exp.Filter) is node.this:
        raise MartError("Trino has no FILTER with OVER; write CASE WHEN <condition> THEN <value> END in the function")
    return argument(node)


def _by(node: exp.ArgMax | exp.ArgMin) -> exp.DataType:
    if node.args.get("count") is not None:
        raise MartError("expected max_by(value, by) without a count; use row_number() and WHERE")
    by = require_known(node.expression.type)
    if by.this in {exp.DType.ARRAY, exp.DType.MAP}:
        raise MartError(f"{describe(by)} has no order")
    return require_known(node.this.type)


def _array(node: exp.ArrayAgg) -> exp.DataType:
    if not isinstance(node.this, exp.Order):
        raise MartError("its order is that of the rows; write array_agg(value ORDER BY ...)")
    return list_type(argument(node))


def _joined(node: exp.GroupConcat) -> exp.DataType:
    if not isinstance(node.this, exp.Order):
        raise MartError("its order is that of the rows; write listagg(value, ',') WITHIN GROUP (ORDER BY ...)")
    inner = node.this.this
    require_text(inner.expressions[0] if isinstance(inner, exp.Distinct) else inner)
    separator = node.args.get("separator")
    if separator is not None and not separator.is_string:
        raise MartError("expected a literal separator")
    return of_kind(exp.DType.VARCHAR)


def _shifted(node: exp.Lag | exp.Lead) -> exp.DataType:
    offset, default = node.args.get("offset"), node.args.get("default")
    if offset is not None and not (isinstance(offset, exp.Literal) and offset.is_int):
        raise MartError("expected a number as the offset, not an expression")
    type_ = require_known(node.this.type)
    if default is not None and common_type((type_, default.type)) != type_:
        raise MartError(f"the default is {describe(default.type)}; expected {describe(type_)}")
    return type_


def _nth(node: exp.NthValue) -> exp.DataType:
    offset = node.args.get("offset")
    if not (isinstance(offset, exp.Literal) and offset.is_int and int(offset.name) > 0):
        raise MartError("expected a number from 1, not an expression")
    return require_known(node.this.type)


def _tiles(node: exp.Ntile) -> exp.DataType:
    require_whole(node.this)
    if not (isinstance(node.this, exp.Literal) and 0 < int(node.this.name) < _MAX_SIZE):
        raise MartError("expected a number from 1, not an expression")
    return of_kind(exp.DType.BIGINT)


# Rewrites


def _rewrite_avg(node: exp.Avg) -> exp.Expr | None:
    if node.type is None:
        return None
    inner = node.this.copy()
    count = instead(node, exp.Count(this=inner.copy()))
    total = instead(node, exp.Sum(this=inner))
    if is_decimal(node.type):
        _, scale = digits(node.type) or (0, 0)
        whole = cast(total, exp.DataType.build(f"DECIMAL(38,{scale})", dialect="duckdb"))
        # Without rows the sum is null and the count is zero: no division by it.
        return scaled(call("divide_half_up", unscaled(whole), exp.func("NULLIF", count, "0")), node.type)
    if not is_integer(_argument_type(node)):
        return None
    sizes = inner.copy()
    (part,) = sizes.expressions if isinstance(sizes, exp.Distinct) else (sizes,)
    size = call("abs", cast(part.copy(), exp.DataType.build("HUGEINT", dialect="duckdb")))
    if isinstance(sizes, exp.Distinct):
        sizes.set("expressions", [size])
    return call(
        "whole_average", total, instead(node, exp.Sum(this=sizes if isinstance(sizes, exp.Distinct) else size)), count
    )


def _argument_type(node: exp.Expr) -> exp.DataType | None:
    inner: exp.Expr = node.this
    value: exp.Expr = inner.expressions[0] if isinstance(inner, exp.Distinct) else inner
    return value.type


def _narrowed(node: exp.Expr) -> exp.Expr | None:
    """Cast sums and counts, which DuckDB gives as HUGEINT."""
    return cast(instead(node, node.copy()), node.type) if is_integer(node.type) else None


def _rewrite_by(node: exp.ArgMax | exp.ArgMin) -> exp.Expr:
    name = "arg_max_null" if isinstance(node, exp.ArgMax) else "arg_min_null"
    return instead(node, call(name, node.this.copy(), _without_nulls(node)))


def _without_nulls(node: exp.ArgMax | exp.ArgMin) -> exp.Expr:
    """Return what is compared; a ROW with a null in it is an error, as it is in Trino when it is compared."""
    by: exp.Expr = node.expression
    if not isinstance(by, exp.Struct):
        return by.copy()
    missing: exp.Expr = exp.Boolean(this=False)
    for part in by.expressions:
        value = part.expression if isinstance(part, exp.PropertyEQ) else part
        missing = exp.Or(this=missing, expression=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null()))
    if isinstance(node.parent, exp.Filter) and node.parent.this is node:
        condition = node.parent.expression.this.copy()
        missing = exp.And(this=exp.Paren(this=missing), expression=exp.Paren(this=condition))
    failed = call("error", text("a ROW that is compared has a null in it; use COALESCE"))
    return exp.If(this=missing, true=failed, false=by.copy())


def _rewrite_every(node: exp.Anonymous) -> exp.Expr:
    return instead(node, call("bool_and", node.expressions[0].copy()))


def _rewrite_truth(node: exp.LogicalAnd | exp.LogicalOr) -> exp.Expr:
    return instead(node, call("bool_and" if isinstance(node, exp.LogicalAnd) else "bool_or", node.this.copy()))


def _rewrite_shifted(node: exp.Lag | exp.Lead) -> exp.Expr:
    new = node.copy()
    default = node.args.get("default")
    if default is not None:
        new.set("default", coerce(default, node.this.type))
    return instead(node, new)


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Count: always(exp.DType.BIGINT),
    exp.CountIf: _condition,
    exp.Sum: _sum,
    exp.Avg: _avg,
    exp.Min: _extreme,
    exp.Max: _extreme,
    exp.LogicalAnd: _condition,
    exp.LogicalOr: _condition,
    exp.ArgMax: _by,
    exp.ArgMin: _by,
    exp.ArrayAgg: _array,
    exp.GroupConcat: _joined,
    exp.Grouping: always(exp.DType.INT),
    exp.Filter: same,
    exp.Window: _window,
    exp.IgnoreNulls: same,
    exp.RespectNulls: same,
    exp.RowNumber: always(exp.DType.BIGINT),
    exp.Rank: always(exp.DType.BIGINT),
    exp.DenseRank: always(exp.DType.BIGINT),
    exp.PercentRank: always(exp.DType.DOUBLE),
    exp.CumeDist: always(exp.DType.DOUBLE),
    exp.Ntile: _tiles,
    exp.Lag: _shifted,
    exp.Lead: _shifted,
    exp.FirstValue: same,
    exp.LastValue: same,
    exp.NthValue: _nth,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Avg: _rewrite_avg,
    exp.Sum: _narrowed,
    exp.CountIf: _narrowed,
    exp.LogicalAnd: _rewrite_truth,
    exp.LogicalOr: _rewrite_truth,
    exp.ArgMax: _rewrite_by,
    exp.ArgMin: _rewrite_by,
    exp.Lag: _rewrite_shifted,
    exp.Lead: _rewrite_shifted,
    exp.Grouping: lambda node: cast(node.copy(), of_kind(exp.DType.INT)),
}

FUNCTIONS: dict[str, tuple[Callable[[Any], exp.DataType], Callable[[Any], exp.Expr | None] | None]] = {
    "every": (_condition, _rewrite_every),
}
