"""Trino's types of columns and values, in sqlglot's form.

Belongs here: making, reading and coercing types. Does not belong here: the type of an expression (families).
Coercion: https://trino.io/docs/current/functions/decimal.html

A timestamp with time zone carries its digits and its time zone as parameters of its type, because in Trino the hour and
the day of a value depend on them. Without parameters it is what a column of the lake is: six digits, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlglot import exp

from medallion_assets.contracts.types import ColumnType
from medallion_assets.errors import MartError

MAX_PRECISION = 38
LAKE_DIGITS = 6
"""Digits of a second that a timestamp of the lake has."""
MILLISECOND_DIGITS = 3
UTC = "UTC"
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


class UnknownType(MartError):
    """A type that is not known, because a part of the expression is refused already or has no type."""


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


def describe(type_: exp.DataType | None) -> str:
    """Return the type as Trino writes it, for a message."""
    if type_ is None:
        return "unknown"
    if type_.this is exp.DType.TIMESTAMPTZ:
        return f"timestamp({second_digits(type_)}) with time zone in {time_zone(type_) or 'a zone of its own'}"
    return type_.sql("trino").lower()


def decimal_type(precision: int, scale: int) -> exp.DataType:
    """Return `decimal(precision, scale)`."""
    return _parse(f"decimal({precision},{scale})")


def timestamp_type(digits: int, zone: str | None = UTC) -> exp.DataType:
    """Return `timestamp(digits) with time zone` whose values are in `zone`; None: each value in a zone of its own."""
    if (digits, zone) == (LAKE_DIGITS, UTC):
        return of_kind(exp.DType.TIMESTAMPTZ)
    parameters = [exp.Literal.number(digits), exp.Literal.string(zone or "")]
    return exp.DataType(this=exp.DType.TIMESTAMPTZ, expressions=[exp.DataTypeParam(this=one) for one in parameters])


def local_type(digits: int) -> exp.DataType:
    """Return `timestamp(digits)`, without time zone."""
    return _parse(f"timestamp({digits})")


def second_digits(type_: exp.DataType) -> int:
    """Return the digits of a second that a timestamp's type has."""
    return int(type_.expressions[0].name) if type_.expressions else LAKE_DIGITS


def time_zone(type_: exp.DataType) -> str | None:
    """Return the time zone of a timestamp's values; UTC for a local one, None if each has a zone of its own."""
    return type_.expressions[1].name or None if len(type_.expressions) == 2 else UTC


def is_timestamp(type_: exp.DataType | None) -> bool:
    """Return whether the type is a timestamp, with or without time zone."""
    return type_ is not None and type_.this in {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}


def list_type(element: exp.DataType) -> exp.DataType:
    """Return `array(element)`."""
    return exp.DataType(this=exp.DType.ARRAY, expressions=[element.copy()], nested=True)


def element_type(type_: exp.DataType) -> exp.DataType:
    """Return the element of a list's type, or the value of a map's."""
    if type_.this not in {exp.DType.ARRAY, exp.DType.MAP} or not type_.expressions:
        raise MartError(f"{describe(type_)}; expected a list or a map")
    found = type_.expressions[-1]
    return found.copy() if isinstance(found, exp.DataType) else of_kind(exp.DType.UNKNOWN)


def row_fields(type_: exp.DataType | None) -> dict[str, exp.DataType]:
    """Return the fields of a row's type, in order; none of any other type."""
    if type_ is None or type_.this is not exp.DType.STRUCT:
        return {}
    return {part.name: part.kind for part in type_.expressions if isinstance(part, exp.ColumnDef) and part.kind}


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


def is_double(type_: exp.DataType | None) -> bool:
    """Return whether the type is a double."""
    return type_ is not None and type_.this is exp.DType.DOUBLE


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


def compared_type(types: Iterable[exp.DataType | None]) -> exp.DataType:
    """Return the type in which values of `types` are compared: like common_type, but time zones may differ."""
    return common_type(
        timestamp_type(second_digits(type_)) if type_ is not None and type_.this is exp.DType.TIMESTAMPTZ else type_
        for type_ in types
    )


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
            raise MartError(
                f"{describe(left)} and {describe(right)} have no common type of 38 digits; CAST one of them"
            )
        return decimal_type(precision, scale)
    if pair <= {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}:
        return _common_time(left, right)
    if pair == {exp.DType.ARRAY}:
        return list_type(common_type((element_type(left), element_type(right))))
    raise MartError(f"{describe(left)} and {describe(right)} have no common type; CAST one of them")


def _common_time(left: exp.DataType, right: exp.DataType) -> exp.DataType:
    """Return the common type of two dates or timestamps; a date and a local timestamp become one in UTC."""
    most = max(second_digits(one) for one in (left, right) if one.this is not exp.DType.DATE)
    zoned = [one for one in (left, right) if one.this is exp.DType.TIMESTAMPTZ]
    if not zoned:
        return local_type(most)
    zones = {time_zone(one) for one in zoned} | ({UTC} if len(zoned) == 1 else set())
    if len(zones) > 1:
        raise MartError(f"{describe(left)} and {describe(right)} are of two time zones; write AT TIME ZONE for both")
    return timestamp_type(most, zones.pop())


def require_known(type_: exp.DataType | None) -> exp.DataType:
    """Return the type. Raises UnknownType if it is unknown."""
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
