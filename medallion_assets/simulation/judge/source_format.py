"""How the judge reads a value whose contract says how it is written: one value at a time, straight to what it means.

Shares no code with the decoder of the pipeline nor with its reference decoder; of a contract it takes what a file says.

Belongs here: formats, and parts of composite texts. Does not belong here: DynamoDB's own types (reference_decoder).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from medallion_assets.contracts.model import Column

_DIGITS: Final = frozenset("0123456789")
_ASCII_LOWER: Final = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_MICROS: Final = {"epoch_seconds": 10**6, "epoch_millis": 10**3}
_YEAR_1: Final = datetime(1, 1, 1)  # noqa: DTZ001 - a count of days, in no zone
_BOTH_FROM, _BOTH_TO = Fraction(10**8 * 10**6), Fraction(4_102_444_800 * 10**6)


class Unreadable(Exception):
    """A text or number that is not of the format."""


def missing(column: Column, tagged: Mapping[str, Any]) -> bool:
    """Return whether an attribute that is there says nothing."""
    return "NULL" in tagged or bool(column.empty_as_null and tagged == {"S": ""})


def default(column: Column) -> Any:
    """Return a column's value where the item has none."""
    written = column.default
    if written is None:
        return None
    match column.type.kind:
        case "date":
            return date.fromisoformat(str(written))
        case "timestamp":
            time = datetime.fromisoformat(str(written))
            return time.replace(tzinfo=time.tzinfo or UTC)
        case "double":
            return float(str(written))
        case _:
            return written


def written_otherwise(column: Column) -> bool:
    """Return whether a column is read here."""
    return bool(column.written or column.part or column.zone or column.fraction != "refuse")


def read_written(
    column: Column, tagged: Mapping[str, Any], plain: Callable[[Mapping[str, Any]], Any], misfit: type[Exception]
) -> Any:
    """Return the value; `plain` reads an AttributeValue in DynamoDB's own type of the column. Raises `misfit`."""
    if column.part is not None:
        names = (column.label, column.name)
        tagged = {"S": _cut(column.part, tagged.get("S"), names, misfit)}
    for format_ in _formats(column):
        try:
            found = _read(column, format_, tagged)
        except (Unreadable, ValueError, OverflowError):
            continue
        if not isinstance(found, dict):
            return found
        try:
            return plain(found)
        except misfit:
            continue
    raise misfit


def _formats(column: Column) -> tuple[str, ...]:
    if column.written:
        return column.written
    kind = column.type.kind
    if kind in {"date", "timestamp"}:
        return ("iso",)
    if kind == "string":
        return ("as it is",)
    return ("text",) if column.part is not None else ("bool" if kind == "bool" else "number",)


def _cut(part: str, text: str | None, names: tuple[str, str], misfit: type[Exception]) -> str:
    """Return the text of a placeholder, found piece by piece from the left."""
    if text is None:
        raise misfit
    first, *rest = part.split("{")
    pieces = [tuple(one.split("}")) for one in rest]
    ends = {after[0] for _, after in pieces if after}
    if not text.startswith(first):
        raise misfit
    left, found = text[len(first) :], None
    for name, after in pieces:
        stop = next((at for at, letter in enumerate(left) if letter in ends), len(left))
        if not stop or left[stop : stop + len(after)] != after:
            raise misfit
        found = left[:stop] if name in names else found
        left = left[stop + len(after) :]
    if left or found is None:
        raise misfit
    return found


def _read(column: Column, format_: str, tagged: Mapping[str, Any]) -> Any:
    kind, text = column.type.kind, tagged.get("S")
    if format_ == "as it is":
        return tagged
    if kind == "bool":
        return _truth(format_, tagged)
    if kind in {"date", "timestamp"}:
        return _moment(column, format_, tagged)
    if format_ == "text":
        if text is None:
            raise Unreadable
        number = text if _is_number(text) else None
    else:
        number = tagged.get("N")
    if number is None:
        raise Unreadable
    if kind == "double":
        float(Fraction(number))  # raises OverflowError for one that is too large
    if kind == "double" or column.fraction == "refuse":
        return {"N": number}
    unit = 10**column.type.scale
    scaled = abs(Fraction(number)) * unit
    whole = int(scaled + Fraction(1, 2)) if column.fraction == "round" else int(scaled)
    sign = "-" if Fraction(number) < 0 else ""
    return {"N": f"{sign}{whole}E-{column.type.scale}"}


def _is_number(text: str) -> bool:
    """Return whether a text has the form of one of DynamoDB's numbers, of at most 100 characters."""
    if len(text.encode()) > 100:
        return False
    mantissa, mark, exponent = text.replace("E", "e").partition("e")
    whole, point, part = mantissa.removeprefix("-").partition(".")
    power = exponent[1:] if exponent[:1] in {"+", "-"} else exponent
    if mark and not (_all_digits(power) and len(power) <= 3):
        return False
    return _all_digits(whole) and (not point or _all_digits(part))


def _all_digits(text: str) -> bool:
    return bool(text) and set(text) <= _DIGITS


def _truth(format_: str, tagged: Mapping[str, Any]) -> bool:
    if format_ == "bool":
        if "BOOL" not in tagged:
            raise Unreadable
        return bool(tagged["BOOL"])
    if format_ == "number":
        if "N" not in tagged or Fraction(tagged["N"]) not in {0, 1}:
            raise Unreadable
        return Fraction(tagged["N"]) == 1
    word = tagged.get("S", "").translate(_ASCII_LOWER)
    pairs = ["true/false", "yes/no", "1/0"] if format_ == "text" else [format_.translate(_ASCII_LOWER)]
    for pair in pairs:
        if word in (words := pair.split("/")):
            return words.index(word) == 0
    raise Unreadable


def _moment(column: Column, format_: str, tagged: Mapping[str, Any]) -> Any:
    is_day = column.type.kind == "date"
    if format_.startswith("epoch_"):
        number = tagged["N"] if "N" in tagged else tagged.get("S", "")
        if "N" not in tagged and not _is_number(number):
            raise Unreadable
        if is_day:
            days = Fraction(number)
            if days.denominator != 1:
                raise Unreadable
            return (_YEAR_1 + timedelta(days=719_162 + int(days))).date()
        micros = _whole_micros(Fraction(number) * _MICROS[format_], column.fraction)
        if set(_MICROS) <= set(column.written) and not _BOTH_FROM <= micros < _BOTH_TO:
            raise Unreadable
        return _instant(micros)
    text = tagged.get("S")
    if text is None:
        raise Unreadable
    if format_ != "iso":
        parts = _by_pattern(format_, text)
        if is_day:
            return date(parts["y"], parts["M"], parts["d"])
        return _in_zone(_counted(parts), column.zone)
    if is_day:
        return {"S": text}
    return _iso(column, text)


def _iso(column: Column, text: str) -> datetime:
    """Return the instant of a time in ISO 8601, with an offset or in the column's zone."""
    local, rest = _counted(_by_pattern("yyyy-MM-ddTHH:mm:ss", text[:19])), text[19:]
    if rest.startswith("."):
        digits = rest[1 : 1 + next((at for at, one in enumerate(rest[1:]) if one not in _DIGITS), len(rest) - 1)]
        rest = rest[1 + len(digits) :]
        if not digits:
            raise Unreadable
        local += timedelta(microseconds=int(digits[:6].ljust(6, "0")))
    else:
        digits = ""
    if column.fraction == "refuse" and digits[6:].strip("0"):
        raise Unreadable
    later = timedelta(microseconds=int(column.fraction == "round" and digits[6:7] >= "5"))
    if not rest and column.zone is not None:
        return _in_zone(local, column.zone) + later
    return (local - _offset(rest)).replace(tzinfo=UTC) + later


def _offset(text: str) -> timedelta:
    if text == "Z":
        return timedelta()
    digits = text[1:3] + text[-2:]
    if text[:1] not in {"+", "-"} or not _all_digits(digits) or text[3:-2] not in {"", ":"} or len(text) < 5:
        raise Unreadable
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise Unreadable
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)


def _whole_micros(micros: Fraction, fraction: str) -> int:
    if fraction == "refuse" and micros.denominator != 1:
        raise Unreadable
    return int((micros + Fraction(1, 2) if fraction == "round" else micros) // 1)


def _instant(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _by_pattern(pattern: str, text: str) -> dict[str, int]:
    """Return the numbers of a text by the letter of each field; a fraction in microseconds."""
    found, at = {}, 0
    for letter, width in _runs(pattern):
        if letter not in "yMdHmsS":
            if text[at : at + width] != letter * width:
                raise Unreadable
            at += width
            continue
        end = at + width
        if width == 1 and letter in "MdH" and text[end : end + 1] and text[end] in _DIGITS:
            end += 1
        digits = text[at:end]
        if len(digits) < width or not _all_digits(digits):
            raise Unreadable
        found[letter] = int(digits.ljust(6, "0")) if letter == "S" else int(digits)
        at = end
    if at != len(text):
        raise Unreadable
    return found


def _runs(pattern: str) -> Iterator[tuple[str, int]]:
    at = 0
    while at < len(pattern):
        end = at
        while end < len(pattern) and pattern[end] == pattern[at]:
            end += 1
        yield pattern[at], end - at
        at = end


def _counted(parts: Mapping[str, int]) -> datetime:
    """Return a local time from its numbers."""
    year, month, day = parts["y"], parts["M"], parts["d"]
    hour, minute, second = parts["H"], parts["m"], parts.get("s", 0)
    if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        raise Unreadable
    if hour > 23 or minute > 59 or second > 59:
        raise Unreadable
    days = timedelta(days=date(year, month, day).toordinal() - 1)
    return _YEAR_1 + days + timedelta(hours=hour, minutes=minute, seconds=second, microseconds=parts.get("S", 0))


def _in_zone(local: datetime, zone: str | None) -> datetime:
    """Return the first instant at which clocks in the zone show the local time."""
    place = ZoneInfo(zone or "UTC")
    instants = set()
    for fold in (0, 1):
        offset = local.replace(tzinfo=place, fold=fold).utcoffset()
        instant = (local - (offset or timedelta())).replace(tzinfo=UTC)
        if instant.astimezone(place).replace(tzinfo=None) == local:
            instants.add(instant)
    if not instants:
        raise Unreadable
    return min(instants)
