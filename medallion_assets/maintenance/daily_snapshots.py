"""The snapshots of a Silver table that stay for days: each is the table as it was at the end of a day.

A day is a UTC day of capture, as a partition is. The snapshot of a day has every change that was captured on it and
none of a later day, because a batch has objects of one day, and an older day is merged first. Its tag names the day, so
that every engine reads it by name.

Belongs here: which snapshot is the day's, and for how many days it stays. Does not belong here: writing tags
(lake.tags), expiry (lake.maintenance), reading a day (engines.as_of).
"""

from __future__ import annotations

import json
import logging
from datetime import date, datetime, timedelta

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import LATEST_WRITE
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.as_of import day_of_tag, tag_of_day
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.lake.tags import change_tags, tags_of
from medallion_assets.silver.table import OBJECTS, SILVER, read_position

log = logging.getLogger(__name__)


def keep_daily_snapshots(lake: Lake, store: BronzeStore, contract: Contract, *, days: int, now: datetime) -> list[date]:
    """Tag the snapshots of past days that have none, and remove the tags older than `days` days. Return the new days.

    Call it before snapshots expire. A day without objects has the snapshot of the day before. A day whose objects are
    not all merged waits for the next call, and so do the days after it; it is over when its last object is there, 15
    minutes after midnight. A day whose snapshot has expired gets no tag. Raises CommitConflict, LakeUnavailable.
    """
    today = (now - LATEST_WRITE).date()
    return retry_on_conflict(lambda: _keep(lake, store, contract, days, today), what=contract.lake_name)


def _keep(lake: Lake, store: BronzeStore, contract: Contract, days: int, today: date) -> list[date]:
    table = lake.find(SILVER, contract.lake_name)
    if table is None:
        return []
    table.refresh()
    tagged = {day: name for name in tags_of(table) if (day := day_of_tag(name)) is not None}
    wanted = [today - timedelta(days=back) for back in range(days, 0, -1)]
    first = max(tagged, default=wanted[-1] - timedelta(days=1) if wanted else today) + timedelta(days=1)
    if due := [day for day in wanted if day >= first]:
        pending = read_position(table).pending(store, contract.table, through=due[-1])
        if pending:
            waits_for = ObjectName.parse(pending[0]).captured_at.date()
            due = [day for day in due if day < waits_for]
    found = _last_snapshots(table, due)
    add = {tag_of_day(day): snapshot.snapshot_id for day, snapshot in found.items()}
    remove = {name for day, name in tagged.items() if day < today - timedelta(days=days)}
    change_tags(table, add=add, remove=remove)
    if add or remove:
        log.info("%s: %d daily snapshots added, %d removed", contract.lake_name, len(add), len(remove))
    return list(found)


def _last_snapshots(table: Table, days: list[date]) -> dict[date, Snapshot]:
    """Return the last known snapshot of each day that has no batch of a later day before it."""
    found: dict[date, Snapshot] = {}
    lineage = list(ancestors_of(table.current_snapshot(), table.metadata))[::-1]
    for day in days:
        for snapshot in lineage:
            if _captured_on(snapshot) > day:
                break
            found[day] = snapshot
    return found


def _captured_on(snapshot: Snapshot) -> date:
    """Return the latest day of the Bronze objects that a snapshot merged; of a compaction, the first day there is."""
    names = json.loads(snapshot.summary.additional_properties.get(OBJECTS, "[]")) if snapshot.summary else []
    return max((ObjectName.parse(name).captured_at.date() for name in names), default=date.min)
