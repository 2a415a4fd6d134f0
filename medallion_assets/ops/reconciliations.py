"""What was compared and what was mended, for good: the tables `ops.reconciliations` and `ops.repairs`.

Belongs here: what the tables look like, and adding rows. Does not belong here: finding and mending differences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
import pyarrow as pa

from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.reconciliation.reconcile import Difference, Reconciliation

OPS: Final = "ops"
REPAIRS: Final = "repairs"
RECONCILIATIONS: Final = "reconciliations"

_UTC: Final = pa.timestamp("us", tz="UTC")

REPAIRS_SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("repaired_at", _UTC, nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("keys", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("column_names", pa.list_(pa.string())),
        pa.field("before", pa.string()),
        pa.field("after", pa.string()),
        pa.field("amended_sequence", pa.string()),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("object", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row per amendment, written before it is. `event_id` and `sequence_number` are those that Silver shows once it is
merged; `object` is the Bronze object it is in, and without that object it was never made. `kind` is missing, extra or
different, `column_names` those that differed. `before` is Silver's row as JSON, `after` the item as DynamoDB JSON
without what the contract drops;
`amended_sequence` is the change that was the newest known of the key."""

RECONCILIATIONS_SCHEMA: Final = pa.schema(
    [
        pa.field("reconciliation", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("started_at", _UTC, nullable=False),
        pa.field("ended_at", _UTC, nullable=False),
        pa.field("snapshot_id", pa.int64()),
        pa.field("source_rows", pa.int64(), nullable=False),
        pa.field("lake_rows", pa.int64(), nullable=False),
        pa.field("equal", pa.int64(), nullable=False),
        pa.field("missing", pa.int64(), nullable=False),
        pa.field("extra", pa.int64(), nullable=False),
        pa.field("different", pa.int64(), nullable=False),
        pa.field("in_quarantine", pa.int64(), nullable=False),
        pa.field("in_flight", pa.int64(), nullable=False),
        pa.field("unconfirmed", pa.int64(), nullable=False),
        pa.field("behind", pa.string()),
        pa.field("read_units", pa.float64(), nullable=False),
    ]
)
"""One row per table and reconciliation; counts as in reconciliation.comparison."""


def note_reconciliation(lake: Lake, found: Reconciliation, *, run_id: str) -> None:
    """Add what a reconciliation found. Raises LakeUnavailable, CommitConflict."""
    counts = found.comparison
    row = {
        "reconciliation": f"{run_id}/{found.contract.lake_name}",
        "run_id": run_id,
        "table_name": found.contract.lake_name,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
        "snapshot_id": found.snapshot_id,
        "source_rows": counts.source,
        "lake_rows": counts.lake,
        "read_units": found.units,
    }
    names = ("equal", "missing", "extra", "different", "in_quarantine", "in_flight", "unconfirmed", "behind")
    row |= {name: getattr(counts, name) for name in names}
    _add(lake, RECONCILIATIONS, RECONCILIATIONS_SCHEMA, [row], key="reconciliation", order_by="ended_at", run_id=run_id)


def note_repairs(lake: Lake, rows: Sequence[Mapping[str, Any]], *, run_id: str) -> None:
    """Add rows of REPAIRS_SCHEMA. Raises LakeUnavailable, CommitConflict."""
    _add(lake, REPAIRS, REPAIRS_SCHEMA, rows, key="event_id", order_by="repaired_at", run_id=run_id)


def what_was_wrong(contract: Contract, difference: Difference) -> dict[str, Any]:
    """The columns of a repair's row that tell what differed. What the contract drops stays out of the lake's tables."""
    source, lake = difference.source, difference.lake
    names = None
    if source is not None and lake is not None:
        names = [name for name in source if source[name] != lake.get(name)]
    after = None
    if difference.item is not None:
        after = {name: tagged for name, tagged in difference.item.items() if name not in contract.drop}
    return {
        "kind": difference.kind,
        "column_names": names,
        "before": json.dumps(lake, default=_plain, ensure_ascii=False) if lake is not None else None,
        "after": orjson.dumps(after).decode() if after is not None else None,
        "amended_sequence": difference.sequence,
    }


def _add(
    lake: Lake,
    name: str,
    schema: pa.Schema,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: str,
    order_by: str,
    run_id: str,
) -> None:
    """Add rows; one that is there already stays. Planned again when another writer was faster."""
    incoming = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    table = lake.ensure(OPS, name, schema, key=[key])

    def add_once() -> None:
        staged = stage_merge(lake, table, incoming, key=[key], branch=f"{AUDIT_BRANCH}{run_id}", order_by=order_by)
        if staged.changed:
            publish(lake, table, staged)
            compact(lake, table, order_by=order_by)

    retry_on_conflict(add_once, what=f"{OPS}.{name}")


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
