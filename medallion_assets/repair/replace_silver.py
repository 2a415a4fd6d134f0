"""Make a Silver table again from Bronze, beside the old one, and put it in its place in one step.

The contract may declare another type, key or partition than the old table has. Readers see the old table until the
swap, and writers go on with it. The new table is filled by the same merges, under the same contract with another name:
its own deleted keys and its own quarantine, so that nothing of them is seen if the process dies. The next rebuild
removes what such a process left.

Before the swap, the changes that break the contract now are recorded in quarantine, and deleted keys in `deleted`, as a
merge does it. A process that dies between that and the swap leaves changes open that the old table contains; a replay
closes them.

Belongs here: the act for Silver. Does not belong here: merging (silver), the swap (lake), other layers (rebuild).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pyiceberg.table import Table

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import AuditFailed, CommitConflict, LakeDamaged
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.replacement import PREFIX, create_replacement, remove_replacement, swap
from medallion_assets.repair.require_published import require_published
from medallion_assets.silver.batches import merge_pending
from medallion_assets.silver.quarantine import carry_dropped, carry_open
from medallion_assets.silver.replay import replay
from medallion_assets.silver.table import DELETED, QUARANTINE, SILVER, read_position, silver_schema
from medallion_assets.silver.tombstones import carry_tombstones, tidy_tombstones

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 20


@dataclass(frozen=True)
class Replaced:
    """Days and rows of Bronze that were merged, and how many rows the new table has."""

    days: int
    changes: int
    rows: int


def replace_silver(
    lake: Lake, store: BronzeStore, domain: Domain, contract: Contract, *, run_id: str, now: datetime
) -> Replaced:
    """Make the table again and swap it in. The published table must have readable metadata.

    Raises AuditFailed if a batch is not published, or if the old table has rows that Bronze does not have; the old
    table stays. Raises CommitConflict if other writers were faster at every attempt, CorruptObject, LakeUnavailable.
    """
    new = contract.model_copy(update={"name": f"{PREFIX}{contract.lake_name}", "history": False})
    _remove(lake, new)
    create_replacement(
        lake,
        lake.table(SILVER, contract.lake_name),
        new.lake_name,
        silver_schema(contract, domain),
        key=contract.key_names,
        partition_by=[(part.column, part.transform) for part in contract.partition],
        renamed={name: one.renamed_from for name, one in contract.by_name.items() if one.renamed_from},
    )
    carry_dropped(lake, contract, new, run_id=run_id)
    days: set[str] = set()
    changes = 0
    for attempt in range(_ATTEMPTS):
        # What the old table contains now was in Bronze before; so the new one contains it after these merges.
        old = lake.table(SILVER, contract.lake_name)
        merged = _merge(lake, store, domain, new, days=days, run_id=run_id, now=now)
        changes += merged
        made = lake.table(SILVER, new.lake_name)
        if attempt == 0:
            _require_every_key(lake, contract, new, old, made)
        carry_open(lake, new, contract, run_id=run_id, now=now)
        carry_tombstones(lake, new, contract, run_id=run_id)
        try:
            swap(lake, old, made)
        except CommitConflict:
            if attempt == _ATTEMPTS - 1:
                raise
            log.info("silver.%s moved before the swap: merging what came", contract.lake_name)
            continue
        break
    tidy_tombstones(lake, contract, oldest_change=None, run_id=run_id)
    replay(lake, contract, domain, run_id=run_id, now=now)
    rows = _count(lake, lake.table(SILVER, contract.lake_name))
    _remove(lake, new)
    return Replaced(len(days), changes, rows)


def _merge(
    lake: Lake, store: BronzeStore, domain: Domain, new: Contract, *, days: set[str], run_id: str, now: datetime
) -> int:
    """Merge what the new table does not contain yet; add the days to `days`, and return the number of changes."""
    position = read_position(lake.table(SILVER, new.lake_name))
    pending = position.pending(store, new.table, through=now.date())
    changes = 0
    for day in sorted({ObjectName.parse(name).captured_at.date() for name in pending}):
        days.add(day.isoformat())
        for batch in merge_pending(lake, store, new, domain, day=day, run_id=run_id, now=now):
            require_published(f"silver.{new.lake_name} of {day}", batch.checks, published=batch.published)
            changes += batch.rows_in
    return changes


def _require_every_key(lake: Lake, contract: Contract, new: Contract, old: Table, made: Table) -> None:
    """Raise AuditFailed if the old table has keys that the new one lacks and that are not in its quarantine.

    A key of another type cannot be compared, and neither can a table whose files are lost.
    """
    keys = contract.key_names
    types = [
        [table.schema().find_field(name).field_type for name in keys] for table in (old, made) if _has(table, keys)
    ]
    if len(types) < 2 or types[0] != types[1] or old.metadata.current_snapshot_id is None:
        return
    same = " AND ".join(f"o.{identifier(name)} = n.{identifier(name)}" for name in keys)
    quarantine = lake.find(QUARANTINE, new.lake_name)
    waiting = "SELECT 0" if quarantine is None else f"SELECT count(*) FROM {lake.scan_sql(quarantine, None)}"
    try:
        with translate_outages(), lake.reading([old, made]), lake.duckdb() as connection:
            ((missing, excused),) = connection.execute(f"""
                SELECT count(*), ({waiting}) FROM {lake.scan_sql(old, None)} o
                ANTI JOIN {lake.scan_sql(made, None)} n ON {same}""").fetchall()
    except LakeDamaged as lost:
        log.warning("the old table cannot be compared: %s", lost)
        return
    if missing > excused:
        raise AuditFailed(
            f"silver.{contract.lake_name} has {missing:,} keys that Bronze does not have, {excused:,} of them at most "
            "in quarantine: older days of Bronze may be gone. The table is as it was. Backfill it, or keep it."
        )


def _has(table: Table, keys: tuple[str, ...]) -> bool:
    return set(keys) <= {field.name for field in table.schema().fields}


def _count(lake: Lake, table: Table) -> int:
    with lake.duckdb() as connection:
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {lake.scan_sql(table, None)}").fetchall()
    return int(rows)


def _remove(lake: Lake, new: Contract) -> None:
    for namespace in (SILVER, DELETED, QUARANTINE):
        remove_replacement(lake, namespace, new.lake_name)
