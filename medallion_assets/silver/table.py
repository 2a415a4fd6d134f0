"""The Silver table and the quarantine table of a contract: their names, columns, properties and Arrow schemas.

Belongs here: the names that readers and writers of the two tables share, and creating a Silver table. Does not belong
here: rows.
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
AUDITED_AT: Final = "medallion.audited-at"
# Followed by the name of a referenced table: the snapshot of it that the enriched columns were copied from.
ENRICHED_FROM: Final = "medallion.enriched-from."

# Properties in the summary of a snapshot of a Silver table.
OBJECTS: Final = "medallion.objects"
RUN_ID: Final = "medallion.run-id"
CAPTURE_DAY: Final = "medallion.capture-day"

# The status of a row of a quarantine table.
OPEN: Final = "open"  # not in Silver, and waiting
RESOLVED: Final = "resolved"  # valid after all, and in Silver
SUPERSEDED: Final = "superseded"  # Silver has a newer change of its key
DROPPED: Final = "dropped"  # somebody gave it up, with a reason

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

# A Bronze row and the reason why it is in quarantine. `resolved_at` is the time when it stopped being open, with any
# status; `note` is the reason why it was dropped.
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
    """Return the Arrow schema of a contract's Silver table: its declared columns, then META_COLUMNS.

    The key's columns are required. All other declared columns are nullable, because a tombstone has only its key.
    """
    fields = [
        pa.field(name, type_.arrow(), nullable=name not in contract.key_names)
        for name, type_ in domain.silver_columns(contract).items()
    ]
    return pa.schema([*fields, *META_COLUMNS])


def ensure_silver_table(lake: Lake, contract: Contract, schema: pa.Schema) -> Table:
    """Return the contract's Silver table to a writer: create it, or add the columns that it lacks.

    `schema` is the result of `silver_schema`. Raises SchemaMismatch, LakeUnavailable.
    """
    return lake.ensure(
        SILVER,
        contract.lake_name,
        schema,
        key=contract.key_names,
        partition_by=[(part.column, part.transform) for part in contract.partition],
    )


def read_position(table: Table | None) -> Position:
    """Return which Bronze objects a Silver table contains; of a table that does not exist yet, none."""
    text = table.properties.get(POSITION) if table is not None else None
    return Position.from_json(text) if text else Position.start()
