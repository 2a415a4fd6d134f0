"""Trino's types of columns and values, in sqlglot's form.

Belongs here: making, reading and coercing types. Does not belong here: the type of an expression (trino).
Coercion: https://trino.io/docs/current/functions/decimal.html
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlglot import exp

from medallion_assets.contracts.types import ColumnType
from medallion_assets.errors import MartError

MAX_PRECISION = 38


class UnknownType(MartError):
    """A part of an expression has no type that is known."""


_DIGITS = {exp.DType.INT: 10, exp.DType.BIGINT: 19}
_NAMES = {
    "string": "varchar",
    "json": "varchar",
    "bool": "boolean",
    "int": "integer",
    "bigint": "bigint",
    "double": "double",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "binary": "varbinary",
}


def trino_type(column: ColumnType) -> exp.DataType:
    """Return the type that Athena and Trino show for a column of the lake."""
    return _parse(_type_text(column))


def _type_text(column: ColumnType) -> str:
    if column.kind == "decimal":
        return f"decimal({column.precision},{column.scale})"
    if column.kind == "struct":
        return "row(" + ", ".join(f"{name} {_type_text(type_)}" for _, name, type_ in column.fields) + ")"
    if column.element is not None:
        element = _type_text(column.element)
        return f"map(varchar, {element})" if column.kind == "map" else f"array({element})"
    return _NAMES[column.kind]


def decimal_type(precision: int, scale: int) -> exp.DataType:
    """Return `decimal(precision, scale)`."""
    return _parse(f"decimal({precision},{scale})")


def digits(type_: exp.DataType | None) -> tuple[int, int] | None:
    """Return (precision, scale) of a decimal, or of an integer as Trino coerces it; None for every other type."""
    if type_ is None:
        return None
    if type_.this in _DIGITS:
        return _DIGITS[type_.this], 0
    if type_.this is exp.DType.DECIMAL and len(type_.expressions) == 2:
        precision, scale = (int(part.name) for part in type_.expressions)
        return precision, scale
    return None


def is_decimal(type_: exp.DataType | None) -> bool:
    """Return whether the type is a decimal with precision and scale."""
    return digits(type_) is not None and not is_integer(type_)


def is_integer(type_: exp.DataType | None) -> bool:
    """Return whether the type is an integer."""
    return type_ is not None and type_.this in _DIGITS


def common_type(types: Iterable[exp.DataType | None]) -> exp.DataType:
    """Return the type to which Trino coerces all of `types`. Raises MartError if no type can represent every value."""
    not_null = [type_ for type_ in types if type_ is None or type_.this is not exp.DType.NULL]
    if not not_null:
        return of_kind(exp.DType.NULL)
    first, *others = not_null
    found = require_known(first)
    for other in others:
        found = _common(found, require_known(other))
    return found


def _common(left: exp.DataType, right: exp.DataType) -> exp.DataType:
    if left == right:
        return left
    pair = {left.this, right.this}
    if pair <= set(_DIGITS):
        return of_kind(exp.DType.BIGINT)
    if exp.DType.DOUBLE in pair and (digits(left) or digits(right)):
        return of_kind(exp.DType.DOUBLE)
    a, b = digits(left), digits(right)
    if a and b:
        scale = max(a[1], b[1])
        precision = max(a[0] - a[1], b[0] - b[1]) + scale
        if precision > MAX_PRECISION:
            raise MartError(f"{left} and {right} have no common type of 38 digits; CAST one of them")
        return decimal_type(precision, scale)
    if pair == {exp.DType.DATE, exp.DType.TIMESTAMPTZ}:
        return of_kind(exp.DType.TIMESTAMPTZ)
    raise MartError(f"{left} and {right} have no common type; CAST one of them")


def require_known(type_: exp.DataType | None) -> exp.DataType:
    """Return the type. Raises UnknownType."""
    if type_ is None or type_.this is exp.DType.UNKNOWN:
        raise UnknownType("its type is unknown; CAST its parts to their types")
    return type_


def of_kind(kind: exp.DType) -> exp.DataType:
    """Return the type of that kind, without parameters."""
    return _parse(kind.value)


def _parse(text: str) -> exp.DataType:
    """Return the type that Trino writes as `text`: a copy, because a node of sqlglot belongs to one tree."""
    return _parse_once(text).copy()


@cache
def _parse_once(text: str) -> exp.DataType:
    """Parse a type. A domain has few different ones, and loading sixty tables asks for 36,000."""
    return exp.DataType.build(text, dialect="trino")
