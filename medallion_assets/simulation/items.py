"""Items: what DynamoDB takes, how it writes it down, and items of every type by the dice.

Belongs here: the ten types' rules (limits, trimmed numbers, sets without order), sizes, key order, random items. Does
not belong here: a table's contents (table).
An item is {attribute: {tag: value}} as boto3's client gives it: numbers as text, binary as bytes.
Sources: DynamoDB developer guide, "Supported data types and naming rules", "Constraints", "DynamoDB item sizes".
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from medallion_assets.simulation.aws_error import invalid

Item = dict[str, dict[str, Any]]
Key = tuple[str | bytes, ...]
"""An item's key as its values alone, hash first: numbers as their text."""

TAGS: Final = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")

_ITEM_BYTES: Final = 400 * 1024
_LEVELS: Final = 32
_DIGITS: Final = 38
_SMALLEST, _LARGEST = -130, 125
_EXACT: Final = Context(prec=400)
# Longer numbers than this are written with an exponent.
_PLAIN: Final = 40


def normal(item: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return the item as DynamoDB stores it: copied, numbers trimmed. Raises AwsError for what it does not take."""
    copied = {name: normal_value(tagged) for name, tagged in item.items()}
    if (size := size_bytes(copied)) > _ITEM_BYTES:
        raise invalid(f"Item size has exceeded the maximum allowed size ({size} of {_ITEM_BYTES} bytes)")
    return copied


def normal_value(tagged: Mapping[str, Any], level: int = 1) -> dict[str, Any]:  # noqa: PLR0911, PLR0912 - one per type
    """Return an AttributeValue as DynamoDB stores it. Raises AwsError."""
    if len(tagged) != 1:
        raise invalid("Supplied AttributeValue is empty or has more than one datatypes set, must contain exactly one")
    ((tag, inside),) = tagged.items()
    match tag:
        case "S":
            if not isinstance(inside, str):
                raise _mistyped(tag, inside)
            return {"S": inside}
        case "N":
            return {"N": normal_number(inside)}
        case "BOOL":
            if not isinstance(inside, bool):
                raise _mistyped(tag, inside)
            return {"BOOL": inside}
        case "NULL":
            if inside is not True:
                raise invalid("One or more parameter values were invalid: Null attribute value types must have true")
            return {"NULL": True}
        case "B":
            return {"B": _binary(inside)}
        case "M" | "L":
            if level >= _LEVELS:
                raise invalid("Nesting Levels have exceeded supported limits")
            if tag == "M":
                return {"M": {name: normal_value(one, level + 1) for name, one in inside.items()}}
            return {"L": [normal_value(one, level + 1) for one in inside]}
        case "SS" | "NS" | "BS":
            return {tag: _set(tag, inside)}
    raise invalid(f"{tag!r} is not a type; expected one of {', '.join(TAGS)}")


def normal_number(text: object) -> str:
    """Return a number as DynamoDB writes it. Raises AwsError for more than 38 digits and beyond 1E-130 to 9.9E+125."""
    if not isinstance(text, str):
        raise _mistyped("N", text)
    if text.isascii() and text.isdecimal() and len(text) < _DIGITS and (text[0] != "0" or len(text) == 1):
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}") from None
    if not number.is_finite():
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    if not number:
        return "0"
    number = number.normalize(_EXACT)
    if len(number.as_tuple().digits) > _DIGITS:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    if number.adjusted() > _LARGEST:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < _SMALLEST:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    plain = format(number, "f")
    return plain if len(plain) <= _PLAIN else format(number, "E")


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two items, or two maps, are equal for DynamoDB: the order of a set does not matter."""
    return one == other or (one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one))


def has_binary(item: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether an item has a binary value anywhere."""
    return any(_has_binary(tagged) for tagged in item.values())


def size_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return an item's size as DynamoDB counts it: names and values."""
    size = 0
    for name, tagged in item.items():
        size += _length(name) + _size(tagged)
    return size


def key_hash(value: str | bytes) -> int:
    """Return the place of a hash key's value among all, 0 to 2**128 - 1: it decides partition and order of a scan."""
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest())


def order(tag: str, value: str | bytes) -> Any:
    """Return what a sort key of this type is ordered by: numbers by value, text and binary by bytes."""
    return Decimal(value) if tag == "N" else value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value  # type: ignore[arg-type]


def random_value(dice: random.Random, *, depth: int = 3) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """Return an AttributeValue of any of the ten types, nested up to `depth` levels."""
    tag = dice.choice(TAGS if depth > 0 else [tag for tag in TAGS if tag not in "ML"])
    match tag:
        case "S":
            return {"S": _random_text(dice)}
        case "N":
            return {"N": random_number(dice)}
        case "B":
            return {"B": dice.randbytes(dice.randrange(12))}
        case "BOOL":
            return {"BOOL": dice.random() < 0.5}
        case "NULL":
            return {"NULL": True}
        case "M":
            return {"M": {_random_text(dice): random_value(dice, depth=depth - 1) for _ in range(dice.randrange(4))}}
        case "L":
            return {"L": [random_value(dice, depth=depth - 1) for _ in range(dice.randrange(4))]}
        case "SS":
            return {"SS": _random_set(dice, {_random_text(dice) for _ in range(3)})}
        case "NS":
            return {"NS": _random_set(dice, {random_number(dice) for _ in range(3)})}
    return {"BS": _random_set(dice, {dice.randbytes(dice.randrange(6)) for _ in range(3)})}


def random_number(dice: random.Random) -> str:
    """Return a number as DynamoDB writes it: money and counts mostly, now and then the ends of what it can hold."""
    digits = dice.choice((1, 3, 5, 9, 10, 18, 19, 38))
    whole = dice.randrange(10**digits)
    exponent = dice.choice((0, 0, 0, -2, -2, -9, dice.randint(_SMALLEST, _LARGEST - digits)))
    return normal_number(f"{dice.choice(('', '', '-'))}{whole}E{exponent}")


def _random_text(dice: random.Random) -> str:
    return "".join(dice.choices("abcdefgh AZ019\"'\\\n\té漢🜁\x00", k=dice.randrange(8)))


def _random_set(dice: random.Random, members: set[Any]) -> list[Any]:
    ordered = sorted(members)
    dice.shuffle(ordered)
    return ordered


def _binary(inside: object) -> bytes:
    if not isinstance(inside, bytes | bytearray):
        raise _mistyped("B", inside)
    return bytes(inside)


def _set(tag: str, inside: Any) -> list[Any]:
    if tag == "NS":
        members: list[Any] = [normal_number(one) for one in inside]
    else:
        members = [_binary(one) if tag == "BS" else normal_value({"S": one})["S"] for one in inside]
    if not members:
        raise invalid(f"One or more parameter values were invalid: An {tag} set may not be empty")
    if len(set(members)) < len(members):
        raise invalid("One or more parameter values were invalid: Input collection contains duplicates")
    return members


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one == other:
        return True
    if one.keys() != other.keys():
        return False
    ((tag, a),) = one.items()
    b = other[tag]
    if tag in {"SS", "NS", "BS"}:
        return set(a) == set(b)
    if tag == "M":
        return same(a, b)
    return tag == "L" and len(a) == len(b) and all(map(_same, a, b))


def _has_binary(tagged: Mapping[str, Any]) -> bool:
    for tag, inside in tagged.items():
        if tag in {"B", "BS"}:
            return True
        if tag == "M":
            return has_binary(inside)
        if tag == "L":
            return any(map(_has_binary, inside))
    return False


def _size(tagged: Mapping[str, Any]) -> int:  # noqa: PLR0911 - one for each type
    ((tag, inside),) = tagged.items()
    if tag == "S":
        return _length(inside)
    if tag == "N":
        return _number_size(inside)
    if tag == "M":
        return 3 + len(inside) + size_bytes(inside)
    if tag == "L":
        return 3 + len(inside) + sum(map(_size, inside))
    if tag == "B":
        return len(inside)
    if tag in {"SS", "NS", "BS"}:
        return sum(map({"SS": _length, "NS": _number_size, "BS": len}[tag], inside))
    return 1


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _number_size(text: str) -> int:
    """About a byte for two significant digits, one more, and one for the sign."""
    digits = len(text.partition("E")[0].replace("-", "").replace(".", "").strip("0"))
    return (digits + 1) // 2 + 1 + text.startswith("-")


def _mistyped(tag: str, inside: object) -> Exception:
    return invalid(f"a value of type {tag} is a Python {type(inside).__name__}")
