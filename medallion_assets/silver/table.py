"""What a Silver table and its quarantine table look like: namespaces, columns, Arrow schemas.

Belongs here: names that readers and writers of the two tables share, and making the tables. Does not belong here: rows.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.capture.position import Position
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake

SILVER: Final = "silver"
QUARANTINE: Final = "quarantine"

EXTRA: Final = "_extra"
SEQUENCE: Final = "_sequence_number"
DELETED: Final = "_deleted"
EVENT_ID: Final = "_event_id"
CHANGED_AT: Final = "_changed_at"
CAPTURED_AT: Final = "_captured_at"

# Table properties of a Silver table, set in the commit that publishes a batch.
POSITION: Final = "medallion.position"
ROW_COUNT: Final = "medallion.row-count"
# Followed by the name of the referenced table: the snapshot of it that the enriched columns are from.
ENRICHED_FROM: Final = "medallion.enriched-from."

# Properties in the summary of a snapshot of a Silver table.
OBJECTS: Final = "medallion.objects"
RUN_ID: Final = "medallion.run-id"
CAPTURE_DAY: Final = "medallion.capture-day"
COUNTS: Final = "medallion.counts"

# What a row of a quarantine table is: not in Silver and waiting; in Silver after all; overtaken there by a newer change
# of its key; given up by somebody, who said why.
OPEN: Final = "open"
RESOLVED: Final = "resolved"
SUPERSEDED: Final = "superseded"
DROPPED: Final = "dropped"

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

# A Bronze row with what is wrong with it. `resolved_at` is when it stopped being held, for whichever reason; `note` is
# why it was dropped.
QUARANTINE_SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("approximate_creation_time", _UTC),
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
        pa.field("quarantined_at", _UTC, nullable=False),
        pa.field("resolved_at", _UTC),
        pa.field("note", pa.string()),
    ]
)


def silver_schema(contract: Contract, domain: Domain) -> pa.Schema:
    """The Arrow schema of a contract's Silver table: its columns, those that enrichment adds, META_COLUMNS.

    The key's columns are required. Everything else is nullable: a tombstone has only its key and meta columns.
    """
    fields = [
        pa.field(name, type_.arrow(), nullable=name not in contract.key_names)
        for name, type_ in domain.silver_columns(contract).items()
    ]
    return pa.schema([*fields, *META_COLUMNS])


def silver_table(lake: Lake, contract: Contract, domain: Domain) -> Table:
    """Return the contract's Silver table to a writer: create it, or add the columns it lacks. Raises SchemaMismatch."""
    return lake.ensure(
        SILVER,
        contract.lake_name,
        silver_schema(contract, domain),
        key=contract.key_names,
        partition_by=[(part.column, part.transform) for part in contract.partition],
    )


def read_position(table: Table | None) -> Position:
    """Return which Bronze objects a Silver table contains; of a table that does not exist yet, none."""
    text = table.properties.get(POSITION) if table is not None else None
    return Position.from_json(text) if text else Position.start()
