"""What `ops.health` and `ops.checks` look like, and adding to them.

Belongs here: names, columns, one commit that adds rows and says how far the runs are followed. Rows are only added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import pyarrow as pa

from medallion_assets.errors import TableMissing
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
    pa.field("looked_at", _UTC, nullable=False),
    pa.field("layer", pa.string(), nullable=False),
    pa.field("table_name", pa.string(), nullable=False),
]

SCHEMAS: Final[Mapping[Name, pa.Schema]] = {
    "health": pa.schema(
        [
            *_KEY,
            pa.field("newest_at", _UTC),
            pa.field("contains_to", _UTC),
            pa.field("published_at", _UTC),
            pa.field("complete_to", _UTC),
            pa.field("rows", pa.int64()),
            pa.field("waiting", pa.int64()),
            pa.field("held", pa.int64()),
            pa.field("dead_letters", pa.int64()),
            pa.field("gaps", pa.int64()),
            pa.field("verified_at", _UTC),
            pa.field("differences", pa.int64()),
            pa.field("done", pa.int64(), nullable=False),
            pa.field("failed", pa.int64(), nullable=False),
            pa.field("changes", pa.int64(), nullable=False),
            pa.field("merged", pa.int64(), nullable=False),
            pa.field("quarantined", pa.int64(), nullable=False),
            pa.field("slowest_ms", pa.int64()),
            pa.field("run_id", pa.string()),
        ]
    ),
    "checks": pa.schema(
        [
            *_KEY,
            pa.field("check_name", pa.string(), nullable=False),
            pa.field("blocking", pa.bool_(), nullable=False),
            pa.field("passed", pa.bool_(), nullable=False),
            pa.field("evaluated", pa.int64(), nullable=False),
            pa.field("failed", pa.int64(), nullable=False),
            pa.field("found", pa.string()),
            pa.field("run_id", pa.string(), nullable=False),
        ]
    ),
}
"""`health` has one row per look and table of a layer (`bronze`, `silver`, `gold`), `checks` one per look and check that
was evaluated since the look before.

How it stood at the look: `newest_at` is when the newest object in it was captured; everything captured up to
`contains_to` is in it; it was last `published_at`; the stream's changes up to `complete_to` are in it (the ledger's
word); `waiting` is how many Bronze objects it lacks (of a mart: Silver tables that have moved on), `held` how many
changes wait in quarantine, `dead_letters` how often changes went to the on-failure queue and are not made good, `gaps`
how many gaps leave changes out of it; `verified_at` is when it was last held against its source, and `differences` how
many rows differed then. Null: it does not apply to the layer, or nobody can tell.

What happened since the look before: steps `done` and `failed`, `changes` read, `merged`, `quarantined`, the time from
the oldest change of a run to the publication that shows it (the longest: `slowest_ms`), the last `run_id`.

Of a check: how often it was `evaluated` and `failed`, whether it `passed` the last time, and the numbers that the last
one that failed `found`, or else the last (JSON).

`id` begins with the time, so that adding to a long table reads none of its files."""


def followed_to(lake: Lake, name: Name) -> datetime | None:
    """Up to when runs are counted in the table; None before its first row. Raises LakeUnavailable."""
    try:
        text = lake.table(OPS, name).properties.get(FOLLOWED_TO)
    except TableMissing:
        return None
    return datetime.fromisoformat(text) if text else None


def add(lake: Lake, name: Name, rows: Sequence[Mapping[str, Any]], *, followed_to: datetime) -> None:
    """Add rows and move `followed_to`, in one commit; then compact.

    Raises LakeUnavailable, CommitConflict.
    """
    schema = SCHEMAS[name]
    table = lake.ensure(OPS, name, schema, key=["id"], partition_by=[("looked_at", "month")])
    staged = stage_merge(
        lake,
        table,
        pa.Table.from_pylist([dict(row) for row in rows], schema=schema),
        key=["id"],
        branch="health",
        order_by="looked_at",
    )
    publish(lake, table, staged, properties={FOLLOWED_TO: followed_to.isoformat()})
    compact(lake, table, order_by="looked_at")


def row_id(looked_at: datetime, *names: str) -> str:
    """The key of a row: time first."""
    return "/".join([f"{looked_at:%Y%m%dT%H%M%S%f}", *names])
