"""Gaps that the poller marked in Bronze, and the end of a table's need for a backfill: a completed repair.

Belongs here: which gaps a repair closes, and which markers are not recorded yet. Does not belong here: the repair
itself (repair), and detecting other gaps (inspect).
"""

from __future__ import annotations

from datetime import datetime

from medallion_assets.capture.gap_marker import read_gap_markers
from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gap import Gap, stream_gap
from medallion_assets.ledger.gaps import close_gaps, list_open_gaps, read_gap_history, record_gaps
from medallion_assets.ledger.offset import FollowerOffset, read_properties, repaired_property
from medallion_assets.ops.tables import LEDGER
from medallion_assets.ops.upsert import upsert


def close_repaired_gaps(lake: Lake, store: BronzeStore, contract: Contract, *, at: datetime, run_id: str) -> list[Gap]:
    """Close the gaps that a completed repair fixed, and record the repair; return the gaps that are left.

    `at` is when the repair started to read the source, aware UTC. A repair brings the table to the state of the source
    at that time or later, so it fixes what was lost before. From a stream gap changes are lost until the poller
    captures again; a repair that started before that does not close it.
    Raises LakeUnavailable, SettingsError, CommitConflict.
    """
    record_gaps(lake, unrecorded_gaps(lake, store, contract))
    heartbeat = read_heartbeat(store, contract.table, now=at)
    started_at = heartbeat.started_at if heartbeat else None

    def is_fixed(gap: Gap) -> bool:
        resumed = gap.kind != "stream_gap" or (started_at is not None and gap.detected_at < started_at <= at)
        return gap.detected_at <= at and resumed

    found = list_open_gaps(lake, contract.lake_name)
    close_gaps(lake, [gap for gap in found if is_fixed(gap)], at=at, run_id=run_id)
    repaired = {repaired_property(contract.lake_name): at.isoformat()}
    upsert(lake, LEDGER, [], properties=repaired)
    return [gap for gap in found if not is_fixed(gap)]


def unrecorded_gaps(lake: Lake, store: BronzeStore, contract: Contract) -> list[Gap]:
    """Return the gaps that the poller has marked in Bronze and that are not in `ops.gaps` yet.

    Raises LakeUnavailable, SettingsError.
    """
    markers = read_gap_markers(store, contract.table)
    if not markers:
        return []
    since = FollowerOffset.read(read_properties(lake), contract.lake_name).complete_to
    recorded = read_gap_history(lake)
    gaps = [stream_gap(contract, marker, since=since) for marker in markers]
    return [gap for gap in gaps if gap.gap not in recorded]
