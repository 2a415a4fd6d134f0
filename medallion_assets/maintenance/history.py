"""Remove the versions that a table's history need not have any more.

Belongs here: for how long a version stays. Does not belong here: the table (silver.history).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.history import expire_history


def shorten_history(lake: Lake, contract: Contract, *, now: datetime, run_id: str) -> int:
    """Remove versions that ended longer ago than the contract says, up to 500,000, and return how many.

    A contract that says `history: true` keeps all. Raises LakeUnavailable, CommitConflict.
    """
    if isinstance(contract.history, bool):
        return 0
    return expire_history(lake, contract, ended_before=now - timedelta(days=contract.history), run_id=run_id)
