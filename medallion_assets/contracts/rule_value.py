"""The value of a rule (`values`, `min`, `max`) as a value of its column's type, found when the file is loaded.

Belongs here: which texts and numbers are values of a type. Does not belong here: what it means to break a rule
(checks), and the values of DynamoDB items (silver).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from pydantic import PlainValidator, WithJsonSchema

from medallion_assets.contracts.types import ColumnType

TypedValue: TypeAlias = bool | int | Decimal | float | date | datetime | str

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?\Z", re.ASCII)
_UNUSABLE: Final = re.compile("[\0\ud800-\udfff]")
_BITS: Final = {"int": 31, "bigint": 63}


def _scalar(written: Any) -> bool | int | Decimal | date | datetime | str:
    if isinstance(written, bool | int | Decimal | date | datetime):
        return written
    if isinstance(written, str):
        return str(written)
    raise ValueError("expected one value: text, a number, true or false")


Scalar = Annotated[
    bool | int | Decimal | date | datetime | str,
    PlainValidator(_scalar),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]}),
]
"""One value as YAML reads it, so a date is still text. `typed_value` makes it a value of the column's type."""


def typed_value(type_: ColumnType, written: bool | int | Decimal | date | datetime | str) -> TypedValue:
    """Return `written` as a value of the column type; a timestamp without a zone is UTC.

    Raises ValueError that says what was expected.
    """
    return _TYPED[type_.kind](type_, written)


def _bool(_: ColumnType, written: Any) -> bool:
    _require(written, isinstance(written, bool), "true or false")
    return bool(written)


def _text(_: ColumnType, written: Any) -> str:
    _require(written, isinstance(written, str), "text; put it in quotes")
    _require(written, not _UNUSABLE.search(written), "text without NUL")
    return str(written)


def _number(written: Any, expected: str) -> Decimal:
    is_number = isinstance(written, int | Decimal) and not isinstance(written, bool)
    _require(written, is_number and Decimal(written).is_finite(), expected)
    return Decimal(written)


def _integer(type_: ColumnType, written: Any) -> int:
    largest = 2 ** _BITS[type_.kind] - 1
    expected = f"an integer from {-largest - 1} to {largest}"
    number = _number(written, expected)
    # The size is checked first, because int(1e1000000) would be an integer of a million digits.
    _require(written, number.copy_abs() <= 2**63 and number == number.to_integral_value(), expected)
    _require(written, -largest - 1 <= number <= largest, expected)
    return int(number)


def _decimal(type_: ColumnType, written: Any) -> Decimal:
    expected = f"a number with at most {type_.precision - type_.scale} digits before the point"
    expected += f" and {type_.scale} after it"
    number = _number(written, expected)
    _require(written, number.copy_abs() < Decimal(10) ** (type_.precision - type_.scale), expected)
    _, digits, exponent = number.as_tuple()
    beyond = -int(exponent) - type_.scale
    _require(written, beyond <= 0 or not any(digits[-beyond:]), expected)
    return number


def _double(_: ColumnType, written: Any) -> float:
    number = float(_number(written, "a number"))
    _require(written, math.isfinite(number), "a number below 1.8e308")
    return number


def _date(_: ColumnType, written: Any) -> date:
    if isinstance(written, date) and not isinstance(written, datetime):
        return written
    expected = "a day like 2026-01-31"
    _require(written, isinstance(written, str) and _DAY.match(written) is not None, expected)
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise _wrong(written, expected) from None


def _timestamp(_: ColumnType, written: Any) -> datetime:
    expected = "a time from the years 1 to 9999 like 2026-01-31T12:00:00Z"
    if isinstance(written, str) and _TIME.match(written):
        try:
            found = datetime.fromisoformat(written)
        except ValueError:
            raise _wrong(written, expected) from None
    elif isinstance(written, datetime):
        found = written
    elif isinstance(written, date):
        found = datetime(written.year, written.month, written.day, tzinfo=UTC)
    else:
        raise _wrong(written, expected)
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise _wrong(written, expected) from None


_TYPED: Final[Mapping[str, Callable[[ColumnType, Any], TypedValue]]] = {
    "string": _text,
    "bool": _bool,
    "int": _integer,
    "bigint": _integer,
    "decimal": _decimal,
    "double": _double,
    "date": _date,
    "timestamp": _timestamp,
}


def _require(written: Any, fits: bool, expected: str) -> None:
    if not fits:
        raise _wrong(written, expected)


def _wrong(written: Any, expected: str) -> ValueError:
    seen = repr(str(written)) if isinstance(written, str | date) else str(written).lower()
    return ValueError(f"{seen:.80}; expected {expected}")
