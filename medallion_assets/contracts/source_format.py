"""How the value of a column is written at the source, where that is not DynamoDB's own type of it.

Belongs here: which formats a type may have, and which of them no value can confuse. Does not belong here: reading a
value (silver.source_format, and the two reference decoders), a part of a composite key (key_part).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from medallion_assets.contracts.mistakes import Mistake
from medallion_assets.contracts.rule_value import Scalar, TypedValue, typed_value
from medallion_assets.contracts.time_pattern import parse_pattern
from medallion_assets.contracts.time_zone import known_zone
from medallion_assets.contracts.types import ColumnType

MAX_NUMBER_CHARACTERS: Final = 100
"""A longer text is no number."""

_NUMBERS: Final = ("int", "bigint", "decimal", "double")
_EXACT_NUMBERS: Final = ("int", "bigint", "decimal")
_SCALARS: Final = ("string", "bool", *_NUMBERS, "date", "timestamp")
_NAMED: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_NUMBERS, ("number", "text")),
    "bool": ("bool", "number", "text"),
    "date": ("iso", "epoch_days"),
    "timestamp": ("iso", "epoch_seconds", "epoch_millis"),
}
"""The formats that have names, the usual one of each type first."""

_PAIR: Final = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_-]+", re.ASCII)
_TRUTHS: Final = ("true/false", "yes/no", "1/0")
_NUMBER_SHAPE: Final = re.compile(r"-?9+(\.9+)?")
_LOCAL_ISO_SHAPE: Final = re.compile(r"9999-99-99T99:99:99(\.9+)?")


def _several(written: Any) -> Any:
    return (written,) if isinstance(written, str) else written


class SourceFormat(BaseModel):
    """The part of a column that says how its value is written at the source."""

    written: Annotated[
        tuple[str, ...],
        BeforeValidator(_several),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = Field(
        default=(),
        min_length=1,
        alias="from",
        description="One format or several: number, text, bool or words such as yes/no; iso, epoch_days, "
        "epoch_seconds, epoch_millis or a pattern such as dd.MM.yyyy.",
    )
    zone: Annotated[str, AfterValidator(known_zone)] | None = Field(
        default=None, description="The time zone of times that are written without an offset, like Europe/Berlin."
    )
    fraction: Literal["refuse", "round", "cut"] = Field(
        default="refuse", description="What to do with more digits after the point than the type has."
    )
    empty_as_null: bool = Field(default=False, description="Whether an empty text is a missing value.")
    default: Scalar | None = Field(default=None, description="The value where there is none, or null.")


def formats_of(type_: ColumnType, written: tuple[str, ...], *, of_text: bool) -> tuple[str, ...]:
    """Return the formats in which a column is read: those written, or the usual one; none for a type without formats.

    `of_text`: the column is a part of a text, in which a number is written as text.
    """
    named = _NAMED.get(type_.kind, ())
    usual = "text" if of_text and "text" in named else named[0] if named else None
    return written or ((usual,) if usual else ())


def truth_words(format_: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words, in lower case, that a format of a bool reads as true and as false."""
    pairs = [pair.lower().split("/") for pair in (_TRUTHS if format_ == "text" else (format_,))]
    return frozenset(true for true, _ in pairs), frozenset(false for _, false in pairs)


def default_value(type_: ColumnType, written: Any) -> TypedValue | None:
    """Return a column's default as a value of its type. Raises ValueError."""
    return None if written is None else typed_value(type_, written)


def format_mistakes(type_: ColumnType, said: SourceFormat, *, of_text: bool) -> Iterator[Mistake]:
    """Yield what does not go together in one column: a format that its type does not have, or two that look alike."""
    wrong = [text for one in said.written if (text := _unknown(type_, one, of_text=of_text))]
    yield from (Mistake(("from",), text) for text in wrong)
    if not wrong:
        formats = formats_of(type_, said.written, of_text=of_text)
        confused = (_confused(type_, said, *pair) for pair in combinations(formats, 2))
        yield from (Mistake(("from",), text) for text in confused if text is not None)
        yield from _zone_mistakes(type_, said, formats)
    if said.fraction != "refuse" and type_.kind not in {*_EXACT_NUMBERS, "timestamp"}:
        yield Mistake(("fraction",), f"a {type_} has none; expected with int, bigint, decimal or timestamp")
    for field, given in (("empty_as_null", said.empty_as_null), ("default", said.default is not None)):
        if given and type_.kind not in _SCALARS:
            yield Mistake((field,), f"expected with one of {', '.join(_SCALARS)}, this column is {type_}")
    if type_.kind in _SCALARS:
        try:
            default_value(type_, said.default)
        except ValueError as unfit:
            yield Mistake(("default",), f"{unfit}, because the column is {type_}")


def _zone_mistakes(type_: ColumnType, said: SourceFormat, formats: tuple[str, ...]) -> Iterator[Mistake]:
    patterns = [one for one in formats if type_.kind == "timestamp" and one not in _NAMED["timestamp"]]
    if patterns and said.zone is None:
        text = f"missing; a time written as {patterns[0]!r} has no offset, so say in which zone it is (UTC is one)"
        yield Mistake(("zone",), text)
    if said.zone is not None and not (type_.kind == "timestamp" and (patterns or "iso" in formats)):
        yield Mistake(("zone",), "expected with type timestamp, from iso or a pattern")


def _unknown(type_: ColumnType, format_: str, *, of_text: bool) -> str | None:
    """Return why a type has no such format; None if it has."""
    named = _NAMED.get(type_.kind)
    if named is None:
        return f"a {type_} is written in one way only; leave `from` out"
    if of_text and format_ in {"number", "bool"}:
        return f"{format_!r} is no format of a part, which is text; leave `from` out"
    if format_ in named:
        return None
    if type_.kind == "bool":
        words = _PAIR.fullmatch(format_) is not None and len(set(format_.lower().split("/"))) > 1
        return None if words else f"{format_!r:.80}; expected one of {', '.join(named)}, or two words such as yes/no"
    if type_.kind in {"date", "timestamp"}:
        return _wrong_pattern(type_, format_)
    return f"{format_!r:.80}; expected one of {', '.join(named)}"


def _wrong_pattern(type_: ColumnType, format_: str) -> str | None:
    try:
        pattern = parse_pattern(format_)
    except ValueError as wrong:
        return f"{wrong}; or one of {', '.join(_NAMED[type_.kind])}"
    if pattern.has_time == (type_.kind == "timestamp"):
        return None
    return f"{format_!r} has {'a' if pattern.has_time else 'no'} time of day, this column is {type_}"


def _confused(type_: ColumnType, said: SourceFormat, one: str, other: str) -> str | None:
    """Return why a value may be of both formats with different meanings; None if it cannot."""
    if one == other:
        return f"{one!r} stands twice"
    if type_.kind == "bool":
        alike = [] if {one, other} & {"bool", "number"} else _opposites(one, other)
        return f"{one!r} and {other!r} both read {alike[0]!r}, with opposite meanings; leave one out" if alike else None
    patterns = [format_ for format_ in (one, other) if format_ not in _NAMED[type_.kind]]
    if not patterns:
        return None
    shapes, *more = [parse_pattern(pattern).shapes for pattern in patterns]
    beside = other if one in patterns else one
    alike = sorted(
        shape
        for shape in shapes
        if (shape in more[0] if more else _named_reads(beside, shape, local=said.zone is not None))
    )
    return f"{one!r} and {other!r} both read texts like {alike[0]} (9 is a digit); leave one out" if alike else None


def _opposites(one: str, other: str) -> list[str]:
    """Return the words that one format of a bool reads as true and the other as false."""
    (true, false), (other_true, other_false) = truth_words(one), truth_words(other)
    return sorted((true & other_false) | (false & other_true))


def _named_reads(format_: str, shape: str, *, local: bool) -> bool:
    if format_ == "iso":
        return shape == "9999-99-99" or (local and _LOCAL_ISO_SHAPE.fullmatch(shape) is not None)
    return _NUMBER_SHAPE.fullmatch(shape) is not None
