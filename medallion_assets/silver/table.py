"""What a Silver table and its quarantine table look like: namespaces, columns, Arrow schemas.

Belongs here: names that readers and writers of the two tables share. Does not belong here: any row.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract

SILVER: Final = "silver"
QUARANTINE: Final = "quarantine"

EXTRA: Final = "_extra"
SEQUENCE: Final = "_sequence_number"
DELETED: Final = "_deleted"
EVENT_ID: Final = "_event_id"
CHANGED_AT: Final = "_changed_at"
CAPTURED_AT: Final = "_captured_at"

# DynamoDB's sequence numbers have at most 40 digits; padded to that, the order of text is the order of integers.
SEQUENCE_DIGITS: Final = 40

_UTC: Final = pa.timestamp("us", tz="UTC")

META_COLUMNS: Final = pa.schema(
    [
        pa.field(EXTRA, pa.string()),
        pa.field(SEQUENCE, pa.string(), nullable=False),
        pa.field(DELETED, pa.bool_(), nullable=False),
        pa.field(EVENT_ID, pa.string(), nullable=False),
        pa.field(CHANGED_AT, _UTC),
        pa.field(CAPTURED_AT, _UTC, nullable=False),
    ]
)

QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("column_name", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("keys", pa.string(), nullable=False),
        pa.field("new_image", pa.string()),
        pa.field("old_image", pa.string()),
        pa.field("object", pa.string(), nullable=False),
        pa.field("capture_day", pa.date32(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("held_at", _UTC, nullable=False),
        pa.field("resolved_at", _UTC),
    ]
)


def silver_schema(contract: Contract, domain: Domain) -> pa.Schema:
    """The Arrow schema of a contract's Silver table: its columns, those that enrichment adds, META_COLUMNS.

    The key's columns are required. Everything else is nullable: a tombstone has only its key and meta columns.
    """
    fields = [
        pa.field(column.name, column.type.arrow(), nullable=column.name not in contract.key_names)
        for column in contract.columns.values()
    ]
    for part in contract.enrich:
        there = domain.by_name[part.table].by_name
        fields += [pa.field(name, there[source].type.arrow()) for name, source in part.columns.items()]
    return pa.schema([*fields, *META_COLUMNS])
