"""Plain JSON text for a column of type json: what people and `json_extract` expect, with nothing lost on the way.

Numbers stand as DynamoDB sends them, digit for digit, as JSON number literals; sets are sorted arrays; binary is base64
text; an object's keys are sorted, for DynamoDB's maps have no order of their own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from medallion_assets.contracts.types import ColumnType


def holds_json(type_: ColumnType) -> bool:
    """Whether the type is json or has json in it."""
    return (
        type_.kind == "json"
        or (type_.element is not None and holds_json(type_.element))
        or any(holds_json(field) for _, _, field in type_.fields)
    )


def plain_column(column: pa.ChunkedArray, type_: ColumnType) -> pa.Array:
    """The column with every DynamoDB JSON text in it as plain JSON."""
    return pa.array([_plain(value, type_) for value in column.to_pylist()], type_.arrow())


def plain_json(dynamodb_json: str) -> str:
    """One value: `{"M": {"n": {"N": "1.10"}}}` -> `{"n":1.10}`."""
    return orjson.dumps(_untagged(orjson.loads(dynamodb_json))).decode()


def _plain(value: Any, type_: ColumnType) -> Any:
    if value is None:
        return None
    if type_.kind == "json":
        return plain_json(value)
    if type_.kind == "struct":
        return {name: _plain(value[name], field) for _, name, field in type_.fields}
    if type_.element is None:
        return value
    if type_.kind == "map":
        return [(key, _plain(item, type_.element)) for key, item in value]
    return [_plain(item, type_.element) for item in value]


def _untagged(tagged: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
    ((tag, value),) = tagged.items()
    match tag:
        case "N":
            return orjson.Fragment(value)
        case "NULL":
            return None
        case "M":
            return {name: _untagged(value[name]) for name in sorted(value)}
        case "L":
            return [_untagged(item) for item in value]
        case "SS" | "BS":
            return sorted(value)
        case "NS":
            return [orjson.Fragment(item) for item in sorted(value, key=Decimal)]
        case _:
            return value
