"""A second decoder: every item of a DynamoDB table, decoded one by one in plain Python.

It follows the same contract as `silver.decode` and shares no code with it, so that a mistake in one of the two shows as
a difference. The rules of each type are written down in `silver.attribute_value`. It is fast enough to verify a table,
but not to load one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.reconciliation.reference_format import Misfit, is_missing, usual

Item = Mapping[str, Mapping[str, Any]]
"""An item as boto3's client gives it: attribute -> {tag: value}, binary as bytes."""

Key = tuple[Any, ...]

_LIMITS = {"int": 2**31, "bigint": 2**63}
_EXACT = Context(prec=300)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6}0*)?(Z|[+-]\d\d:?\d\d)", re.ASCII)


def key_of(contract: Contract, item: Item) -> Key:
    """Return the item's key as values; an AttributeValue as text where it does not fit its type."""
    try:
        return tuple(value(column.type, item[column.attribute]) for column in contract.key_columns)
    except (KeyError, Misfit):
        tagged = {column.attribute: item.get(column.attribute) for column in contract.key_columns}
        return (json.dumps(tagged, sort_keys=True, default=_base64),)


def row_of(contract: Contract, item: Item) -> dict[str, Any]:
    """Return the item's contract columns by lake name, and `_extra` as data. Raises Misfit naming the column."""
    row: dict[str, Any] = {}
    for name, column in contract.by_name.items():
        try:
            row[name] = column_value(column, item.get(column.attribute))
        except Misfit as misfit:
            raise Misfit(f"{name}: {misfit}") from misfit
    row["_extra"] = extra_of(contract, item)
    return row


def column_value(column: Column, tagged: Mapping[str, Any] | None) -> Any:
    """Return the column's value, as `value` does, of its attribute, None if the item has none. Raises Misfit."""
    if tagged is None or is_missing(column, tagged):
        return column.default_value
    return value(column.type, usual(column, tagged))


def extra_of(contract: Contract, item: Item) -> dict[str, Any] | None:
    """Return the attributes that the contract neither names nor drops, as comparable data; None if there are none."""
    kept = {
        name: comparable(tagged)
        for name, tagged in item.items()
        if name not in contract.dropped
        and (name not in contract.attributes or _more_inside(contract.attributes[name][0].type, tagged))
    }
    return kept or None


def comparable(tagged: Mapping[str, Any]) -> Any:
    """Return an AttributeValue in a form that compares: sets sorted, binary as text."""
    ((tag, inside),) = tagged.items()
    match tag:
        case "M":
            return tag, {name: comparable(one) for name, one in inside.items()}
        case "L":
            return tag, [comparable(one) for one in inside]
        case "SS" | "NS" | "BS":
            return tag, sorted(_base64(one) if isinstance(one, bytes) else one for one in inside)
        case "B":
            return tag, _base64(inside) if isinstance(inside, bytes) else inside
        case _:
            return tag, inside


def value(type_: ColumnType, tagged: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
    """Return an AttributeValue as a value of the type; sets are sorted lists, json is text. Raises Misfit."""
    ((tag, inside),) = tagged.items()
    if type_.kind == "json":
        return None if tag == "NULL" else _json_text(tagged)
    if tag == "NULL":
        return None
    match type_.kind, tag:
        case "string", "S" | "N":
            return inside
        case "bool", "BOOL":
            return inside
        case "binary", "B":
            return bytes(inside)
        case "date" | "timestamp", "S":
            return _day(inside) if type_.kind == "date" else _time(inside)
        case "int" | "bigint" | "decimal" | "double", "N":
            return _number(type_, inside)
        case "list", "L":
            return [value(_element(type_), one) for one in inside]
        case "set", "SS" | "NS" | "BS":
            return sorted(value(_element(type_), {tag[0]: one}) for one in inside)
        case "map", "M":
            return {name: value(_element(type_), one) for name, one in inside.items()}
        case "struct", "M":
            return {
                name: value(field, inside[attribute]) if attribute in inside else None
                for attribute, name, field in type_.fields
            }
    raise Misfit(f"expected {type_}, saw {tag}")


def _number(type_: ColumnType, text: str) -> int | float | Decimal:
    if type_.kind == "double":
        return float(text)
    number = Decimal(text)
    _, digits, exponent = number.normalize(_EXACT).as_tuple()
    if not isinstance(exponent, int):
        raise Misfit(f"expected {type_}, saw {text}")
    if type_.kind == "decimal":
        integer_digits = len(digits) + exponent if number else 0
        if -exponent > type_.scale or integer_digits > type_.precision - type_.scale:
            raise Misfit(f"expected {type_}, saw {text}")
        return number
    limit = _LIMITS[type_.kind]
    if exponent < 0 or not -limit <= number < limit:
        raise Misfit(f"expected {type_}, saw {text}")
    return int(number)


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise Misfit("expected YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as wrong:
        raise Misfit(str(wrong)) from wrong


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise Misfit("expected YYYY-MM-DDThh:mm:ss with Z or an offset")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise Misfit(str(wrong)) from wrong


def _json_text(tagged: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one for each tag
    ((tag, inside),) = tagged.items()
    match tag:
        case "N":
            return str(inside)
        case "NULL":
            return "null"
        case "M":
            return "{" + ",".join(f"{_text(name)}:{_json_text(inside[name])}" for name in sorted(inside)) + "}"
        case "L":
            return _array(_json_text(one) for one in inside)
        case "NS":
            return _array(sorted(inside, key=Decimal))
        case "SS" | "BS":
            return _array(map(_text, sorted(_base64(one) if isinstance(one, bytes) else one for one in inside)))
        case "B":
            return _text(_base64(inside))
        case _:
            return _text(inside)


def _array(parts: Iterable[str]) -> str:
    return "[" + ",".join(parts) + "]"


def _text(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False)


def _more_inside(type_: ColumnType, tagged: Mapping[str, Any]) -> bool:
    """Return whether a struct anywhere in the value has attributes that its type does not declare."""
    if type_.kind != "struct" and type_.element is None:
        return False
    ((tag, inside),) = tagged.items()
    if type_.kind == "struct" and tag == "M":
        declared = {attribute: field for attribute, _, field in type_.fields}
        return any(name not in declared or _more_inside(declared[name], one) for name, one in inside.items())
    if type_.element is None or tag not in {"L", "M"}:
        return False
    return any(_more_inside(type_.element, one) for one in (inside.values() if tag == "M" else inside))


def _element(type_: ColumnType) -> ColumnType:
    if type_.element is None:
        raise TypeError(f"{type_} has no element")
    return type_.element


def _base64(binary: bytes) -> str:
    return base64.b64encode(binary).decode()
