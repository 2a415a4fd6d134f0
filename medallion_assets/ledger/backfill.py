"""Whether a table needs a backfill, and the way out of it: a repair that began after the loss was over.

Belongs here: the state and its end. Does not belong here: the repair itself (quality), how losses are noticed (look).
"""

from __future__ import annotations

from datetime import datetime

from medallion_assets.capture import gap_marker as markers
from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gaps import Gap, close_gaps, list_open_gaps, read_gap_history, record_gaps
from medallion_assets.ledger.table import FollowerOffset
from medallion_assets.ops.tables import LEDGER


def needs_backfill(lake: Lake, store: BronzeStore, contract: Contract) -> Gap | None:
    """The oldest gap of the table that leaves changes out of it; None when it is whole as far as anybody noticed.

    Counts what the poller has told since the ledger last looked, too. Raises LakeUnavailable, SettingsError.
    """
    found = [gap for gap in list_open_gaps(lake, contract.lake_name) if gap.lossy]
    found += unrecorded_gaps(lake, store, contract)
    return min(found, key=lambda gap: gap.detected_at, default=None)


def close_repaired_gaps(lake: Lake, store: BronzeStore, contract: Contract, *, at: datetime, run_id: str) -> list[Gap]:
    """Close the gaps that a completed repair has mended, one that began to read the source at `at`; return those left.

    A repair brings a table to the source's state at `at` or later, so it mends what was lost by then. Changes go on
    being lost from a stream gap until the poller captures again: a repair that began before that does not close it.
    Raises LakeUnavailable, SettingsError, CommitConflict.
    """
    record_gaps(lake, unrecorded_gaps(lake, store, contract), run_id=run_id)
    polled = read_heartbeat(store, contract.table, now=at)

    def mended(gap: Gap) -> bool:
        started_at = polled.started_at if polled else None
        resumed = gap.kind != "stream_gap" or (started_at is not None and gap.detected_at < started_at <= at)
        return gap.detected_at <= at and resumed

    found = list_open_gaps(lake, contract.lake_name)
    close_gaps(lake, [gap for gap in found if mended(gap)], at=at, run_id=run_id)
    return [gap for gap in found if not mended(gap)]


def unrecorded_gaps(lake: Lake, store: BronzeStore, contract: Contract) -> list[Gap]:
    """What the poller has marked as lost in Bronze and `ops.gaps` does not hold yet."""
    marked = markers.read_gap_markers(store, contract.table)
    if not marked:
        return []
    ledger = LEDGER.find(lake)
    since = FollowerOffset.read(ledger.properties, contract.lake_name).complete_to if ledger else None
    known = read_gap_history(lake)
    return [gap for marker in marked if (gap := _stream_gap(contract, marker, since)).gap not in known]


def _stream_gap(contract: Contract, marker: markers.GapMarker, since: datetime | None) -> Gap:
    return Gap(
        gap=f"{contract.lake_name}/stream_gap/{marker.detected_at.isoformat()}",
        table=contract.lake_name,
        kind="stream_gap",
        since=min(since, marker.detected_at) if since else None,
        detected_at=marker.detected_at,
        reason=marker.reason,
        remedy=(
            f"Start the poller with --resume-after-gap {contract.table}, then run "
            f"`medallion repair {contract.lake_name}`"
        ),
    )
