"""A second reader of source formats: an AttributeValue as a contract describes it, in DynamoDB's own type of it.

It shares no code with `silver.source_format`, which says what each format is, so that a mistake in one of the two shows
as a difference. `usual` brings a value into the writing that a column without a format has.

Belongs here: one value of one column. Does not belong here: reading it as its type (reference_decoder).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from medallion_assets.contracts.key_part import Template
from medallion_assets.contracts.model import Column
from medallion_assets.contracts.source_format import MAX_NUMBER_CHARACTERS, truth_words
from medallion_assets.contracts.time_pattern import parse_pattern

_EXACT: Final = Context(prec=2_000)
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?", re.ASCII)
_LONG: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\.(\d{6})(\d+)(|Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
_TOLD_APART: Final = (datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class Misfit(Exception):
    """A value does not fit its column's type."""


def is_missing(column: Column, tagged: Mapping[str, Any] | None) -> bool:
    """Return whether there is no value: none at all, NULL, or an empty text where the contract says so."""
    return tagged is None or "NULL" in tagged or (column.empty_as_null and tagged.get("S") == "")


def usual(column: Column, tagged: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a value that is not missing in DynamoDB's own writing of the column's type. Raises Misfit."""
    if column.is_usual:
        return tagged
    if column.template is not None:
        name = next(one for one in column.template.names if one in {column.label, column.name})
        tagged = {"S": _part(column.template, name, tagged)}
    if not column.formats:
        return tagged
    # ISO is last: whether a text is that is found out when it is read as its type.
    for format_ in sorted(column.formats, key="iso".__eq__):
        try:
            return _read(column, format_, tagged)
        except (Misfit, ValueError, OverflowError):
            continue
    raise Misfit(f"expected {column.expected}, saw {next(iter(tagged))}")


def _part(template: Template, name: str, tagged: Mapping[str, Any]) -> str:
    text = tagged.get("S")
    inside = f"[^{re.escape(template.ends)}]" if template.ends else "."
    pieces = [f"(?P<{one}>{inside}+)" for one in template.names]
    between = [re.escape(one) for one in template.texts]
    pattern = between[0] + "".join(piece + after for piece, after in zip(pieces, between[1:], strict=True))
    fits = None if text is None else re.fullmatch(pattern, text, re.DOTALL)
    if fits is None:
        raise Misfit("expected a text that fits the template")
    return fits[name]


def _read(column: Column, format_: str, tagged: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = column.type.kind
    if kind == "bool":
        return {"BOOL": _truth(format_, tagged)}
    if kind == "date":
        return {"S": _day(format_, tagged)}
    if kind == "timestamp":
        return {"S": _time(column, format_, tagged)}
    number = _number(tagged, text=format_ == "text")
    if kind == "double":
        if abs(float(number)) == float("inf"):
            raise Misfit("expected a finite number")
        return {"N": str(number)}
    if column.fraction != "refuse" and number != (whole := _to_scale(number, column.type.scale, column.fraction)):
        number = whole
    return {"N": str(number)}


def _to_scale(number: Decimal, scale: int, fraction: str) -> Decimal:
    rounding = ROUND_HALF_UP if fraction == "round" else ROUND_DOWN
    return number.quantize(Decimal(1).scaleb(-scale), rounding, context=_EXACT)


def _number(tagged: Mapping[str, Any], *, text: bool) -> Decimal:
    found = tagged.get("S" if text else "N")
    if found is None or (text and (len(found.encode()) > MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(found))):
        raise Misfit("expected a number")
    return Decimal(found)


def _truth(format_: str, tagged: Mapping[str, Any]) -> bool:
    if format_ == "bool" and "BOOL" in tagged:
        return bool(tagged["BOOL"])
    if format_ == "number" and "N" in tagged and Decimal(tagged["N"]) in {0, 1}:
        return Decimal(tagged["N"]) == 1
    if format_ not in {"bool", "number"} and tagged.get("S", "").isascii():
        true, false = truth_words(format_)
        word = tagged.get("S", "").lower()
        if word in true or word in false:
            return word in true
    raise Misfit("expected a truth value")


def _day(format_: str, tagged: Mapping[str, Any]) -> str:
    if format_ == "epoch_days":
        days = _number(tagged, text="S" in tagged)
        if days != days.to_integral_value(context=_EXACT):
            raise Misfit("expected whole days")
        day = date(1970, 1, 1) + timedelta(days=int(days)) if abs(days) < 10_000_000 else None
        if day is None or not _FIRST_DAY <= day <= _LAST_DAY:
            raise Misfit("expected a day of the years 1 to 9999")
        return day.isoformat()
    text = _text(tagged)
    return text if format_ == "iso" else _by_pattern(format_, text).date().isoformat()


def _time(column: Column, format_: str, tagged: Mapping[str, Any]) -> str:
    if format_ in {"epoch_seconds", "epoch_millis"}:
        time = _of_epoch(_number(tagged, text="S" in tagged), format_, column.fraction)
        if {"epoch_seconds", "epoch_millis"} <= set(column.formats) and not _TOLD_APART[0] <= time < _TOLD_APART[1]:
            raise Misfit("expected a time from 1973 to 2100, where seconds and milliseconds are told apart")
        return _iso_text(time)
    text = _text(tagged)
    if format_ != "iso":
        return _iso_text(_local(_by_pattern(format_, text), column.zone or "UTC"))
    more = timedelta()
    if column.fraction != "refuse" and (long := _LONG.fullmatch(text)):
        text = f"{long[1]}.{long[2]}{long[4]}"
        more = timedelta(microseconds=int(column.fraction == "round" and long[3][0] >= "5"))
    if column.zone is not None and _LOCAL.fullmatch(text):
        head, _, digits = text.partition(".")
        if digits[6:].strip("0"):
            raise Misfit("expected at most microseconds")
        local = datetime.fromisoformat(head).replace(microsecond=int(digits[:6].ljust(6, "0")))
        return _iso_text(_local(local, column.zone) + more)
    if not more:
        return text
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise Misfit("expected an offset")
    return _iso_text(time.astimezone(UTC) + more)


def _of_epoch(number: Decimal, format_: str, fraction: str) -> datetime:
    micros = number.scaleb(6 if format_ == "epoch_seconds" else 3, context=_EXACT)
    if fraction == "round":
        micros = _EXACT.add(micros, Decimal("0.5"))
    whole = micros.to_integral_value(ROUND_FLOOR)
    if abs(whole) > 10**18 or (fraction == "refuse" and whole != micros):
        raise Misfit("expected a time of the years 1 to 9999, at most to microseconds")
    return _EPOCH + timedelta(microseconds=int(whole))


def _by_pattern(pattern: str, text: str) -> datetime:
    tokens = parse_pattern(pattern).tokens
    pieces = [
        rf"(?P<{token.field}>[0-9]{{{token.digits[0]},{token.digits[-1]}}})" if token.field else re.escape(token.text)
        for token in tokens
    ]
    found = re.fullmatch("".join(pieces), text)
    if found is None:
        raise Misfit("expected a text of the pattern")
    parts = {name: int(digits) for name, digits in found.groupdict().items() if name != "fraction"}
    micros = int(found.groupdict().get("fraction", "").ljust(6, "0"))
    return datetime(**parts, microsecond=micros)  # type: ignore[arg-type]  # noqa: DTZ001 - a local time


def _local(local: datetime, zone: str) -> datetime:
    """Return the instant of a local time, the first of two. Raises Misfit if a change of the clock leaves it out."""
    instant = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local:
        raise Misfit(f"expected a time that exists in {zone}")
    return instant


def _iso_text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _text(tagged: Mapping[str, Any]) -> str:
    if "S" not in tagged:
        raise Misfit("expected text")
    return str(tagged["S"])
