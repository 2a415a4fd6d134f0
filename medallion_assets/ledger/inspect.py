"""Inspect one table: what Silver has merged since the last pass, and what is missing from the table or from Bronze.

Belongs here: the order of the acts, and the result. Does not belong here: the acts (view, inspect_objects,
inspect_shards), writing the result, and several tables (update).

An inspection costs three listings and one small read, whatever the size of Bronze (see listing), and it reads the
objects that are new or not as recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.backfill import unrecorded_gaps
from medallion_assets.ledger.completeness import ShardEnd
from medallion_assets.ledger.findings import Findings, KnownGaps
from medallion_assets.ledger.gap import Gap, ShardKey
from medallion_assets.ledger.inspect_objects import inspect_objects
from medallion_assets.ledger.inspect_parked import inspect_parked
from medallion_assets.ledger.inspect_shards import inspect_heartbeat, inspect_restart, inspect_shards, inspect_stream
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.ledger.parked import Parked
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.row import Row
from medallion_assets.ledger.status import LedgerStatus
from medallion_assets.ledger.view import ScanCursor, Sources, TableView, read_view


@dataclass(frozen=True)
class Inspection:
    """The result for one table: what to write (`rows`, `new_gaps`, `closed_gaps`, `offset`), and its status."""

    rows: Sequence[Row]
    new_gaps: Sequence[Gap]
    closed_gaps: Sequence[Gap]
    offset: FollowerOffset
    status: LedgerStatus
    cursor: ScanCursor


def inspect_table(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    ledger: LedgerReader,
    gaps: KnownGaps,
    *,
    dead_letters: Sequence[str],
    given_up: GivenUp | None,
    cursor: ScanCursor,
    now: datetime,
) -> Inspection:
    """Inspect one table; change nothing. `dead_letters` are the paths of its letters; they and `given_up` were read
    before.

    Raises LakeUnavailable, SettingsError, CaptureError for a foreign name.
    """
    sources = Sources(lake, store, ledger)
    view = read_view(sources, contract, gaps, cursor=cursor, now=now)
    marked = Findings(gaps=unrecorded_gaps(lake, store, contract))
    objects = inspect_objects(sources, view)
    shards, ends = inspect_shards(ledger, view, objects.rows)
    restarted = Findings(gaps=inspect_restart(view, marked.gaps))
    replaced = Findings(gaps=inspect_stream(view, marked.gaps))
    parked = inspect_parked(view, dead_letters, given_up)
    found = Findings.combine([marked, objects, shards, restarted, replaced, parked])
    return _conclude(view, found, ends, Parked.count(dead_letters, given_up))


def _conclude(view: TableView, found: Findings, ends: Mapping[ShardKey, ShardEnd], parked: Parked) -> Inspection:
    """Judge up to when the table is complete, and put everything together."""
    pending = [ObjectName.parse(name).captured_at for name in view.listing.pending(view.position)]
    complete_to, tail_gaps = inspect_heartbeat(view, ends, pending)
    new_gaps = view.gaps.select([*found.gaps, *tail_gaps])
    closed = [gap for gap in view.gaps.open if gap.gap in found.over]
    left = [gap for gap in view.gaps.open if gap.gap not in found.over] + new_gaps
    if complete_to is not None:
        since = [gap.since for gap in left if gap.lossy]
        complete_to = None if None in since else min([complete_to, *(at for at in since if at is not None)])
    status = LedgerStatus(
        table=view.name,
        complete_to=complete_to,
        merged_to=min(pending, default=view.now),
        pending_objects=len(pending),
        is_captured=view.heartbeat is not None or view.position.newest is not None or bool(pending),
        gaps=tuple(sorted(left, key=lambda gap: (gap.detected_at, gap.gap))),
        parked=parked,
    )
    offset = replace(view.offset, complete_to=complete_to, stream_created_at=view.stream_created_at, parked=parked)
    cursor = ScanCursor(view.listing.next_page, complete_to)
    return Inspection(list(found.rows.values()), new_gaps, closed, offset, status, cursor)
