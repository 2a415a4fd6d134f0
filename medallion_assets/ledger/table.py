"""What the ledger's two tables look like, and writing to them.

Belongs here: names, columns, one merge that is planned again when another writer was faster. Does not belong here:
which rows are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.retry import retry_on_conflict

OPS: Final = "ops"
LEDGER: Final = "ledger"
GAPS: Final = "gaps"

# FollowerOffset by the lake name of a table: a property of `ops.ledger` that says how far it has followed that table.
OFFSET_PROPERTY: Final = "medallion.ledger-offset."

# The state of a recorded object: as it was recorded; no longer in Bronze; there with other contents.
PRESENT, MISSING, CHANGED = "present", "missing", "changed"

_UTC: Final = pa.timestamp("us", tz="UTC")

LEDGER_SCHEMA: Final = pa.schema(
    [
        pa.field("object", pa.string(), nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("captured_at", _UTC, nullable=False),
        pa.field("rows", pa.int64()),
        pa.field("first_sequence", pa.string()),
        pa.field("last_sequence", pa.string()),
        pa.field("newest_change", _UTC),
        pa.field("bytes", pa.int64()),
        pa.field("content_hash", pa.string()),
        pa.field("tag", pa.string()),
        pa.field("stream_arn", pa.string()),
        pa.field("shard_id", pa.string()),
        pa.field("after", pa.string()),
        pa.field("up_to", pa.string()),
        pa.field("dead_lettered", pa.int64()),
        pa.field("snapshot_id", pa.int64()),
        pa.field("run_id", pa.string()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("recorded_at", _UTC, nullable=False),
    ]
)
"""`table_name` is the lake name. Sequence numbers are padded to 40 digits, so that their order is that of the text;
`after` and `up_to` are the object's coverage on its shard, null for an object without one. `snapshot_id` is the first
Silver snapshot known to contain the object: all later ones do too. `tag` is the store's, for the bytes as recorded."""

GAPS_SCHEMA: Final = pa.schema(
    [
        pa.field("gap", pa.string(), nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("since", _UTC),
        pa.field("detected_at", _UTC, nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("remedy", pa.string(), nullable=False),
        pa.field("closed_at", _UTC),
        pa.field("closed_by", pa.string()),
    ]
)


@dataclass(frozen=True)
class FollowerOffset:
    """How far the ledger has followed a Silver table.

    `snapshot_id` is the last published snapshot whose objects are all recorded.
    `assumed_through`: the table's history no longer says which objects it contains up to this name (the ledger started
    later, or snapshots expired), so it is assumed to contain all of them.
    `complete_to`: up to this time the table has every change, aware UTC; None before that was ever known.
    """

    snapshot_id: int | None = None
    assumed_through: str | None = None
    complete_to: datetime | None = None

    @classmethod
    def read(cls, properties: Mapping[str, str], table: str) -> Self:
        """What the properties of `ops.ledger` say about the table of that lake name."""
        text = properties.get(OFFSET_PROPERTY + table)
        if text is None:
            return cls()
        fields = json.loads(text)
        complete_to = fields["complete_to"]
        return cls(
            fields["snapshot_id"],
            fields["assumed_through"],
            datetime.fromisoformat(complete_to) if complete_to else None,
        )

    @property
    def text(self) -> str:
        """It as the value of the table property."""
        complete_to = self.complete_to.isoformat() if self.complete_to else None
        return json.dumps(
            {"snapshot_id": self.snapshot_id, "assumed_through": self.assumed_through, "complete_to": complete_to}
        )


def find(lake: Lake, name: str) -> Table | None:
    """One of the ledger's tables, None before its first row. Raises LakeUnavailable."""
    return lake.find(OPS, name)


def write(
    lake: Lake,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str,
    properties: Mapping[str, str] = {},
) -> None:
    """Write rows, each in place of the one with its key, and set table properties, in one commit; then compact.

    Raises LakeUnavailable, and CommitConflict when other writers win every time.
    """
    schema, key = (LEDGER_SCHEMA, "object") if name == LEDGER else (GAPS_SCHEMA, "gap")
    # By table, so that a file's bounds are a stretch of time and a merge reads only the newest.
    layout = [("table_name", "identity")] if name == LEDGER else []
    table = lake.ensure(OPS, name, schema, key=[key], partition_by=layout)
    incoming = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)

    def write_once() -> None:
        # Equal in `order_by`, a row still replaces one that differs; a later look is never an older one.
        staged = stage_merge(
            lake,
            table,
            incoming,
            key=[key],
            branch=f"{AUDIT_BRANCH}{run_id}",
            rewrite_equal=True,
            order_by="recorded_at" if name == LEDGER else "detected_at",
        )
        if staged.changed or properties:
            publish(lake, table, staged, properties=properties)
            compact(lake, table, order_by="captured_at" if name == LEDGER else "detected_at")

    retry_on_conflict(write_once, what=f"{OPS}.{name}")
