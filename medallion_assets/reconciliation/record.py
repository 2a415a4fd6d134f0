"""Record the result of a reconciliation as a row of `ops.reconciliations`.

Belongs here: the row. Does not belong here: comparing (reconcile), the table's columns and its writer (ops).
"""

from __future__ import annotations

from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import RECONCILIATIONS
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.reconcile import Reconciliation


def record_reconciliation(lake: Lake, found: Reconciliation, *, run_id: str) -> None:
    """Write what a reconciliation found. Raises LakeUnavailable, CommitConflict."""
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
        "equal_rows": counts.equal,
        "missing_rows": counts.missing,
        "extra_rows": counts.extra,
        "different_rows": counts.different,
        "quarantined_rows": counts.in_quarantine,
        "in_flight_rows": counts.in_flight,
        "unconfirmed_rows": counts.unconfirmed,
        "behind": counts.behind,
        "read_units": found.units,
    }
    upsert(lake, RECONCILIATIONS, [row])
