"""What keeps an item from being written: the field, what was seen and what was expected. It never has a value.

Belongs here: one mismatch, and the shape of a value. Does not belong here: finding mismatches (validate).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from medallion_assets.errors import MedallionError

_SHOWN_CHARACTERS: Final = 40
_FIELD_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not as the contract says.

    - field: the attribute, with the place inside it: `lines[0].price`
    - seen: type and shape of what is there
    - expected: what the contract says
    """

    field: str
    seen: str
    expected: str

    def as_json(self) -> dict[str, str]:
        """Return it as an answer has it: of a longer field the first 200 characters."""
        return {"field": self.field[:_FIELD_CHARACTERS], "seen": self.seen, "expected": self.expected}


class NotAnItem(MedallionError):
    """A request's body is no item that DynamoDB could store."""

    def __init__(self, *mismatches: Mismatch) -> None:
        super().__init__("; ".join(f"{one.field}: saw {one.seen}, expected {one.expected}" for one in mismatches))
        self.mismatches = mismatches


def shape(tagged: Mapping[str, Any] | None) -> str:
    """Return the type and the form of an AttributeValue, with 9 for each digit and a for each letter of a text."""
    if tagged is None:
        return "nothing"
    ((tag, inside),) = tagged.items()
    match tag:
        case "S":
            rest = "..." if len(inside) > _SHOWN_CHARACTERS else ""
            return f"S like '{''.join(map(_kind, inside[:_SHOWN_CHARACTERS]))}{rest}'"
        case "N":
            whole, _, part = inside.lstrip("-").partition(".")
            return f"N with {len(whole)} digits before the point and {len(part)} after it"
        case "B":
            return f"B of {len(inside)} bytes"
        case "BOOL" | "NULL":
            return str(tag)
        case _:
            return f"{tag} with {len(inside)} inside"


def _kind(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character.isascii() and character.isprintable() else "?"
