"""Which items of a source should have a row in Silver, and which rows of Silver have an item in the source.

An item of another entity and a soft-deleted one have no row. A row that the contract keeps after its item expired has
no item, and a row that came from a dropped file need not have one. Belongs here: SQL of these questions. It shares no
code with the decoder, so that a mistake in one of the two shows as a difference.
"""

from __future__ import annotations

from medallion_assets.contracts.dropped_files import EVENT_PREFIX
from medallion_assets.contracts.entity import TextPattern
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.duck import literal
from medallion_assets.silver.table import EVENT_ID, EXPIRED_AT


def expects_row(contract: Contract, item: str) -> str:
    """Return SQL of whether Silver should have a row of an item, DynamoDB JSON as text; never null."""
    conditions = [_is_like(pattern, item, attribute) for attribute, pattern in (contract.where or {}).items()]
    if contract.deleted_when is not None:
        attribute, value = contract.deleted_when.attribute, contract.deleted_when.value
        if value is None:
            conditions.append(f"coalesce(map_keys({_tagged(item, attribute)})[1] = 'NULL', TRUE)")
        else:
            conditions.append(f"NOT {_is_like(TextPattern(value), item, attribute)}")
    return " AND ".join(conditions) or "TRUE"


def _is_like(pattern: TextPattern, item: str, attribute: str) -> str:
    tagged = _tagged(item, attribute)
    text = f"map_values({tagged})[1]"
    fits = f"left({text}, {len(pattern.text)})" if pattern.is_prefix else text
    return f"coalesce(map_keys({tagged})[1] IN ('S', 'N', 'BOOL') AND {fits} = {literal(pattern.text)}, FALSE)"


def _tagged(item: str, attribute: str) -> str:
    """Return SQL of an attribute's value as a map of one entry, tag -> text."""
    return f"""json_transform(json_transform({item}, '"MAP(VARCHAR, JSON)"')[{literal(attribute)}],
        '"MAP(VARCHAR, VARCHAR)"')"""


def of_file() -> str:
    """Return SQL of whether a row of Silver came from a dropped file."""
    return f"starts_with({EVENT_ID}, {literal(EVENT_PREFIX)})"


def unexpired(scan: str) -> str:
    """Return SQL of the rows whose items have not expired; `scan` is SQL of all rows of a table that keeps others."""
    return f"(FROM {scan} WHERE {EXPIRED_AT} IS NULL)"
