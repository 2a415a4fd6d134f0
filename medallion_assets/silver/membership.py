"""DuckDB SQL of whether an item is of a contract's entity, and whether it is soft-deleted, by its image.

Belongs here: testing an image, as JSON text, against the conditions of a contract. Does not belong here: what a
condition says (contracts.entity, contracts.item_condition), what becomes of such a change (decode).
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from medallion_assets.contracts.entity import TextPattern, Where
from medallion_assets.contracts.item_condition import ItemCondition
from medallion_assets.contracts.loader import Source
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.duck import literal


def is_soft_deleted(contract: Contract, image: str) -> str:
    """Return SQL of whether an image, DynamoDB JSON as text, is of an item that `deleted_when` calls deleted."""
    return "FALSE" if contract.deleted_when is None else _holds(contract.deleted_when, image)


def is_of_entity(contract: Contract, image: str) -> str:
    """Return SQL of whether an image is of an item that the contract's `where` matches; never null."""
    return _all_match(contract.where or {}, image)


def has_key_of_entity(contract: Contract, keys: str) -> str:
    """Return SQL of whether items with these keys, DynamoDB JSON as text, can be of the contract's entity."""
    where, of_key = contract.where or {}, {column.attribute for column in contract.key_columns}
    return _all_match({attribute: where[attribute] for attribute in where if attribute in of_key}, keys)


def count_of_no_entity(connection: duckdb.DuckDBPyConnection, bronze: pa.Table, source: Source) -> int:
    """Return how many changes are of items that no contract of the table matches, before or after the change.

    A change whose images are both missing is not counted.
    """
    any_entity = " OR ".join(is_of_entity(contract, "image") for contract in source.contracts)
    connection.register("bronze", bronze)
    try:
        ((count,),) = connection.execute(f"""
            SELECT count(*) FROM (SELECT coalesce(new_image, old_image) AS image FROM bronze)
            WHERE image IS NOT NULL AND NOT ({any_entity})""").fetchall()
    finally:
        connection.unregister("bronze")
    return int(count)


def _all_match(where: Where, image: str) -> str:
    return " AND ".join(_matches(attribute, pattern, image) for attribute, pattern in where.items()) or "TRUE"


def _matches(attribute: str, pattern: TextPattern, image: str) -> str:
    if pattern.is_prefix:
        return f"coalesce(starts_with({_text(attribute, image)}, {literal(pattern.text)}), FALSE)"
    return f"coalesce({_text(attribute, image)} = {literal(pattern.text)}, FALSE)"


def _holds(condition: ItemCondition, image: str) -> str:
    """Return SQL of whether a condition is true of an image; never null."""
    if condition.value is None:
        there, null = (_pointer(condition.attribute, *more) for more in ((), ("NULL",)))
        return f"coalesce(json_exists({image}, {there}) AND NOT json_exists({image}, {null}), FALSE)"
    return f"coalesce({_text(condition.attribute, image)} = {literal(condition.value)}, FALSE)"


def _text(attribute: str, image: str) -> str:
    """Return SQL of a text, number or boolean of an image as text; null for anything else."""
    texts = [f"json_extract_string({image}, {_pointer(attribute, tag)})" for tag in ("S", "N", "BOOL")]
    return f"coalesce({', '.join(texts)})"


def _pointer(*keys: str) -> str:
    """Return a JSON pointer (RFC 6901) as a SQL literal."""
    return literal("/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys))
