"""Load what a table had before its stream was captured, from an export, while the stream goes on.

Belongs here: the steps of a backfill and their order. Does not belong here: the conditions under which the stream goes
on where the snapshot ends (handover), the form of an export (export), merging (silver).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.backfill.bronze_rows import Part, split, to_object, to_rows
from medallion_assets.backfill.export import DataFile, Export, read_export, read_lines, require_intact
from medallion_assets.backfill.export_files import ExportFiles
from medallion_assets.backfill.handover import require_captured, require_no_gaps, wait_until_handed_over
from medallion_assets.backfill.progress import Done, read_progress, write_progress
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import BACKFILLS
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.catch_up import CatchUp, position_now
from medallion_assets.reconciliation.scan import SourceTable

log = logging.getLogger(__name__)

_READ_BYTES: Final = 16 * 1024 * 1024
_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Backfill:
    """What a backfill did. `items` are in Bronze, `read` of them were read by this run and not by one before.

    `merged` says whether Silver has published all of them.
    """

    id: str
    table: str
    snapshot_at: datetime
    items: int
    read: int
    objects: int
    merged: bool


@dataclass(frozen=True)
class Plan:
    """A backfill that can start: an export that is whole, of this table, and as old as the handover allows."""

    export: Export
    stream_arn: str
    done: dict[str, Done]

    @property
    def left(self) -> list[DataFile]:
        """The data files that are not in Bronze as a whole."""
        return [one for one in self.export.files if _part_name(one) not in self.done]


def plan_backfill(
    lake: Lake, store: BronzeStore, contract: Contract, *, files: ExportFiles, source: SourceTable, now: datetime
) -> Plan:
    """Return what a backfill from this export would do; write nothing.

    Raises SettingsError for an export that must not be loaded, botocore's errors, LakeUnavailable.
    """
    about = source.describe()
    export = read_export(files, table_arn=about.arn)
    stream = require_captured(store, contract, stream_arn=about.stream_arn, at=export.at, now=now)
    require_no_gaps(lake, store, contract)
    return Plan(export, stream, read_progress(store, contract, export.id))


def backfill(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    plan: Plan,
    *,
    files: ExportFiles,
    catch_up: CatchUp,
    merge_seconds: float,
    report: Callable[[int, int], None] = lambda items, of: None,
) -> Backfill:
    """Write the items of the export to Bronze, and wait up to `merge_seconds` until Silver has published them.

    `report` is called with the items in Bronze so far, and with those of the export. After a crash, the same call goes
    on with the data files that are left. Raises SettingsError for a file that is not as the manifest says, before the
    first row is written; NotCaughtUp, botocore's errors, LakeUnavailable, CommitConflict.
    """
    began = catch_up.now()
    for one in plan.left:
        require_intact(files, one)
    wait_until_handed_over(lake, store, contract, past=plan.export.at, catch_up=catch_up)
    loading = _Loading(lake, store, contract, plan, files, catch_up)
    done = dict(plan.done)
    for one in plan.left:
        done[_part_name(one)] = loading.load(one)
        report(sum(part.items for part in done.values()), plan.export.items)
    merged = _wait(lake, store, contract, through=loading.now(), catch_up=catch_up, seconds=merge_seconds)
    result = Backfill(
        plan.export.id,
        contract.lake_name,
        plan.export.at,
        items=sum(part.items for part in done.values()),
        read=sum(one.items for one in plan.left),
        objects=sum(part.objects for part in done.values()),
        merged=merged,
    )
    upsert(lake, BACKFILLS, [_record(result, plan, began=began, ended=catch_up.now())])
    return result


@dataclass(frozen=True)
class _Loading:
    """Puts the data files of an export into Bronze."""

    lake: Lake
    store: BronzeStore
    contract: Contract
    plan: Plan
    files: ExportFiles
    catch_up: CatchUp

    def load(self, one: DataFile) -> Done:
        """Write a data file to Bronze, then note that it is done."""
        part = Part(self.plan.export.id, _part_name(one), self.plan.export.at)
        items = objects = 0
        with self.lake.duckdb() as connection:
            for lines in read_lines(self.files, one, max_bytes=_READ_BYTES):
                rows = to_rows(
                    connection, self.contract, part, lines, first_line=items + 1, stream_arn=self.plan.stream_arn
                )
                for some in split(rows):
                    self.store.put(*to_object(self.contract, some, captured_at=self.now()))
                    objects += 1
                items += len(lines)
        done = Done(part.name, items, objects)
        write_progress(self.store, self.contract, self.plan.export.id, done)
        log.info("silver.%s: %d items of a data file are in Bronze", self.contract.lake_name, items)
        return done

    def now(self) -> datetime:
        """Return a time that is not before the newest object in Silver: no reader lists names older than that."""
        now, newest = self.catch_up.now(), position_now(self.lake, self.contract).newest
        return max(now, ObjectName.parse(newest).captured_at) if newest is not None else now


def _part_name(one: DataFile) -> str:
    return one.path.rpartition("/")[2].partition(".")[0]


def _wait(
    lake: Lake, store: BronzeStore, contract: Contract, *, through: datetime, catch_up: CatchUp, seconds: float
) -> bool:
    """Wait until Silver contains all objects captured up to `through`. Return whether it does."""
    until = catch_up.now() + timedelta(seconds=seconds)
    while True:
        pending = position_now(lake, contract).pending(store, contract.table)
        early = sum(ObjectName.parse(name).captured_at <= through for name in pending)
        if not early:
            return True
        if catch_up.now() >= until:
            log.warning("silver.%s: %d objects are not merged yet", contract.lake_name, early)
            return False
        catch_up.wait(_POLL_SECONDS)


def _record(done: Backfill, plan: Plan, *, began: datetime, ended: datetime) -> dict[str, object]:
    return {
        "backfill": f"{done.table}/{done.id}",
        "table_name": done.table,
        "source": "export",
        "snapshot_at": done.snapshot_at,
        "started_at": began,
        "ended_at": ended,
        "items": done.items,
        "objects": done.objects,
        "merged": done.merged,
        "stream_arn": plan.stream_arn,
    }
