"""What one item adds to a counter: its group and its amounts, or nothing.

Belongs here: reading the attributes of an image, exactly, by the rules of `silver.attribute_value`. Does not belong
here: changes (change), and adding (step).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import orjson

from medallion_assets.live.counter import Condition, Counter, Value

Group = str
"""The parts of a group as a JSON list: text, integer, boolean or null each, a day as text."""

LONGEST_GROUP: Final = 1_000
"""Bytes of a group as JSON. DynamoDB's sort keys have at most 1,024."""

EXACT: Final = Context(prec=400, Emax=999_999, Emin=-999_999)
"""In which numbers and keys are computed: the default context rounds to 28 digits."""

_LIMITS: Final = {"int": 2**31, "bigint": 2**63}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.\d{1,6}0*)?(Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)", re.ASCII
)


class Contribution(NamedTuple):
    """One item in a counter. An amount is None where the item has none."""

    group: Group
    amounts: tuple[Decimal | None, ...]


class Misfit(ValueError):
    """A value that is not exactly one of its column's type."""


def contribution(counter: Counter, image: Mapping[str, Mapping[str, Any]] | None) -> Contribution | None:
    """Return what an item adds; None for one that the counter does not count.

    Such an item is missing, fails the counter's condition or the contract's, or has a value that does not fit its type:
    Silver sets its row aside, too.
    """
    if image is None:
        return None
    if not all(_passes(one, image) for one in counter.passes) or any(_passes(one, image) for one in counter.fails):
        return None
    try:
        parts = [_part(value, image.get(value.attribute)) for value in counter.by]
        if counter.day is not None:
            parts.append(_day(counter.day, image.get(counter.day.attribute)))
        amounts = tuple(_amount(value, image.get(value.attribute)) for value in counter.sums)
    except Misfit:
        return None
    group = orjson.dumps(parts)
    return Contribution(group.decode(), amounts) if len(group) <= LONGEST_GROUP else None


def _passes(one: Condition, image: Mapping[str, Mapping[str, Any]]) -> bool:
    tagged = image.get(one.attribute)
    if tagged is None:
        return False
    ((tag, inside),) = tagged.items()
    if one.text is None:
        return bool(tag != "NULL")
    if tag not in {"S", "N", "BOOL"}:
        return False
    text = inside if isinstance(inside, str) else ("true" if inside else "false")
    return bool(text.startswith(one.text) if one.is_prefix else text == one.text)


def _part(value: Value, tagged: Mapping[str, Any] | None) -> str | int | bool | None:
    if tagged is None:
        return None
    match value.kind, *next(iter(tagged.items())):
        case _, "NULL", _:
            return None
        case "string", "S" | "N", str(text):
            return text
        case "bool", "BOOL", bool(truth):
            return truth
        case "int" | "bigint", "N", str(text):
            return int(_number(value, text))
        case "date" | "timestamp", "S", _:
            return _day(value, tagged)
    raise Misfit(value.name)


def _amount(value: Value, tagged: Mapping[str, Any] | None) -> Decimal | None:
    match next(iter(tagged.items())) if tagged is not None else ("NULL", True):
        case "NULL", _:
            return None
        case "N", str(text):
            return _number(value, text)
    raise Misfit(value.name)


def _number(value: Value, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Misfit(value.name) from None
    _, digits, exponent = number.normalize(EXACT).as_tuple()
    if not isinstance(exponent, int):
        raise Misfit(value.name)
    if value.kind == "decimal":
        whole_digits = len(digits) + exponent if number else 0
        if -exponent > value.scale or whole_digits > value.precision - value.scale:
            raise Misfit(value.name)
        return number.quantize(Decimal(1).scaleb(-value.scale), context=EXACT)
    limit = _LIMITS[value.kind]
    if exponent < 0 or not -limit <= number < limit:
        raise Misfit(value.name)
    return number.quantize(Decimal(1), context=EXACT)


def _day(value: Value, tagged: Mapping[str, Any] | None) -> str | None:
    """Return the UTC day of a date or a timestamp, as text."""
    match next(iter(tagged.items())) if tagged is not None else ("NULL", True):
        case "NULL", _:
            return None
        case "S", str(text):
            try:
                return _utc_day(value, text).isoformat()
            except (ValueError, OverflowError):
                raise Misfit(value.name) from None
    raise Misfit(value.name)


def _utc_day(value: Value, text: str) -> date:
    if value.kind == "date" and _DAY.fullmatch(text):
        return date.fromisoformat(text)
    if value.kind == "timestamp" and (match := _MOMENT.fullmatch(text)):
        return datetime.fromisoformat(match[1] + match[2]).astimezone(UTC).date()
    raise Misfit(value.name)
