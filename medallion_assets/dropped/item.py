"""A row of a file as an item in DynamoDB JSON.

Belongs here: which AttributeValue a cell, a JSON value or a value of Parquet becomes, by the contract's column. Does
not belong here: whether it fits the column, which decoding decides as for every change (check).

Numbers stay the digits that the file has; they are never floats on the way.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.source_format import truth_words
from medallion_assets.contracts.types import TAGS, ColumnType

AttributeValue: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, AttributeValue]

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_TRUTHS: Final = {"true": True, "false": False}
_EPOCHS: Final = frozenset({"epoch_days", "epoch_seconds", "epoch_millis"})
_OF_NUMBERS: Final = frozenset({"int", "bigint", "decimal", "double"})


class Number(str):
    """The digits of a number."""

    __slots__ = ()


def is_number(text: str) -> bool:
    """Return whether a text has the form of a number."""
    return _NUMBER.fullmatch(text) is not None


def parse_json(text: str | bytes) -> Any:
    """Return a JSON value, its numbers as Number. Raises ValueError for anything else, NaN and Infinity included."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_refuse)


def whole_columns(contract: Contract) -> dict[str, Column | None]:
    """Return, by attribute, the column that says how it is written; None where all its columns are parts of a text."""
    return {
        attribute: next((column for column in columns if column.part is None), None)
        for attribute, columns in contract.attributes.items()
    }


def cell_reader(column: Column | None) -> Callable[[str], AttributeValue | None]:
    """Return what makes the AttributeValue of a cell's text; None is a missing value.

    An empty text is a missing value in every column that is not a string.
    """
    if column is None:
        return lambda cell: {"S": cell}
    kind = column.type.kind
    if kind not in TAGS:
        return lambda cell: _of_json(cell, column.type)
    tag = _tag_of_cells(column)
    return lambda cell: None if cell == "" and kind != "string" else tag(cell)


def _tag_of_cells(column: Column) -> Callable[[str], AttributeValue]:
    formats, kind = column.formats, column.type.kind
    if kind in _OF_NUMBERS:
        name = "N" if "number" in formats else "S"
        return lambda cell: {name: cell}
    if kind == "bool":
        return lambda cell: _truth(cell, formats)
    if kind == "binary":
        return lambda cell: {"B": cell}
    if _EPOCHS.intersection(formats):
        return lambda cell: {"N" if is_number(cell) else "S": cell}
    return lambda cell: {"S": cell}


def _truth(cell: str, formats: Sequence[str]) -> AttributeValue:
    lowered = cell.lower()
    words = [one for one in formats if one not in {"bool", "number"}]
    if any(lowered in side for one in words for side in truth_words(one)):
        return {"S": cell}
    if "number" in formats and is_number(cell):
        return {"N": cell}
    return {"BOOL": _TRUTHS[lowered]} if "bool" in formats and lowered in _TRUTHS else {"S": cell}


def _of_json(cell: str, type_: ColumnType) -> AttributeValue | None:
    if cell == "":
        return None
    try:
        return attribute_value(parse_json(cell), type_)
    except (ValueError, RecursionError):
        return {"S": cell}


def to_item(row: Mapping[str, Any], columns: Mapping[str, Column | None]) -> Item:
    """Return the item of a row of JSON or of Parquet; what is null is missing."""
    item = {}
    for attribute, found in row.items():
        if found is not None:
            column = columns.get(attribute)
            item[attribute] = attribute_value(found, column.type if column is not None else None)
    return item


def attribute_value(value: Any, type_: ColumnType | None) -> AttributeValue:  # noqa: PLR0911 - one for each kind
    """Return the AttributeValue of a value of JSON or of Parquet; `type_` None if the contract does not say one."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case Number():
            return {"N": str(value)}
        case str():
            return {"B" if type_ is not None and type_.kind == "binary" else "S": value}
        case int():
            return {"N": str(value)}
        case Decimal():
            return {"N": f"{value:f}"}
        case float():
            return {"N": repr(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case datetime() | date():
            return {"S": value.isoformat()}
        case Mapping():
            types = _field_types(type_)
            inner = {name: attribute_value(one, types(name)) for name, one in value.items()}
            return {"M": inner}
        case list() | tuple():
            return _several(value, type_)
        case _:
            return {"S": str(value)}


def _several(values: Sequence[Any], type_: ColumnType | None) -> AttributeValue:
    element = type_.element if type_ is not None else None
    if type_ is not None and type_.kind == "map" and all(isinstance(one, tuple) and len(one) == 2 for one in values):
        return {"M": {key: attribute_value(one, element) for key, one in values}}
    members = [attribute_value(one, element) for one in values]
    if type_ is None or type_.kind != "set":
        return {"L": members}
    tags = {tag for one in members for tag in one}
    if len(tags) != 1 or not tags <= {"S", "N", "B"}:
        return {"L": members}
    (tag,) = tags
    return {f"{tag}S": list(dict.fromkeys(one[tag] for one in members))}


def _field_types(type_: ColumnType | None) -> Callable[[str], ColumnType | None]:
    if type_ is None:
        return lambda name: None
    if type_.kind == "map":
        return lambda name: type_.element
    fields = {attribute: field for attribute, _, field in type_.fields}
    return fields.get


def is_item(value: object) -> bool:
    """Return whether a JSON value is an item in DynamoDB JSON."""
    return isinstance(value, dict) and all(_is_attribute_value(one) for one in value.values())


def _is_attribute_value(value: object) -> bool:  # noqa: PLR0911 - one for each type
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((tag, inner),) = value.items()
    match tag:
        case "S" | "N" | "B":
            return isinstance(inner, str)
        case "SS" | "NS" | "BS":
            return isinstance(inner, list) and all(isinstance(one, str) for one in inner)
        case "BOOL" | "NULL":
            return isinstance(inner, bool)
        case "L":
            return isinstance(inner, list) and all(map(_is_attribute_value, inner))
        case "M":
            return is_item(inner)
        case _:
            return False


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
