"""An item that fits a contract, as DynamoDB's API writes it: something to put into an empty table.

Belongs here: one value of each type. Does not belong here: traffic (`generator`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import TAGS, ColumnType


def example_item(contract: Contract, now: datetime) -> dict[str, Any]:
    """Return the key and the required attributes of an item, each as an AttributeValue (`{"S": "example"}`).

    It keeps the rules `values`, `min` and `max`. A `pattern` it does not know how to match.
    """
    return {
        column.attribute: _value(column, now)
        for column in contract.columns.values()
        if column.name in contract.required_names
    }


def _value(column: Column, now: datetime) -> dict[str, Any]:
    for rule in column.rules:
        if rule.written_values:
            first = rule.typed_values(column.type)[0]
            return {_tag(column.type): first.isoformat() if isinstance(first, date) else _written(first)}
    return _of_type(column.type, now)


def _of_type(type_: ColumnType, now: datetime) -> dict[str, Any]:
    match type_.kind:
        case "list":
            return {"L": []}
        case "set" if type_.element is not None:
            ((tag, text),) = _of_type(type_.element, now).items()
            return {f"{tag}S": [text]}
        case "map" | "json":
            return {"M": {}}
        case "struct":
            return {"M": {attribute: _of_type(part, now) for attribute, _, part in type_.fields}}
    examples = {
        "bool": True,
        "binary": "ZXhhbXBsZQ==",
        "date": f"{now:%Y-%m-%d}",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "string": "example",
    }
    return {_tag(type_): examples.get(type_.kind, "1")}


def _tag(type_: ColumnType) -> str:
    """Return how DynamoDB marks a scalar of the type."""
    return TAGS[type_.kind][0]


def _written(value: object) -> object:
    return value if isinstance(value, bool) else str(value)
