"""Update the ledger to what Silver has published and Bronze contains, all tables in one commit.

Belongs here: the act, and the order of its writes. Does not belong here: what is found (inspect).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.capture.dead_letter import list_dead_letters
from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ledger.findings import KnownGaps
from medallion_assets.ledger.gaps import close_gaps, list_open_gaps, read_gap_history, record_gaps
from medallion_assets.ledger.inspect import Inspection, inspect_table
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.status import LedgerStatus
from medallion_assets.ledger.view import ScanCursor
from medallion_assets.ops.tables import LEDGER
from medallion_assets.ops.upsert import upsert

log = logging.getLogger(__name__)

WRITE_INTERVAL: Final = timedelta(minutes=5)
"""While nothing is captured, `complete_to` is written this often, and not in every pass."""


@dataclass(frozen=True)
class LedgerUpdate:
    """The status of each table by lake name, in the domain's order, and the cursors to pass to the next update."""

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
    given_up: Mapping[str, GivenUp] = {},
    cursors: Mapping[str, ScanCursor] = {},
) -> LedgerUpdate:
    """Inspect every table and write what is found; write nothing if nothing changed.

    `given_up` is what Lambda gave up, by DynamoDB table as its contract names it; it has to be read before this call.
    `cursors` are those of the last update; `now` is aware UTC. After a crash at any point the next update finds what is
    left to write. Raises LakeUnavailable, SettingsError, CommitConflict, and CaptureError for a foreign name in Bronze.
    """
    found, properties = _inspect(lake, store, domain, given_up=given_up, cursors=cursors, now=now)
    inspections = found.values()
    # New gaps first: an object that is recorded is not found again. Closed gaps last: their objects are read no more.
    record_gaps(lake, [gap for one in inspections for gap in one.new_gaps])
    rows = [row for one in inspections for row in one.rows]
    if rows or any(_is_due(one.offset, FollowerOffset.read(properties, name)) for name, one in found.items()):
        offsets = {FollowerOffset.property_name(name): one.offset.to_json() for name, one in found.items()}
        upsert(lake, LEDGER, rows, properties=offsets)
        log.info("recorded %d Bronze objects", len(rows))
    close_gaps(lake, [gap for one in inspections for gap in one.closed_gaps], at=now, run_id=run_id)
    for one in inspections:
        for gap in one.new_gaps:
            log.error("%s", gap)
    return LedgerUpdate(
        {name: one.status for name, one in found.items()},
        {name: one.cursor for name, one in found.items()},
    )


@translate_outages()
def inspect_all(
    lake: Lake, store: BronzeStore, domain: Domain, *, now: datetime, given_up: Mapping[str, GivenUp] = {}
) -> dict[str, LedgerStatus]:
    """Inspect every table and write nothing; return the status of each by lake name. As `update_ledger` otherwise."""
    found, _ = _inspect(lake, store, domain, given_up=given_up, cursors={}, now=now)
    return {name: one.status for name, one in found.items()}


def _inspect(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    *,
    given_up: Mapping[str, GivenUp],
    cursors: Mapping[str, ScanCursor],
    now: datetime,
) -> tuple[dict[str, Inspection], Mapping[str, str]]:
    """Return the inspections by lake name, and the properties of the ledger that they started from."""
    closed_at, open_gaps = read_gap_history(lake), list_open_gaps(lake)
    letters = list_dead_letters(store)
    found: dict[str, Inspection] = {}
    with LedgerReader.open(lake) as ledger:
        for contract in domain.tables:
            name = contract.lake_name
            gaps = KnownGaps([gap for gap in open_gaps if gap.table == name], closed_at)
            cursor = cursors.get(name, ScanCursor())
            found[name] = inspect_table(
                lake,
                store,
                contract,
                ledger,
                gaps,
                dead_letters=letters.get(contract.table, ()),
                given_up=given_up.get(contract.table),
                cursor=cursor,
                now=now,
            )
        return found, ledger.properties


def _is_due(offset: FollowerOffset, written: FollowerOffset) -> bool:
    """Return whether an offset has to be written in place of the written one."""
    if replace(written, complete_to=None) != replace(offset, complete_to=None):
        return True
    if written.complete_to is None or offset.complete_to is None:
        return written.complete_to != offset.complete_to
    return not timedelta(0) <= offset.complete_to - written.complete_to < WRITE_INTERVAL
