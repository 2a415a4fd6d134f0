"""Which items of a DynamoDB table are those of a contract: `where: {PK: 'USER#*', SK: PROFILE}`.

Belongs here: what such patterns say, and whether two contracts of one table can claim one item. Does not belong here:
testing items; decode, reconciliation and the judge of the histories each do it in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema


@dataclass(frozen=True)
class TextPattern:
    """A text, or the beginning of one. It matches a text, and a number or boolean as DynamoDB writes it."""

    text: str
    is_prefix: bool = False

    def __str__(self) -> str:
        return f"{self.text}*" if self.is_prefix else self.text


def parse_pattern(written: Any) -> TextPattern:
    """Return the pattern that is written as text, number or boolean; `*` at the end is any rest. Raises ValueError."""
    if isinstance(written, TextPattern):
        return written
    if isinstance(written, bool):
        return TextPattern("true" if written else "false")
    if isinstance(written, int):
        return TextPattern(str(written))
    if not isinstance(written, str) or not written:
        raise ValueError(f"expected a text such as PROFILE or 'USER#*', found {written!r:.80}")
    text, is_prefix = written.removesuffix("*"), written.endswith("*")
    if "*" in text:
        raise ValueError(f"{written!r:.80}: a * stands only at the end, for any rest of the text")
    return TextPattern(text, is_prefix)


PatternText = Annotated[
    TextPattern,
    PlainValidator(parse_pattern),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["string", "integer", "boolean"], "examples": ["PROFILE", "USER#*"]}),
]
"""A TextPattern as a pydantic field that is written as text."""

Where = Mapping[str, TextPattern]
"""The patterns of a contract by attribute; an item is the contract's if all match. Without any, every item is."""


def can_both_match(one: Where, other: Where) -> bool:
    """Return whether an item may match the patterns of both."""
    return all(_can_both(one[attribute], other[attribute]) for attribute in one.keys() & other.keys())


def _can_both(one: TextPattern, other: TextPattern) -> bool:
    if one.is_prefix and other.is_prefix:
        return one.text.startswith(other.text) or other.text.startswith(one.text)
    if one.is_prefix:
        return other.text.startswith(one.text)
    if other.is_prefix:
        return one.text.startswith(other.text)
    return one.text == other.text
