"""An item as DynamoDB stores it and as its stream will send it, made from DynamoDB JSON; refused where it would be.

Belongs here: what DynamoDB takes, whatever the contract: numbers of 38 digits, sets without repeats, texts in UTF-8.
Does not belong here: the contract (validate), plain JSON (item_body).

A number is brought into DynamoDB's own form, because that is what its stream sends: `1.10` is stored as `1.1`.
The item's size is left to DynamoDB, which refuses one over 400 KB.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

from medallion_assets.ingest.mismatch import Mismatch, NotAnItem

Tagged: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, Tagged]
"""An item as boto3's client takes it: attribute -> {tag: value}, binary as bytes."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,500}(\.[0-9]{1,500})?([eE][+-]?[0-9]{1,4})?")
_DIGITS: Final = 38
_SMALLEST, _LARGEST = -130, 125
_LEVELS: Final = 32
_EXACT: Final = Context(prec=2_000)
_TYPES: Final = "one of S, N, B, BOOL, NULL, L, M, SS, NS, BS"


def stored_item(written: Any) -> Item:
    """Return an item, given as DynamoDB JSON with binary as base64, in DynamoDB's own form. Raises NotAnItem."""
    if not isinstance(written, Mapping):
        raise _refused("item", type(written).__name__, "an object of attributes")
    return {_name(name, "item"): _value(name, tagged, 1) for name, tagged in written.items()}


def _value(place: str, tagged: Any, level: int) -> Tagged:  # noqa: PLR0911 - one for each type
    if not isinstance(tagged, Mapping) or len(tagged) != 1:
        raise _refused(place, type(tagged).__name__, f"an object with one key, {_TYPES}")
    if level > _LEVELS:
        raise _refused(place, f"more than {_LEVELS} levels", f"at most {_LEVELS} levels of lists and maps")
    ((tag, inside),) = tagged.items()
    match tag, inside:
        case "S", str():
            return {"S": _text(place, inside)}
        case "N", str():
            return {"N": _number(place, inside)}
        case "B", str():
            return {"B": _bytes(place, inside)}
        case "BOOL", bool():
            return {"BOOL": inside}
        case "NULL", True:
            return {"NULL": True}
        case "L", list():
            return {"L": [_value(f"{place}[{at}]", one, level + 1) for at, one in enumerate(inside)]}
        case "M", Mapping():
            return {
                "M": {_name(name, place): _value(f"{place}.{name}", one, level + 1) for name, one in inside.items()}
            }
        case "SS" | "NS" | "BS", list() if inside and all(isinstance(one, str) for one in inside):
            return {tag: _members(place, tag, inside)}
    raise _refused(place, f"{tag!r:.20} of {type(inside).__name__}", f"{_TYPES}, with a value of that type")


def _number(place: str, text: str) -> str:
    """Return a number as DynamoDB writes it: without an exponent and superfluous zeros."""
    if not _NUMBER.fullmatch(text):
        raise _refused(place, "N that is no number", "a number such as -12.5 or 1E20")
    number = Decimal(text)
    if not number:
        return "0"
    number = number.normalize(_EXACT)
    if len(number.as_tuple().digits) > _DIGITS:
        raise _refused(place, f"N with {len(number.as_tuple().digits)} digits", f"at most {_DIGITS} digits")
    if not _SMALLEST <= number.adjusted() <= _LARGEST:
        raise _refused(place, "N that is too large or too small", "a number from 1E-130 to below 1E126")
    return f"{number:f}"


def _members(place: str, tag: str, inside: list[str]) -> list[Any]:
    read: Mapping[str, Callable[[str, str], Any]] = {"SS": _text, "BS": _bytes, "NS": _number}
    members = [read[tag](place, one) for one in inside]
    if len(set(members)) < len(members):
        raise _refused(place, f"{tag} with a member twice", "each member of a set once")
    return members


def _name(name: Any, place: str) -> str:
    if name == "":
        raise _refused(place, "an attribute without a name", "a name of one character or more")
    return _text(place, name)


def _text(place: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(place, "half of a surrogate pair", "text that UTF-8 can write") from None
    return text


def _bytes(place: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refused(place, "B that is no base64", "bytes as base64 text") from None


def _refused(place: str, seen: str, expected: str) -> NotAnItem:
    return NotAnItem(Mismatch(place.encode(errors="replace").decode()[:200], seen, expected))
