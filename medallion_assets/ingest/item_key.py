"""The key of an item in a path, and the opaque token of a page.

A part of a key stands in the path as it is; a part with other characters than letters, digits, `.`, `_` and `-` is
written as `~` and its bytes in base64url, because gateways decode paths, each in its own way.

Belongs here: keys as text. Does not belong here: reading items (items).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import TAGS
from medallion_assets.ingest.item_body import dynamodb_body
from medallion_assets.ingest.mismatch import Mismatch, NotAnItem, shape
from medallion_assets.ingest.refusal import Refused, mismatched
from medallion_assets.ingest.stored_item import Item, stored_item

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")
_MOST_KEY_BYTES: Final = (2048, 1024)
"""What DynamoDB takes as a hash key and as a range key."""


def key_of_path(contract: Contract, parts: Sequence[str]) -> Item:
    """Return the key that the parts of a path are: the hash key, then the range key if `parts` has it.

    Raises Refused.
    """
    columns = contract.key_columns
    if len(parts) > len(columns):
        raise Refused(404, "not_found", f"The key of {contract.lake_name} has {len(columns)} parts.")
    written = {
        column.attribute: {_tag(column): _of_path(part, binary=column.type.kind == "binary")}
        for column, part in zip(columns, parts, strict=False)
    }
    try:
        return _fitting(columns[: len(parts)], stored_item(written))
    except NotAnItem as wrong:
        raise mismatched(wrong.mismatches) from None


def key_of_item(contract: Contract, item: Item) -> Item:
    """Return the key of an item. Raises Refused if it has none, or one that DynamoDB would not take."""
    for column in contract.key_columns:
        tagged = item.get(column.attribute)
        if tagged is None or set(tagged) != {_tag(column)}:
            raise mismatched([Mismatch(column.attribute, shape(tagged), f"{_tag(column)}, of the key")])
    return _fitting(contract.key_columns, {one.attribute: item[one.attribute] for one in contract.key_columns})


def path_of_key(contract: Contract, key: Item) -> str:
    """Return the path of an item below `/v1/items`."""
    parts = [_to_path(key[column.attribute][_tag(column)]) for column in contract.key_columns]
    return "/".join([contract.lake_name, *parts])


def page_token(key: Item) -> str:
    """Return the opaque token of the page after an item."""
    return base64.urlsafe_b64encode(dynamodb_body(key)).decode().rstrip("=")


def key_of_token(contract: Contract, token: str) -> Item:
    """Return the key after which a page begins. Raises Refused for a token that is none of this table."""
    try:
        written = json.loads(_decoded(token))
        if not isinstance(written, Mapping) or set(written) != {one.attribute for one in contract.key_columns}:
            raise ValueError("not the attributes of the key")
        return key_of_item(contract, stored_item(written))
    except (ValueError, RecursionError, NotAnItem, Refused):
        raise Refused(400, "wrong_token", "`next` is no token of this table; use that of the last page.") from None


def _fitting(columns: Sequence[Column], key: Item) -> Item:
    """Return the key. Raises Refused if a part is empty or too long for DynamoDB."""
    for column, most in zip(columns, _MOST_KEY_BYTES, strict=False):
        inside = key[column.attribute][_tag(column)]
        if not 0 < len(inside.encode() if isinstance(inside, str) else inside) <= most:
            expected = f"1 to {most} bytes, of the key"
            raise mismatched([Mismatch(column.attribute, shape(key[column.attribute]), expected)])
    return key


def _tag(column: Column) -> str:
    return TAGS[column.type.kind][0]


def _of_path(part: str, *, binary: bool) -> str:
    """Return a part of a path as the text of an AttributeValue."""
    if not part.startswith("~"):
        return base64.b64encode(part.encode(errors="replace")).decode() if binary else part
    try:
        raw = _decoded(part[1:])
        return base64.b64encode(raw).decode() if binary else raw.decode()
    except ValueError:
        raise Refused(400, "wrong_key", "A part of the path begins with ~ and is no base64url of a key.") from None


def _to_path(inside: Any) -> str:
    text = inside.decode("latin-1") if isinstance(inside, bytes) else inside
    if _PLAIN.fullmatch(text) and text not in {".", ".."}:
        return str(text)
    raw = inside if isinstance(inside, bytes) else inside.encode()
    return "~" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Return the bytes of base64url without padding. Raises ValueError."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("no base64url") from None
