"""An item that fits a contract, as DynamoDB's API writes it: something to put into an empty table.

Belongs here: one value of each type. Does not belong here: traffic (`generator`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import TAGS, ColumnType
from medallion_assets.local.moment_text import write_moment


def example_item(contract: Contract, now: datetime) -> dict[str, Any]:
    """Return the key and the required attributes of an item, each as an AttributeValue (`{"S": "example"}`).

    It keeps the rules `values`, `min` and `max`, and matches `where`. A `pattern` it does not know how to match.
    """
    whole = [column for column in contract.columns.values() if column.template is None]
    found = {column.attribute: _value(column, now) for column in whole if column.name in contract.required_names}
    # A composite text must have all of its parts, so it is written where any of them is.
    for column in contract.columns.values():
        if (template := column.template) is not None and column.part is not None:
            found[column.attribute] = {
                "S": column.part.format_map({name: _part(contract, name) for name in template.names})
            }
    for attribute, pattern in (contract.where or {}).items():
        ((tag, text),) = found.get(attribute, {"S": ""}).items()
        if not (text.startswith(pattern.text) if pattern.is_prefix else text == pattern.text):
            found[attribute] = {tag: f"{pattern.text}example" if pattern.is_prefix else pattern.text}
    return found


def _part(contract: Contract, name: str) -> str:
    columns = [one for one in contract.columns.values() if one.template is not None and name in {one.label, one.name}]
    return "1" if not columns or columns[0].type.kind != "string" else "example"


def _value(column: Column, now: datetime) -> dict[str, Any]:
    for rule in column.rules:
        if rule.written_values:
            first = rule.typed_values(column.type)[0]
            return _written(column, first.isoformat() if isinstance(first, date) else first)
    if column.written and column.type.kind in {"date", "timestamp"}:
        moment = write_moment(now, {"iso": column.type.kind}.get(column.written[0], column.written[0]))
        return {"N": str(moment)} if isinstance(moment, int) else {"S": moment}
    ((tag, value),) = _of_type(column.type, now).items()
    return _written(column, value) if column.written else {tag: value}


def _written(column: Column, value: object) -> dict[str, Any]:
    """Return a scalar in the first format that the column says, in its type's own if it says none."""
    kind, how = column.type.kind, column.written[0] if column.written else None
    if kind == "bool":
        if how == "number":
            return {"N": str(int(bool(value)))}
        words = {None: None, "bool": None, "text": "true/false"}.get(how, how)
        return {"BOOL": value} if words is None else {"S": words.split("/")[0 if value else 1]}
    return {"S" if how == "text" else TAGS[kind][0]: str(value)}


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
    return {TAGS[type_.kind][0]: examples.get(type_.kind, "1")}
