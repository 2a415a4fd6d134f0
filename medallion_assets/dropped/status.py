"""How dropped files stand: what waits, what was taken, what was rejected.

Belongs here: these counts by table. Does not belong here: taking files (take), how they are shown (cli).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.inbox import Inbox
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ops.tables import DROPPED_FILES


@dataclass(frozen=True)
class DroppedFilesStatus:
    """The dropped files of one table, by its lake name. Times are aware UTC; None: there is no such file.

    - waiting: files that are to be taken; waiting_since: when the oldest of them was written
    - taking: files whose rows are not all in Bronze yet
    - taken, rejected: how many files were taken or rejected; last_taken_at, last_rejected_at: when the last one was
    """

    table: str
    waiting: int
    waiting_since: datetime | None
    taking: int
    taken: int
    last_taken_at: datetime | None
    rejected: int
    last_rejected_at: datetime | None


@translate_outages()
def read_dropped_files(lake: Lake, inbox: Inbox, contracts: Sequence[Contract]) -> list[DroppedFilesStatus]:
    """Return the status of each table; one listing of the inbox for each. Raises LakeUnavailable, SettingsError."""
    recorded: dict[tuple[str, str], tuple[int, datetime]] = {}
    if (table := DROPPED_FILES.find(lake)) is not None:
        with lake.duckdb() as connection:
            rows = connection.execute(
                f"SELECT table_name, state, count(*), max(recorded_at) FROM {lake.scan_sql(table, None)} GROUP BY ALL"
            ).fetchall()
        recorded = {(name, state): (count, last) for name, state, count, last in rows}
    found = []
    for contract in contracts:
        waiting = [file.modified_at for file in inbox.waiting(contract.table)]
        taken, last_taken_at = recorded.get((contract.lake_name, "taken"), (0, None))
        rejected, last_rejected_at = recorded.get((contract.lake_name, "rejected"), (0, None))
        found.append(
            DroppedFilesStatus(
                contract.lake_name,
                len(waiting),
                min(waiting, default=None),
                recorded.get((contract.lake_name, "taking"), (0, None))[0],
                taken,
                last_taken_at,
                rejected,
                last_rejected_at,
            )
        )
    return found
