"""Bring the ledger up to what Silver has published and Bronze holds, all tables in one commit.

Belongs here: the act, and the order of its writes. Does not belong here: what is found (look).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ledger.gaps import close_gaps, list_open_gaps, read_gap_history, record_gaps
from medallion_assets.ledger.inspect import Inspection, KnownGaps, LedgerStatus, ScanCursor, inspect_table
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.table import OFFSET_PROPERTY, FollowerOffset
from medallion_assets.ops.tables import LEDGER
from medallion_assets.ops.upsert import upsert

log = logging.getLogger(__name__)

TOLD_AGAIN: Final = timedelta(minutes=5)
"""While nothing is captured, the time up to which tables are complete is written this often and not with every look."""


@dataclass(frozen=True)
class LedgerUpdate:
    """The states of all tables by lake name, in the domain's order, and what the next look is to be told."""

    statuses: Mapping[str, LedgerStatus]
    cursors: Mapping[str, ScanCursor]


@translate_outages()
def update_ledger(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    *,
    run_id: str,
    now: datetime,
    cursors: Mapping[str, ScanCursor] = {},
) -> LedgerUpdate:
    """Inspection at every table and write down what is found. Without news nothing is written.

    `cursors` are those of the LedgerUpdate before. A crash anywhere leaves what the next look finds again. Raises
    LakeUnavailable, SettingsError, CommitConflict, and CaptureError for a foreign name in Bronze.
    """
    looks, properties = _inspect(lake, store, domain, cursors=cursors, now=now)
    # Gaps first: what is recorded is not found again. Closing comes last: what is closed is not looked at again.
    record_gaps(lake, [gap for one in looks.values() for gap in one.noted], run_id=run_id)
    rows = [row for one in looks.values() for row in one.rows]
    told = {name: one.followed for name, one in looks.items() if _is_news(one.followed, properties, name)}
    if rows or told:
        followed = {OFFSET_PROPERTY + name: one.followed.text for name, one in looks.items()}
        upsert(lake, LEDGER, rows, run_id=run_id, properties=followed)
        log.info("recorded %d Bronze objects", len(rows))
    close_gaps(lake, [gap for one in looks.values() for gap in one.closed], at=now, run_id=run_id)
    for one in looks.values():
        for gap in one.noted:
            log.error("%s", gap)
    return LedgerUpdate(
        {name: one.state for name, one in looks.items()},
        {name: one.cursor for name, one in looks.items()},
    )


@translate_outages()
def inspect_all(lake: Lake, store: BronzeStore, domain: Domain, *, now: datetime) -> dict[str, LedgerStatus]:
    """Inspection at every table and change nothing: the states by lake name. Raises what `record` raises."""
    looks, _ = _inspect(lake, store, domain, cursors={}, now=now)
    return {name: one.state for name, one in looks.items()}


def _inspect(
    lake: Lake, store: BronzeStore, domain: Domain, *, cursors: Mapping[str, ScanCursor], now: datetime
) -> tuple[dict[str, Inspection], Mapping[str, str]]:
    """The looks by lake name, and the properties of the ledger that they were held against."""
    keys, known = read_gap_history(lake), list_open_gaps(lake)
    looks: dict[str, Inspection] = {}
    with LedgerReader.open(lake) as recorded:
        for contract in domain.tables:
            name = contract.lake_name
            gaps = KnownGaps([gap for gap in known if gap.table == name], keys)
            looks[name] = inspect_table(
                lake, store, contract, recorded, gaps, cursor=cursors.get(name, ScanCursor()), now=now
            )
        return looks, recorded.properties


def _is_news(followed: FollowerOffset, properties: Mapping[str, str], table: str) -> bool:
    before = FollowerOffset.read(properties, table)
    if (before.snapshot_id, before.assumed_through) != (followed.snapshot_id, followed.assumed_through):
        return True
    if before.complete_to is None or followed.complete_to is None:
        return before.complete_to != followed.complete_to
    return not timedelta(0) <= followed.complete_to - before.complete_to < TOLD_AGAIN
