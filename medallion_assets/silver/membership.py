"""DuckDB SQL of whether an item's image is a row of its Silver table, or is soft-deleted.

Belongs here: testing an image, as JSON text, against the conditions of a contract. Does not belong here: what a
condition says (contracts.item_condition), what becomes of such a change (decode).
"""

from __future__ import annotations

from medallion_assets.contracts.item_condition import ItemCondition
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.duck import literal


def is_soft_deleted(contract: Contract, image: str) -> str:
    """Return SQL of whether an image, DynamoDB JSON as text, is of an item that `deleted_when` calls deleted."""
    return "FALSE" if contract.deleted_when is None else _holds(contract.deleted_when, image)


def _holds(condition: ItemCondition, image: str) -> str:
    """Return SQL of whether a condition is true of an image; never null."""
    if condition.value is None:
        there, null = (_pointer(condition.attribute, *more) for more in ((), ("NULL",)))
        return f"coalesce(json_exists({image}, {there}) AND NOT json_exists({image}, {null}), FALSE)"
    texts = [f"json_extract_string({image}, {_pointer(condition.attribute, tag)})" for tag in ("S", "N", "BOOL")]
    return f"coalesce(coalesce({', '.join(texts)}) = {literal(condition.value)}, FALSE)"


def _pointer(*keys: str) -> str:
    """Return a JSON pointer (RFC 6901) as a SQL literal."""
    return literal("/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys))
