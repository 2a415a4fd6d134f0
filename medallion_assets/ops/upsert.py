"""The one writer of the tables `ops.*`.

Belongs here: one commit that writes rows and table properties, planned again when another writer was first. Does not
belong here: which rows are written (ledger, health, reconciliation, repair).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.ops.tables import OPS, OpsTable


@dataclass(frozen=True)
class Change:
    """Rows to write, each in place of the row with its key unless that is newer, and table properties to set."""

    rows: Sequence[Mapping[str, Any]]
    properties: Mapping[str, str] = field(default_factory=dict)


def upsert(
    lake: Lake,
    table: OpsTable,
    rows: Sequence[Mapping[str, Any]],
    *,
    properties: Mapping[str, str] = {},
) -> None:
    """Write rows and set table properties in one commit, then compact. Creates the table if it does not exist.

    Raises LakeUnavailable, and CommitConflict if other writers were first every time.
    """
    upsert_planned(lake, table, lambda current: Change(rows, properties))


def upsert_planned(lake: Lake, table: OpsTable, plan: Callable[[Mapping[str, str]], Change]) -> None:
    """Like `upsert`, for rows that depend on the table's properties: `plan` makes them from the current ones.

    It is called again after each conflict, so that no two writers plan on the same properties.
    """

    def write_once() -> None:
        stored = lake.ensure(OPS, table.name, table.schema, key=table.key, partition_by=table.partition_by)
        planned_on = stored.metadata.current_snapshot_id
        change = plan(stored.properties)
        staged = stage_merge(
            lake,
            stored,
            pa.Table.from_pylist([dict(row) for row in change.rows], schema=table.schema),
            key=table.key,
            rewrite_equal=True,
            order_by=[table.order_by],
        )
        if staged.base_snapshot_id != planned_on:
            discard(lake, stored, staged)
            raise CommitConflict(f"{staged.table_id} was changed by another writer after it was read. Try again.")
        if staged.changed or change.properties:
            publish(lake, stored, staged, properties=change.properties)
            compact(lake, stored, order_by=[table.order_by])

    retry_on_conflict(write_once, what=f"{OPS}.{table.name}")
