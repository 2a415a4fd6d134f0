"""What `ops.health` and `ops.checks` look like, and adding to them.

Belongs here: names, columns, one commit that adds rows and says how far the runs are followed. Rows are only added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import pyarrow as pa

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish

OPS: Final = "ops"

Name = Literal["health", "checks"]

# A property of each table: runs that ended up to this time are counted in its rows.
FOLLOWED_TO: Final = "medallion.followed-to"

_UTC: Final = pa.timestamp("us", tz="UTC")

_KEY: Final = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("observed_at", _UTC, nullable=False),
    pa.field("layer", pa.string(), nullable=False),
    pa.field("table_name", pa.string(), nullable=False),
]

SCHEMAS: Final[Mapping[Name, pa.Schema]] = {
    "health": pa.schema(
        [
            *_KEY,
            pa.field("last_captured_at", _UTC),
            pa.field("contains_to", _UTC),
            pa.field("published_at", _UTC),
            pa.field("complete_to", _UTC),
            pa.field("row_count", pa.int64()),
            pa.field("pending_objects", pa.int64()),
            pa.field("pending_tables", pa.int64()),
            pa.field("quarantined_rows", pa.int64()),
            pa.field("dead_letters", pa.int64()),
            pa.field("open_gaps", pa.int64()),
            pa.field("verified_at", _UTC),
            pa.field("differing_rows", pa.int64()),
            pa.field("succeeded_steps", pa.int64(), nullable=False),
            pa.field("failed_steps", pa.int64(), nullable=False),
            pa.field("read_changes", pa.int64(), nullable=False),
            pa.field("merged_rows", pa.int64(), nullable=False),
            pa.field("newly_quarantined_rows", pa.int64(), nullable=False),
            pa.field("max_latency_ms", pa.int64()),
            pa.field("last_run_id", pa.string()),
        ]
    ),
    "checks": pa.schema(
        [
            *_KEY,
            pa.field("check_name", pa.string(), nullable=False),
            pa.field("blocking", pa.bool_(), nullable=False),
            pa.field("passed", pa.bool_(), nullable=False),
            pa.field("evaluations", pa.int64(), nullable=False),
            pa.field("failures", pa.int64(), nullable=False),
            pa.field("numbers", pa.string()),
            pa.field("run_id", pa.string(), nullable=False),
        ]
    ),
}
"""`ops.health` has one row per observation and table of a layer (`bronze`, `silver`, `gold`); `ops.checks` one per
observation and check that was evaluated since the previous observation. `observed_at` is when the row was made.

State at that time. Null: does not apply to the layer, or is not known.
- `last_captured_at`: capture time of the newest Bronze object in the table
- `contains_to`: every object captured up to then is in the table
- `published_at`: when the table was last published
- `complete_to`: every change of the stream up to then is in the table, as the ledger says
- `row_count`: live rows of the table
- `pending_objects`: Bronze objects that are not in the Silver table yet
- `pending_tables`: Silver tables that were published after the mart was computed from them
- `quarantined_rows`: rows that are in quarantine
- `dead_letters`: entries of the on-failure queue that are not repaired yet
- `open_gaps`: gaps by which changes are missing from the table
- `verified_at`: when the table was last compared with its source; `differing_rows`: how many rows differed then

What happened since the previous observation.
- `succeeded_steps`, `failed_steps`: steps of runs on the table
- `read_changes`, `merged_rows`, `newly_quarantined_rows`: what these steps read and wrote
- `max_latency_ms`: the longest time from the oldest change of a run to the publication that shows it
- `last_run_id`: the run of the last of these steps

A check.
- `blocking`: whether a failure stops the publication
- `evaluations`, `failures`: how often it was evaluated and how often it failed since the previous observation
- `passed`: whether the last evaluation passed
- `numbers`: what the last failed evaluation counted, or else the last one (JSON); `run_id`: its run

`id` begins with the time, so that a merge into a long table reads none of its files."""


def followed_to(lake: Lake, name: Name) -> datetime | None:
    """Up to when runs are counted in the table; None before its first row. Raises LakeUnavailable."""
    table = lake.find(OPS, name)
    text = table.properties.get(FOLLOWED_TO) if table is not None else None
    return datetime.fromisoformat(text) if text else None


def add(lake: Lake, name: Name, rows: Sequence[Mapping[str, Any]], *, followed_to: datetime) -> None:
    """Add rows and move `followed_to`, in one commit; then compact.

    Raises LakeUnavailable, CommitConflict.
    """
    schema = SCHEMAS[name]
    table = lake.ensure(OPS, name, schema, key=["id"], partition_by=[("observed_at", "month")])
    staged = stage_merge(
        lake,
        table,
        pa.Table.from_pylist([dict(row) for row in rows], schema=schema),
        key=["id"],
        branch="health",
        order_by="observed_at",
    )
    publish(lake, table, staged, properties={FOLLOWED_TO: followed_to.isoformat()})
    compact(lake, table, order_by="observed_at")


def row_id(observed_at: datetime, *names: str) -> str:
    """The key of a row: time first."""
    return "/".join([f"{observed_at:%Y%m%dT%H%M%S%f}", *names])
