"""A write as data: what a batch has many of, and each message of the inbound queue is.

Belongs here: reading one, and doing it. Does not belong here: who may do it, and what it does in DynamoDB (items).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from medallion_assets.ingest.item_body import item_of
from medallion_assets.ingest.item_key import key_of_item
from medallion_assets.ingest.items import ANY, Items, Precondition, Written
from medallion_assets.ingest.mismatch import Mismatch, NotAnItem
from medallion_assets.ingest.refusal import mismatched
from medallion_assets.ingest.stored_item import Item

WriteVerb: TypeAlias = Literal["post", "put", "patch", "delete"]
_FIELDS: Final = frozenset({"verb", "table", "item", "key", "if_match"})


@dataclass(frozen=True)
class Operation:
    """One write.

    - table: the lake name of a table
    - key: the key as JSON, of every verb but post
    - item: the item as JSON, or of patch the changed attributes; None of delete
    - dynamodb_json: whether key and item are in DynamoDB's own JSON
    """

    verb: WriteVerb
    table: str
    key: Any
    item: Any
    expected: Precondition = ANY
    dynamodb_json: bool = False

    def do(self, items: Items) -> Written:
        """Do it. Raises Refused."""
        if self.verb == "post":
            return write(items, "post", {}, self.item, dynamodb_json=self.dynamodb_json)
        key = key_of_item(items.contract, _item(items, self.key, dynamodb_json=self.dynamodb_json))
        return write(items, self.verb, key, self.item, expected=self.expected, dynamodb_json=self.dynamodb_json)


def read_operation(written: Any, *, dynamodb_json: bool = False) -> Operation:
    """Return an operation that is written as JSON. Raises Refused."""
    if not isinstance(written, Mapping) or written.get("verb") not in get_args(WriteVerb):
        raise mismatched([Mismatch("verb", "something else", "post, put, patch or delete")])
    if unknown := set(written) - _FIELDS:
        name = min(unknown).encode(errors="replace").decode()[:80]
        raise mismatched([Mismatch(name, "an unknown field", ", ".join(sorted(_FIELDS)))])
    table, match = written.get("table"), written.get("if_match")
    if not isinstance(table, str):
        raise mismatched([Mismatch("table", "something else", "the lake name of a table")])
    if match is not None and not re.fullmatch(r"[0-9]{1,18}", str(match)):
        raise mismatched([Mismatch("if_match", "something else", "the version of the item, a number")])
    return Operation(
        cast(WriteVerb, written["verb"]),
        table,
        written.get("key"),
        written.get("item"),
        ANY if match is None else Precondition(versions=frozenset([int(str(match))])),
        dynamodb_json,
    )


def write(
    items: Items, verb: WriteVerb, key: Item, body: Any, *, expected: Precondition = ANY, dynamodb_json: bool = False
) -> Written:
    """Do one write with a body as JSON. Raises Refused."""
    match verb:
        case "delete":
            return items.remove(key, expected)
        case "post":
            return items.create(_item(items, body, dynamodb_json=dynamodb_json))
        case "put":
            return items.replace(key, _item(items, body, dynamodb_json=dynamodb_json), expected)
    if not isinstance(body, Mapping):
        raise mismatched([Mismatch("body", type(body).__name__, "a JSON object of attributes")])
    gone = {name: {"NULL": True} for name, value in body.items() if value is None}
    kept = {name: value for name, value in body.items() if value is not None}
    removed = dict.fromkeys(_item(items, gone, dynamodb_json=True))
    return items.change(key, {**_item(items, kept, dynamodb_json=dynamodb_json), **removed}, expected)


def _item(items: Items, written: Any, *, dynamodb_json: bool) -> Item:
    try:
        return item_of(items.contract, written, dynamodb_json=dynamodb_json)
    except NotAnItem as wrong:
        raise mismatched(wrong.mismatches) from None
