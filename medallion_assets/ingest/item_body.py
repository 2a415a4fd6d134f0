"""An item in a request or an answer: plain JSON, or DynamoDB JSON.

In plain JSON the contract says which AttributeValue a value becomes, as for dropped files: a list under a set column is
a set, a text under a binary column is base64. Numbers keep their digits in both directions; they are never floats.

Belongs here: the text of an item. Does not belong here: whether DynamoDB takes it (stored_item), its contract
(validate).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.item import parse_json, to_item, whole_columns
from medallion_assets.ingest.mismatch import Mismatch, NotAnItem
from medallion_assets.ingest.stored_item import Item, stored_item

DYNAMODB_JSON: Final = "application/x-amz-json-1.0"
"""The content type of DynamoDB's own JSON: `{"price": {"N": "1.10"}}`."""


def read_json(body: str | bytes) -> Any:
    """Return a body as JSON whose numbers keep their digits. Raises NotAnItem if it is no JSON."""
    try:
        return parse_json(body)
    except (ValueError, RecursionError):
        raise NotAnItem(Mismatch("body", "no JSON, or JSON that is nested too deeply", "a JSON object")) from None


def item_of(contract: Contract, written: Any, *, dynamodb_json: bool = False) -> Item:
    """Return the item that a JSON value is. A null in plain JSON is a missing attribute. Raises NotAnItem."""
    if not isinstance(written, Mapping):
        raise NotAnItem(Mismatch("body", type(written).__name__, "a JSON object of attributes"))
    try:
        return stored_item(written if dynamodb_json else to_item(written, whole_columns(contract)))
    except RecursionError:
        raise NotAnItem(Mismatch("body", "JSON that is nested too deeply", "at most 32 levels")) from None


def plain_body(item: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return an item as plain JSON. Sets are sorted lists, binary is base64 text."""
    return orjson.dumps({name: _plain(tagged) for name, tagged in item.items()})


def dynamodb_body(item: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return an item as DynamoDB JSON."""
    return orjson.dumps(item, default=_base64)


def _plain(tagged: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one for each type
    ((tag, inside),) = tagged.items()
    match tag:
        case "N":
            return orjson.Fragment(inside)
        case "NS":
            return [orjson.Fragment(one) for one in sorted(inside, key=Decimal)]
        case "SS":
            return sorted(inside)
        case "B":
            return _base64(inside)
        case "BS":
            return [_base64(one) for one in sorted(inside)]
        case "NULL":
            return None
        case "M":
            return {name: _plain(one) for name, one in inside.items()}
        case "L":
            return [_plain(one) for one in inside]
        case _:
            return inside


def _base64(binary: Any) -> str:
    return base64.b64encode(binary).decode()
