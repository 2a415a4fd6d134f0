"""Load what a table had before its stream was captured, from a snapshot, while the stream goes on.

Belongs here: the steps of a backfill and their order. Does not belong here: the conditions under which the stream goes
on where the snapshot ends (handover), the snapshots (export_snapshot, scan_snapshot), merging (silver).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Final

import duckdb
import orjson
import pyarrow as pa

from medallion_assets.backfill.bronze_rows import of_object_size, to_object, to_rows
from medallion_assets.backfill.export import read_export
from medallion_assets.backfill.export_files import ExportFiles
from medallion_assets.backfill.export_snapshot import ExportSnapshot
from medallion_assets.backfill.handover import (
    CLOCK_TOLERANCE,
    is_after_losses,
    lossy_gaps,
    require_captured,
    require_nothing_set_aside,
    require_within,
    wait_until_handed_over,
)
from medallion_assets.backfill.known import KnownChanges, store_keys
from medallion_assets.backfill.progress import (
    Done,
    StartedScan,
    find_unfinished_scan,
    keys_path,
    read_progress,
    write_progress,
    write_scan,
)
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES, ScanSnapshot, SegmentedTable
from medallion_assets.backfill.snapshot import Part, Snapshot
from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import literal
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets.ledger.gap import Gap
from medallion_assets.ops.tables import BACKFILLS
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.catch_up import CatchUp, position_now
from medallion_assets.reconciliation.scan import Description, SourceTable

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Backfill:
    """What a backfill did. `items` are in Bronze, `read` of them were read by this run and not by one before.

    `removed` keys of Silver were not in the snapshot, after changes were lost. `merged` says whether Silver has
    published all of this. `gaps` are the table's gaps that are still open.
    """

    id: str
    table: str
    snapshot_at: datetime
    items: int
    read: int
    objects: int
    removed: int
    merged: bool
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Plan:
    """A backfill that can start: a snapshot that the handover allows, and its parts that are in Bronze already.

    `about` is the table; `gaps` are those that it closes: changes that were lost before the snapshot. `table` reads
    single items, which only an incremental export needs.
    """

    snapshot: Snapshot
    stream_arn: str
    about: Description
    gaps: Sequence[Gap]
    done: dict[str, Done]
    table: SourceTable | None = None

    @property
    def left(self) -> list[str]:
        """The parts that are not in Bronze as a whole."""
        return [name for name in self.snapshot.parts if name not in self.done]


def plan_from_export(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    about: Description,
    *,
    files: ExportFiles,
    now: datetime,
    table: SourceTable | None = None,
) -> Plan:
    """Return what a backfill from this export of the table `about` would do; write nothing.

    `table` reads single items, if the export is incremental. Raises SettingsError for an export that must not be
    loaded, botocore's errors, LakeUnavailable.
    """
    export = read_export(files, table_arn=about.arn)
    stream = require_captured(store, contract, stream_arn=about.stream_arn, at=export.at, now=now)
    gaps = lossy_gaps(lake, store, contract, at=export.at)
    if export.since is not None:
        require_within(contract, gaps, since=export.since, at=export.at)
    about = replace(about, bytes=export.bytes)
    return Plan(ExportSnapshot(export, files), stream, about, gaps, read_progress(store, contract, export.id), table)


def plan_from_scan(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    about: Description,
    *,
    table: SegmentedTable,
    threads: int,
    now: Callable[[], datetime],
) -> Plan:
    """Return what a backfill from a scan would do, or from the last scan that was not finished; write nothing.

    Raises SettingsError if the table must not be loaded, LakeUnavailable, CorruptObject.
    """
    at = now()
    before = find_unfinished_scan(store, contract, about.stream_arn)
    if before is not None and not is_after_losses(lake, store, contract, before.at):
        before = None
    stream = require_captured(
        store, contract, stream_arn=about.stream_arn, at=before.at if before is not None else at, now=at
    )
    segments = max(1, ceil(about.bytes / SEGMENT_BYTES))
    scan = before or StartedScan(f"scan-{at:%Y%m%dT%H%M%S%fZ}", at, stream, segments)
    snapshot = ScanSnapshot(scan.id, scan.at, about.items, scan.segments, table, now, threads)
    gaps = lossy_gaps(lake, store, contract, at=scan.at)
    return Plan(snapshot, stream, about, gaps, read_progress(store, contract, scan.id))


def backfill(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    plan: Plan,
    *,
    catch_up: CatchUp,
    merge_seconds: float,
    given_up: Callable[[], Mapping[str, GivenUp]] = dict,
    report: Callable[[int, int], None] = lambda items, of: None,
) -> Backfill:
    """Write the items of the snapshot to Bronze, and wait up to `merge_seconds` until Silver has published them.

    `given_up` returns what Lambda gave up, by table. `report` is called with the items in Bronze so far, and with those
    of the snapshot. After a crash, the same call
    goes on with the parts that are left. Raises SettingsError for a file that is not as the manifest says, before the
    first row is written, and for changes that wait for a redrive; NotCaughtUp, botocore's errors, LakeUnavailable,
    CommitConflict.
    """
    began, snapshot, left = catch_up.now(), plan.snapshot, plan.left
    snapshot.check(left)
    loading = _Loading(lake, store, contract, plan, catch_up, given_up)
    done = dict(plan.done)
    if isinstance(snapshot, ScanSnapshot) and left:
        write_scan(store, contract, _started(snapshot, plan.stream_arn))
    removed = 0
    with tempfile.TemporaryDirectory(prefix="medallion-backfill-") as folder, snapshot.read(left) as parts:
        if plan.gaps:
            loading.know(Path(folder))
        for part in parts:
            done[part.name] = loading.load(part)
            report(sum(one.items for one in done.values()), snapshot.items)
        if plan.gaps:
            removed = loading.remove_gone()
    merged = _wait(lake, store, contract, through=loading.now(), catch_up=catch_up, seconds=merge_seconds)
    if isinstance(snapshot, ScanSnapshot) and merged:
        write_scan(store, contract, replace(_started(snapshot, plan.stream_arn), finished=True))
    gaps = plan.gaps
    if merged and gaps:
        before = snapshot.at - CLOCK_TOLERANCE
        gaps = close_repaired_gaps(lake, store, contract, at=before, run_id=f"backfill {snapshot.id}")
    result = Backfill(
        snapshot.id,
        contract.lake_name,
        snapshot.at,
        items=sum(part.items for part in done.values()),
        read=sum(done[name].items for name in left),
        objects=sum(part.objects for part in done.values()),
        removed=removed,
        merged=merged,
        gaps=tuple(gaps),
    )
    upsert(lake, BACKFILLS, [_record(result, plan, began=began, ended=catch_up.now())])
    return result


@dataclass
class _Counter:
    """The items of a part so far, and the local files with the hashes of their keys, where changes were lost."""

    items: int = 0
    hashes: list[Path] = field(default_factory=list)


@dataclass
class _Loading:
    """Puts the parts of a snapshot into Bronze. `_handed_over`: every change made before this time is merged."""

    lake: Lake
    store: BronzeStore
    contract: Contract
    plan: Plan
    catch_up: CatchUp
    given_up: Callable[[], Mapping[str, GivenUp]]
    _handed_over: datetime | None = None
    _known: KnownChanges | None = None

    def know(self, folder: Path) -> None:
        """Read what Silver knows, once it has every change before the snapshot; `folder` is for local files."""
        self._hand_over(self.plan.snapshot.at)
        plan = self.plan
        self._known = KnownChanges(
            self.lake, self.contract, folder / "known", plan.snapshot.at, plan.stream_arn, plan.about.key_tags
        )
        self._known.read()

    def remove_gone(self) -> int:
        """Remove the keys that Silver has and the snapshot does not. Return how many there are."""
        known, snapshot = self._known, self.plan.snapshot
        if known is None:
            return 0
        folder = known.folder.parent / "keys"
        folder.mkdir()
        for name in snapshot.parts:
            (folder / f"{name}.parquet").write_bytes(self.store.read(keys_path(self.contract, snapshot.id, name)))
        hashes = f"read_parquet({literal(str(folder / '*.parquet'))})"
        removed = 0
        absent = self._absent if snapshot.since is not None else None
        gone = known.gone(hashes, backfill=snapshot.id, since=snapshot.since, absent=absent)
        for some in of_object_size(gone):
            self.store.put(*to_object(self.contract, some, captured_at=self.now()))
            removed += some.num_rows
        return removed

    def _absent(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which of these keys are not in the table now."""
        if self.plan.table is None:
            raise ValueError("an incremental export needs the table")
        sought = [orjson.loads(text) for text in keys.to_pylist()]
        pages, names = self.plan.table.get(sought), list(self.plan.about.key_tags)
        found = {_comparable(item, names) for page in pages for item in orjson.loads(page)["Items"]}
        return pa.chunked_array([[_comparable(key, names) not in found for key in sought]], pa.bool_())

    def _hand_over(self, past: datetime) -> None:
        if self._handed_over is None or past > self._handed_over:
            waiting = replace(self.catch_up)  # each wait has the whole limit
            wait_until_handed_over(self.lake, self.store, self.contract, past=past, catch_up=waiting)
            require_nothing_set_aside(self.store, self.contract, self.given_up())
            self._handed_over = past

    def load(self, part: Part) -> Done:
        """Write a part to Bronze as soon as that is allowed, then note that it is done."""
        self._hand_over(part.read_at)
        objects = 0
        counter = _Counter()
        with self.lake.duckdb() as connection:
            for some in of_object_size(self._rows(connection, part, counter)):
                self.store.put(*to_object(self.contract, some, captured_at=self.now()))
                objects += 1
        if self._known is not None:
            store_keys(self.store, keys_path(self.contract, self.plan.snapshot.id, part.name), counter.hashes)
        items = counter.items
        done = Done(part.name, items, objects)
        write_progress(self.store, self.contract, self.plan.snapshot.id, done)
        log.info("silver.%s: %d items of a part are in Bronze", self.contract.lake_name, items)
        return done

    def now(self) -> datetime:
        """Return a time that is not before the newest object in Silver: no reader lists names older than that."""
        now, newest = self.catch_up.now(), position_now(self.lake, self.contract).newest
        return max(now, ObjectName.parse(newest).captured_at) if newest is not None else now

    def _rows(self, connection: duckdb.DuckDBPyConnection, part: Part, counter: _Counter) -> Iterator[pa.Table]:
        for page in part.pages:
            rows = to_rows(
                connection,
                self.contract,
                page,
                reading=f"{self.plan.snapshot.id}-{part.reading}",
                first_line=counter.items + 1,
                stream_arn=self.plan.stream_arn,
            )
            counter.items += rows.num_rows
            if self._known is not None:
                counter.hashes.append(self._known.folder.parent / f"{part.name}-{len(counter.hashes)}.parquet")
                rows = self._known.numbered(rows, page.at, counter.hashes[-1])
            if rows.num_rows:
                yield rows


def _comparable(item: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> tuple[str | Decimal, ...]:
    """Return an item's key such that equal numbers are equal, however they are written."""
    values = (next(iter(item[name].items())) for name in names)
    return tuple(Decimal(text) if tag == "N" else text for tag, text in values)


def _started(snapshot: ScanSnapshot, stream_arn: str) -> StartedScan:
    return StartedScan(snapshot.id, snapshot.at, stream_arn, snapshot.segments)


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
        "source": plan.snapshot.kind,
        "snapshot_at": done.snapshot_at,
        "started_at": began,
        "ended_at": ended,
        "items": done.items,
        "objects": done.objects,
        "merged": done.merged,
        "stream_arn": plan.stream_arn,
    }
