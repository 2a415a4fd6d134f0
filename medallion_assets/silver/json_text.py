"""Plain JSON text for a column of type json, in the form that people and `json_extract` expect, without loss.

Numbers are JSON number literals with the digits that DynamoDB sends; sets are sorted arrays; binary is base64 text; an
object's keys are sorted, because DynamoDB's maps have no order.

Belongs here: DynamoDB JSON to plain JSON. Does not belong here: typed values (attribute_value).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from medallion_assets.contracts.types import ColumnType


def holds_json(type_: ColumnType) -> bool:
    """Return whether the type is json or contains it."""
    return (
        type_.kind == "json"
        or (type_.element is not None and holds_json(type_.element))
        or any(holds_json(field) for _, _, field in type_.fields)
    )


def plain_column(column: pa.ChunkedArray, type_: ColumnType) -> pa.Array:
    """Return the column with every DynamoDB JSON text in it rewritten as plain JSON."""
    return pa.array([_plain_in(value, type_) for value in column.to_pylist()], type_.arrow())


def plain_json(dynamodb_json: str) -> str:
    """Return one AttributeValue as plain JSON: `{"M": {"n": {"N": "1.10"}}}` -> `{"n":1.10}`."""
    return orjson.dumps(_plain_value(orjson.loads(dynamodb_json))).decode()


def _plain_in(value: Any, type_: ColumnType) -> Any:
    if value is None:
        return None
    if type_.kind == "json":
        return plain_json(value)
    if type_.kind == "struct":
        return {name: _plain_in(value[name], field) for _, name, field in type_.fields}
    if type_.element is None:
        return value
    if type_.kind == "map":
        return [(key, _plain_in(item, type_.element)) for key, item in value]
    return [_plain_in(item, type_.element) for item in value]


def _plain_value(attribute_value: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each type
    ((kind, value),) = attribute_value.items()
    match kind:
        case "N":
            return orjson.Fragment(value)
        case "NULL":
            return None
        case "M":
            return {name: _plain_value(value[name]) for name in sorted(value)}
        case "L":
            return [_plain_value(item) for item in value]
        case "SS" | "BS":
            return sorted(value)
        case "NS":
            return [orjson.Fragment(item) for item in sorted(value, key=Decimal)]
        case _:
            return value
