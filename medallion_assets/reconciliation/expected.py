"""Which items of a source should have a row in Silver, and which rows of Silver have an item in the source.

A soft-deleted item has no row. A row that the contract keeps after its item expired has no item. Belongs here: SQL of
these two questions. It shares no code with the decoder, so that a mistake in one of the two shows as a difference.
"""

from __future__ import annotations

from medallion_assets.contracts.model import Contract
from medallion_assets.lake.duck import literal
from medallion_assets.silver.table import EXPIRED_AT


def expects_row(contract: Contract, item: str) -> str:
    """Return SQL of whether Silver should have a row of an item, DynamoDB JSON as text; never null."""
    if contract.deleted_when is None:
        return "TRUE"
    attribute, value = contract.deleted_when.attribute, contract.deleted_when.value
    tagged = f"""json_transform(json_transform({item}, '"MAP(VARCHAR, JSON)"')[{literal(attribute)}],
        '"MAP(VARCHAR, VARCHAR)"')"""
    tag = f"map_keys({tagged})[1]"
    if value is None:
        return f"coalesce({tag} = 'NULL', TRUE)"
    return f"NOT coalesce({tag} IN ('S', 'N', 'BOOL') AND map_values({tagged})[1] = {literal(value)}, FALSE)"


def unexpired(scan: str) -> str:
    """Return SQL of the rows whose items have not expired; `scan` is SQL of all rows of a table that keeps others."""
    return f"(FROM {scan} WHERE {EXPIRED_AT} IS NULL)"
