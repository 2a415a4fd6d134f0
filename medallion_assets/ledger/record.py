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
from medallion_assets.ledger.gaps import close, note, noticed, open_gaps
from medallion_assets.ledger.inspect import GapsBefore, Look, Memory, State, look
from medallion_assets.ledger.reader import Recorded
from medallion_assets.ledger.table import FOLLOWED, LEDGER, Followed, write

log = logging.getLogger(__name__)

TOLD_AGAIN: Final = timedelta(minutes=5)
"""While nothing is captured, the time up to which tables are complete is written this often and not with every look."""


@dataclass(frozen=True)
class Recording:
    """The states of all tables by lake name, in the domain's order, and what the next look is to be told."""

    states: Mapping[str, State]
    memories: Mapping[str, Memory]


@translate_outages()
def record(
    lake: Lake, store: BronzeStore, domain: Domain, *, run_id: str, now: datetime, memories: Mapping[str, Memory] = {}
) -> Recording:
    """Look at every table and write down what is found. Without news nothing is written.

    `memories` are those of the Recording before. A crash anywhere leaves what the next look finds again. Raises
    LakeUnavailable, SettingsError, CommitConflict, and CaptureError for a foreign name in Bronze.
    """
    looks, properties = _look(lake, store, domain, memories=memories, now=now)
    # Gaps first: what is recorded is not found again. Closing comes last: what is closed is not looked at again.
    note(lake, [gap for one in looks.values() for gap in one.noted], run_id=run_id)
    rows = [row for one in looks.values() for row in one.rows]
    told = {name: one.followed for name, one in looks.items() if _is_news(one.followed, properties, name)}
    if rows or told:
        followed = {FOLLOWED + name: one.followed.text for name, one in looks.items()}
        write(lake, LEDGER, rows, run_id=run_id, properties=followed)
        log.info("recorded %d Bronze objects", len(rows))
    close(lake, [gap for one in looks.values() for gap in one.closed], at=now, run_id=run_id)
    for one in looks.values():
        for gap in one.noted:
            log.error("%s", gap)
    return Recording(
        {name: one.state for name, one in looks.items()},
        {name: one.memory for name, one in looks.items()},
    )


@translate_outages()
def states(lake: Lake, store: BronzeStore, domain: Domain, *, now: datetime) -> dict[str, State]:
    """Look at every table and change nothing: the states by lake name. Raises what `record` raises."""
    looks, _ = _look(lake, store, domain, memories={}, now=now)
    return {name: one.state for name, one in looks.items()}


def _look(
    lake: Lake, store: BronzeStore, domain: Domain, *, memories: Mapping[str, Memory], now: datetime
) -> tuple[dict[str, Look], Mapping[str, str]]:
    """The looks by lake name, and the properties of the ledger that they were held against."""
    keys, known = noticed(lake), open_gaps(lake)
    looks: dict[str, Look] = {}
    with Recorded.open(lake) as recorded:
        for contract in domain.tables:
            name = contract.lake_name
            gaps = GapsBefore([gap for gap in known if gap.table == name], keys)
            looks[name] = look(lake, store, contract, recorded, gaps, memory=memories.get(name, Memory()), now=now)
        return looks, recorded.properties


def _is_news(followed: Followed, properties: Mapping[str, str], table: str) -> bool:
    before = Followed.read(properties, table)
    if (before.snapshot_id, before.adopted) != (followed.snapshot_id, followed.adopted):
        return True
    if before.complete_to is None or followed.complete_to is None:
        return before.complete_to != followed.complete_to
    return not timedelta(0) <= followed.complete_to - before.complete_to < TOLD_AGAIN
