"""The OpenAPI 3.1 document of the API, made from the contracts: paths of each table, and the JSON Schema of its items.

Belongs here: what a caller may send, as far as JSON Schema can say it. Does not belong here: the check (validate),
which alone decides: a schema has no decimals of 38 digits and no source formats, so it describes these in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.ingest.policy import Verb

_SCALARS: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "bigint": {"type": "integer"},
    "decimal": {"type": "number"},
    "double": {"type": "number"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "json": {},
}
_ANSWERS: Final[Mapping[Verb, Mapping[str, str]]] = {
    "get": {"200": "The item.", "404": "There is none."},
    "list": {"200": "A page of items, and the token of the next one."},
    "post": {"201": "It was created.", "409": "Its key is taken.", "422": "It does not fit its contract."},
    "put": {"200": "It was replaced.", "201": "It was created.", "412": "It has another version.", "422": "No fit."},
    "patch": {"200": "It was changed.", "404": "There is none.", "412": "It has another version.", "422": "No fit."},
    "delete": {"204": "It was deleted.", "404": "There is none.", "412": "It has another version."},
}


def openapi(title: str, tables: Sequence[tuple[Contract, frozenset[Verb]]]) -> dict[str, Any]:
    """Return the document of the tables and verbs that a caller may use."""
    paths: dict[str, Any] = {}
    for contract, verbs in tables:
        name = contract.lake_name
        keys = [column.attribute for column in contract.key_columns]
        for verb in sorted(verbs):
            path, parts = f"/v1/items/{name}", list(keys)
            if verb in {"list", "post"}:
                parts = []
            operation = _operation(verb, name, parts)
            path += "".join(f"/{{{part}}}" for part in parts)
            paths.setdefault(path, {})["get" if verb == "list" else verb] = operation
    schemas = {contract.lake_name: item_schema(contract) for contract, _ in tables}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def item_schema(contract: Contract) -> dict[str, Any]:
    """Return the JSON Schema of an item in plain JSON."""
    needed = contract.required_names
    properties = {
        attribute: _column(columns[0]) if len(columns) == 1 else {"description": columns[0].expected}
        for attribute, columns in contract.attributes.items()
    }
    required = [
        column.attribute
        for column in contract.columns.values()
        if column.name in needed and column.default is None and column.part is None
    ]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(dict.fromkeys(required))}
    if contract.description:
        schema["description"] = contract.description
    if contract.shape == "freeze":
        schema["additionalProperties"] = False
        schema["properties"] |= {name: {} for name in contract.dropped}
    return schema


def _operation(verb: Verb, table: str, parts: list[str]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{table}"}
    operation: dict[str, Any] = {
        "operationId": f"{verb}_{table}",
        "responses": {status: {"description": text} for status, text in _ANSWERS[verb].items()},
        "parameters": [{"name": one, "in": "path", "required": True, "schema": {"type": "string"}} for one in parts],
    }
    if verb == "list":
        operation["parameters"] = [
            {"name": name, "in": "query", "schema": {"type": kind}}
            for name, kind in (("limit", "integer"), ("next", "string"))
        ]
    elif verb == "get":
        operation["responses"]["200"]["content"] = {"application/json": {"schema": schema}}
    elif verb != "delete":
        sent = {"type": "object"} if verb == "patch" else schema
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": sent}}}
    return operation


def _column(column: Column) -> dict[str, Any]:
    if not column.is_usual:
        return {"description": column.expected}
    schema = _type(column.type)
    said = [column.description] if column.description else []
    for rule in column.rules:
        if rule.severity != "block" or rule.kind in {"required", "references"}:
            continue
        bound = rule.written_values[0] if rule.written_values else None
        if rule.kind == "values" and column.type.kind == "string":
            schema["enum"] = list(rule.written_values)
        elif rule.kind in {"min", "max"} and isinstance(bound, int | Decimal) and not isinstance(bound, bool):
            schema["minimum" if rule.kind == "min" else "maximum"] = int(bound) if bound == int(bound) else float(bound)
        else:
            said.append(f"{rule.kind}: {rule.pattern or ', '.join(map(str, rule.written_values))}")
    if column.type.kind == "decimal":
        said.append(str(column.type))
    return schema | ({"description": "; ".join(said)} if said else {})


def _type(type_: ColumnType) -> dict[str, Any]:
    if type_.kind == "struct":
        return {"type": "object", "properties": {name: _type(field) for name, _, field in type_.fields}}
    if type_.element is None:
        return dict(_SCALARS[type_.kind])
    inside = _type(type_.element)
    if type_.kind == "map":
        return {"type": "object", "additionalProperties": inside}
    return {"type": "array", "items": inside} | ({"uniqueItems": True} if type_.kind == "set" else {})
