"""Small pieces from which expressions in DuckDB's dialect are built.

Belongs here: calls, casts and coercions that are used by more than one family. Does not belong here: what one
expression is rewritten to (families).
"""

from __future__ import annotations

from sqlglot import exp

from medallion_assets.engines.types import (
    common_type,
    compared_type,
    digits,
    is_timestamp,
    list_type,
    of_kind,
    row_fields,
    time_zone,
)


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """Return a call of a function or macro of DuckDB, which no dialect of sqlglot translates any more."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Expr:
    """Return a text literal."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expr:
    """Return a number literal."""
    return exp.Literal.number(value)


def cast(value: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    """Return a cast of `value` to the type of DuckDB that holds values of Trino's `type_`."""
    new = exp.Cast(this=value, to=duckdb_type(type_) if type_ is not None else None)
    new.type = type_
    return new


def duckdb_type(type_: exp.DataType) -> exp.DataType:
    """Return DuckDB's type for values of Trino's `type_`: timestamps have microseconds, and no zone of their own."""
    if is_timestamp(type_):
        return of_kind(exp.DType.TIMESTAMPTZ) if type_.this is exp.DType.TIMESTAMPTZ else _local()
    if type_.this is exp.DType.ARRAY and type_.expressions:
        return list_type(duckdb_type(type_.expressions[0]))
    if type_.this is exp.DType.STRUCT:
        fields = [
            exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=duckdb_type(kind))
            for name, kind in row_fields(type_).items()
        ]
        return exp.DataType(this=exp.DType.STRUCT, expressions=fields, nested=True)
    return type_.copy()


def _local() -> exp.DataType:
    return exp.DataType.build("TIMESTAMP", dialect="duckdb")


def coerce(part: exp.Expr, type_: exp.DataType | None) -> exp.Expr:
    """Return a copy of `part`, cast to the type if it has another one."""
    coerced = part.type is not None and part.type.this is not exp.DType.NULL and part.type != type_
    return cast(part.copy(), type_) if coerced else part.copy()


def same_type(*parts: exp.Expr) -> list[exp.Expr]:
    """Return copies of `parts`, cast to the type that Trino coerces them to."""
    type_ = common_type(part.type for part in parts)
    return [coerce(part, type_) for part in parts]


def comparable(*parts: exp.Expr) -> list[exp.Expr]:
    """Return copies of `parts`, cast to the type that Trino compares them in."""
    type_ = compared_type(part.type for part in parts)
    return [coerce(part, type_) for part in parts]


def local_time(value: exp.Expr, type_: exp.DataType) -> exp.Expr:
    """Return what the clock of the type's time zone shows at `value`, as a timestamp without time zone."""
    if type_.this is exp.DType.TIMESTAMPTZ:
        return call("timezone", text(time_zone(type_) or "UTC"), value)
    return cast(value, _local()) if type_.this is exp.DType.DATE else value


def instant(value: exp.Expr, type_: exp.DataType) -> exp.Expr:
    """Return the instant at which the clock of the type's time zone shows `value`; the opposite of local_time."""
    if type_.this is exp.DType.TIMESTAMPTZ:
        return call("timezone", text(time_zone(type_) or "UTC"), value)
    return value


def same_places(node: exp.Expr) -> exp.DataType:
    """Return DuckDB's decimal type that holds a number of Trino's type, also an integer."""
    precision, scale = digits(node.type) or (38, 0)
    return exp.DataType.build(f"DECIMAL({precision},{scale})", dialect="duckdb")


def instead(old: exp.Expr, new: exp.Expr) -> exp.Expr:
    """Return `new` inside copies of the FILTER, IGNORE NULLS and OVER of the aggregate `old`."""
    result = new
    while (parent := old.parent) is not None and wraps(parent, old):
        old = parent
        outer = old.copy()
        outer.set("this", result)
        result = outer
    return result


def outermost(node: exp.Expr) -> exp.Expr:
    """Return the aggregate together with the FILTER, IGNORE NULLS and OVER around it."""
    while (parent := node.parent) is not None and wraps(parent, node):
        node = parent
    return node


def wraps(parent: exp.Expr, node: exp.Expr) -> bool:
    """Return whether `parent` is the FILTER, IGNORE NULLS or OVER of the function `node`."""
    return isinstance(parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.Window) and parent.this is node


def is_over_window(node: exp.Expr) -> bool:
    """Return whether a function is computed over a window, so that it makes no group of the rows."""
    outer = outermost(node)
    return isinstance(outer, exp.Window) and outer is not node
