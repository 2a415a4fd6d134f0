"""Remove tombstones that nothing needs any more.

Belongs here: for how long an older change of a deleted key may still arrive. Does not belong here: the table of deleted
keys (silver.tombstones).
"""

from __future__ import annotations

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.redrive import REDRIVE_WITHIN
from medallion_assets.capture.sequence import STREAM_RETENTION
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.tombstones import tidy_tombstones


def expire_tombstones(lake: Lake, store: BronzeStore, contract: Contract, *, run_id: str) -> int:
    """Remove the tombstones of a table that nothing needs any more, and return how many.

    A change that is older than the deletion of its key is captured within STREAM_RETENTION of it, or is redriven within
    REDRIVE_WITHIN. Once all Bronze objects of that time are gone, no run can read such a change again. If Bronze never
    expires, neither does a tombstone; nor does one of a table whose dropped files are older than all changes. Raises
    LakeUnavailable, CommitConflict, and what the store raises.
    """
    oldest = next(iter(store.list(contract.table)), None)
    if oldest is None or contract.files == "older":
        return tidy_tombstones(lake, contract, oldest_change=None, run_id=run_id)
    oldest_change = ObjectName.parse(oldest).captured_at - max(STREAM_RETENTION, REDRIVE_WITHIN)
    return tidy_tombstones(lake, contract, oldest_change=oldest_change, run_id=run_id)
