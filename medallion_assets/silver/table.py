"""The tables of a contract (Silver, deleted keys, quarantine, history): names, columns, properties and Arrow schemas.

Belongs here: the names that readers and writers of these tables share, and creating a Silver table. Does not belong
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
DELETED: Final = "deleted"
QUARANTINE: Final = "quarantine"
HISTORY: Final = "history"

EXTRA: Final = "_extra"
STREAM_CREATED_AT: Final = "_stream_created_at"
SEQUENCE: Final = "_sequence_number"
EVENT_ID: Final = "_event_id"
CHANGED_AT: Final = "_changed_at"
CAPTURED_AT: Final = "_captured_at"
EXPIRED_AT: Final = "_expired_at"
DELETED_BY: Final = "_deleted_by"

VERSION: Final = (STREAM_CREATED_AT, SEQUENCE)
"""The columns that order the changes of a key, the first one first."""

# Columns of decoded changes that no table has: whether the change is a deletion.
IS_DELETION: Final = "_is_deletion"

# Table properties of a Silver table, set in the commit that publishes a batch.
POSITION: Final = "medallion.position"
ROW_COUNT: Final = "medallion.row-count"
AUDITED_AT: Final = "medallion.audited-at"
# When the latest stream was created that a merged change came from.
STREAM: Final = "medallion.stream-created-at"
# How many changes that were merged were of items that no contract of the DynamoDB table matches. A change that is
# delivered twice may count twice.
OF_NO_ENTITY: Final = "medallion.changes-of-no-entity"
# Followed by the name of a referenced table: the snapshot of it that the enriched columns were copied from.
ENRICHED_FROM: Final = "medallion.enriched-from."
# Followed by the same name: the columns that were copied, new column -> column there, as JSON.
ENRICHED_COLUMNS: Final = "medallion.enriched-columns."

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
        pa.field(STREAM_CREATED_AT, _UTC, nullable=False),
        pa.field(SEQUENCE, pa.string(), nullable=False),
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
        pa.field("stream_arn", pa.string(), nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("column_name", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("keys", pa.string(), nullable=False),
        pa.field("new_image", pa.string()),
        pa.field("old_image", pa.string()),
        pa.field("user_identity", pa.string()),
        pa.field("object", pa.string(), nullable=False),
        pa.field("capture_day", pa.date32(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("quarantined_at", _UTC, nullable=False),
        pa.field("resolved_at", _UTC),
        pa.field("note", pa.string()),
    ]
)


def meta_columns(contract: Contract) -> pa.Schema:
    """Return META_COLUMNS and, if the contract keeps expired rows, EXPIRED_AT: when such a row expired, or null."""
    return META_COLUMNS.append(pa.field(EXPIRED_AT, _UTC)) if contract.on_expiry == "keep" else META_COLUMNS


def silver_schema(contract: Contract, domain: Domain) -> pa.Schema:
    """Return the Arrow schema of a contract's Silver table: its declared columns, then `meta_columns`.

    A column is required if it is of the key, or if a blocking rule of the contract requires it. Its comment in Iceberg
    is its type in the contract, which says more than the stored type: a set is stored as a list, JSON as text.
    """
    fields = [
        pa.field(name, type_.arrow(), nullable=name not in contract.required_names, metadata={"doc": str(type_)})
        for name, type_ in domain.silver_columns(contract).items()
    ]
    return pa.schema([*fields, *meta_columns(contract)])


def deleted_schema(contract: Contract) -> pa.Schema:
    """Return the Arrow schema of the table of a contract's deleted keys: its key, and what is known of the deletion.

    - STREAM_CREATED_AT, SEQUENCE, EVENT_ID: the change that deleted the key
    - CHANGED_AT: when the key was deleted at the source; null if a repair found that it is gone
    - CAPTURED_AT: when the deletion was captured
    - DELETED_BY: 'user', 'ttl' (DynamoDB's time to live), 'soft_delete' (an item that `deleted_when` calls deleted),
      'moved' (an item that `where` does not match any more) or 'repair'
    """
    key = [pa.field(column.name, column.type.arrow(), nullable=False) for column in contract.key_columns]
    meta = [META_COLUMNS.field(name) for name in (*VERSION, EVENT_ID, CHANGED_AT, CAPTURED_AT)]
    return pa.schema([*key, *meta, pa.field(DELETED_BY, pa.string(), nullable=False)])


def version_sql(alias: str = "") -> str:
    """Return SQL of the version of a row, a struct: comparing two of them compares the order of the changes."""
    prefix = f"{alias}." if alias else ""
    return f"{{'created': {prefix}{VERSION[0]}, 'number': {prefix}{VERSION[1]}}}"


def ensure_silver_table(lake: Lake, contract: Contract, schema: pa.Schema) -> Table:
    """Return the contract's Silver table to a writer: create it, or change its columns to those of the contract.

    `schema` is the result of `silver_schema`. Raises SchemaMismatch, LakeUnavailable.
    """
    renamed = {name: column.renamed_from for name, column in contract.by_name.items() if column.renamed_from}
    if renamed.keys() & set(contract.key_names) and lake.find(DELETED, contract.lake_name) is not None:
        keys = deleted_schema(contract)
        lake.ensure(DELETED, contract.lake_name, keys, key=contract.key_names, renamed=renamed)
    return lake.ensure(
        SILVER,
        contract.lake_name,
        schema,
        key=contract.key_names,
        partition_by=[(part.column, part.transform) for part in contract.partition],
        renamed=renamed,
        retired=[column.name for column in contract.retired.values()],
    )


def read_position(table: Table | None) -> Position:
    """Return which Bronze objects a Silver table contains; of a table that does not exist yet, none."""
    text = table.properties.get(POSITION) if table is not None else None
    return Position.from_json(text) if text else Position.start()
