"""Record all changes of Bronze in a table's history.

Belongs here: the act, and when the table is removed first. Does not belong here: how a change is recorded
(silver.history).
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from itertools import takewhile

from medallion_assets.bronze.days import capture_days
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import LakeDamaged, SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets.repair.rebuilt import Rebuilt
from medallion_assets.silver.changes import read_changes
from medallion_assets.silver.history import ensure_history, record_history
from medallion_assets.silver.table import HISTORY


def rebuild_history(
    lake: Lake, store: BronzeStore, domain: Domain, contract: Contract, *, run_id: str, now: datetime
) -> Rebuilt:
    """Record every change of Bronze, as the contract reads it, in the history of its table.

    Versions whose change Bronze does not have any more stay. Only a table that cannot be read, or has another key or
    other types than the contract, is removed from the catalog first. Writers of Silver may go on. After a crash, the
    same command finishes the work. Raises CorruptObject, LakeUnavailable, CommitConflict.
    """
    removed: tuple[str, ...] = ()
    try:
        ensure_history(lake, contract)
    except (LakeDamaged, SchemaMismatch):
        lake.drop(HISTORY, contract.lake_name)
        removed = (f"{HISTORY}.{contract.lake_name}",)
    days = rows = 0
    for day in takewhile(lambda day: day <= now.date(), capture_days(store, contract.table)):
        days += 1
        names = list(store.list(contract.table, day=day))
        with closing(read_changes(lake, store, contract, domain, names, whole=True)) as batches:
            for changes in batches:
                with lake.duckdb() as connection:
                    record_history(lake, contract, connection, changes.rows, run_id=run_id)
                rows += changes.rows_in
    return Rebuilt(removed, days, rows)
