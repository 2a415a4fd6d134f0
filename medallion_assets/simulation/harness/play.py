"""Play a history: source, capture, lake and Dagster's part on one clock, checked by the oracle.

Belongs here: what each act does, and how everything comes to rest at the end. Does not belong here: which acts there
are (histories), what must be true (oracle).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import orjson

from medallion_assets.backfill.backfill import Plan, plan_from_export, plan_from_scan
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES
from medallion_assets.capture.dead_letter import list_dead_letters, read_dead_letter
from medallion_assets.capture.given_up import find_given_up
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.redrive import redrive
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import MedallionError, SettingsError
from medallion_assets.gold import refresh
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake import maintenance, retry
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.scheduling.planner import Cursor
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import Handler, MappingSettings
from medallion_assets.simulation.faults import Died, Fault, Faults
from medallion_assets.simulation.harness.app_items import APP
from medallion_assets.simulation.harness.capture import PollerProcess, lambda_handler
from medallion_assets.simulation.harness.daemon import Daemon
from medallion_assets.simulation.harness.histories import CAPTURE_FAULT_PROFILES, FAULT_PROFILES, History
from medallion_assets.simulation.harness.lake import Warehouse, database, patched, quick_avro
from medallion_assets.simulation.harness.source_reader import SlowExport, SourceReader, document, export_table, of_json
from medallion_assets.simulation.inline_threads import one_thread
from medallion_assets.simulation.judge.oracle import Oracle
from medallion_assets.simulation.judge.reference_decoder import Change
from medallion_assets.simulation.objects import FaultyStore, MemoryStore
from medallion_assets.simulation.streams import RETENTION, StreamRecord
from medallion_assets.simulation.table import Table, Write, transact

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a disk in memory where there is one
_COMMITS_BETWEEN: Final = 3
"""Compaction runs after so many commits, so that a short history has some."""
_CAPTURE_DELAY: Final = timedelta(minutes=20)
"""After this time a person's command takes a change for captured where a function captures."""
_SEGMENTS: Final = 2
_TICK_SECONDS: Final = 60.0
"""In a pause as long as this of a load, the sensor ticks."""
_MOST_KEYS: Final = 1000.0
"""A mart of a few keys is refreshed by them, too."""


@dataclass(frozen=True)
class Played:
    """The result of a history. `violations` is empty if all was right; the scripts list the faults that happened."""

    violations: tuple[str, ...]
    counts: Mapping[str, int]
    faults: Mapping[str, int]
    capture_script: tuple[Fault, ...]
    scripts: tuple[tuple[Fault, ...], ...]
    """By act."""


@cache
def shop(*, entities: bool) -> tuple[Domain, Domain, tuple[Mart, ...]]:
    """Return the domain of all histories, the same domain with corrected contracts, and its marts.

    Without `entities`, it lacks the single-table design.
    """
    here = Path(__file__).parent
    domain, mended = (_of(load_domain(str(here / name)), entities) for name in ("shop", "shop_mended"))
    return domain, mended, load_marts(domain)


def _of(domain: Domain, entities: bool) -> Domain:
    return domain if entities else replace(domain, tables=tuple(one for one in domain.tables if one.table != APP))


def play(history: History) -> Played:
    """Play a history to its end, or to the first act with a violation."""
    with ExitStack() as held:
        held.enter_context(one_thread())
        held.enter_context(quick_avro())
        held.enter_context(patched((maintenance, "COMMITS_BETWEEN", _COMMITS_BETWEEN)))
        held.enter_context(patched((refresh, "MOST_KEYS", _MOST_KEYS)))
        folder = tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None, prefix="simulated-")
        harness = _Harness(history, Path(held.enter_context(folder)), held)
        held.enter_context(patched((retry, "back_off", lambda failures: harness.wait(0.1 * failures))))
        return harness.play()


class _ObservedStore(MemoryStore):
    """Bronze in memory that reports every write to the oracle."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self._oracle = oracle

    def put(self, path: str, data: bytes) -> None:
        super().put(path, data)
        self._oracle.put(path, data)


class _Offset(Clock):
    """A clock that differs from another by `offset_s`, which is asked at each reading."""

    def __init__(self, clock: Clock, offset_s: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._offset_s = offset_s

    def __call__(self) -> datetime:
        return self._clock() + timedelta(seconds=self._offset_s())


class _Meanwhile(Clock):
    """The clock that the pipeline sees: while the pipeline waits, everything else goes on."""

    def __init__(self, clock: Clock, wait: Callable[[float], None]) -> None:
        super().__init__()
        self._clock = clock
        self._wait = wait

    def __call__(self) -> datetime:
        return self._clock()

    def advance(self, seconds: float) -> None:
        self._wait(seconds)


@dataclass(frozen=True)
class _Written:
    """A change at the source: its record, its shard and its event id."""

    record: StreamRecord
    shard_id: str
    event_id: str
    table: str


class _Harness:
    def __init__(self, history: History, folder: Path, held: ExitStack) -> None:
        self._history = history
        self._domain, self._mended, marts = shop(entities=history.entities)
        capture = history.capture
        self._cloud = Cloud(
            history.seed,
            start=history.start,
            rates=CAPTURE_FAULT_PROFILES[capture.fault_profile],
            script=capture.script,
        )
        self._clock = self._cloud.clock
        self._oracle = Oracle(self._domain, database())
        self._bronze = _ObservedStore(self._oracle)
        self._given_up = MemoryStore()
        late = {act.given["table"] for act in history.acts if act.do == "switch_on"}
        self._tables = {
            table: self._cloud.create_table(
                table,
                _key(table),
                shards=history.shards,
                ttl=_TTL.get(table),
                view=None if table in late else "NEW_AND_OLD_IMAGES",
            )
            for table in self._domain.sources
        }
        self._written: dict[tuple[str, int, Any], _Written] = {}
        self._poison: set[str] = set()
        self._seen_parked: set[str] = set()
        self._busy = False
        self._meanwhile = _Meanwhile(self._clock, self.wait)
        self._calm = Faults(0, self._meanwhile)
        self._warehouse = Warehouse(folder / "lake", self._calm)
        self._warehouse.committed = self._oracle.committed
        self._warehouse.second_writer = self._second_writer
        self._daemon = Daemon(
            self._domain,
            [mart for mart in marts if history.layered or not mart.upstream],
            warehouse=self._warehouse,
            store=lambda: FaultyStore(self._bronze, self._warehouse.faults),
            clock=self._meanwhile,
            pause=self.wait,
        )
        self._started = self._clock()
        self._today = self._started.date()
        self._faults: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._scripts: list[tuple[Fault, ...]] = []
        self._exports_folder = folder / "exports"
        self._exports: dict[str, Path] = {}
        self._by_load: set[str] = set()
        """Tables of which a person loads what no stream told."""
        self._to_load: set[str] = set(late)
        """Those that were not loaded yet."""
        self._lost_at: dict[str, datetime] = {}
        """By table: when its stream was replaced last."""
        self._closed_at: dict[str, datetime] = {}
        """By table: of when the last snapshot is that closed its gaps."""
        self._oracle.capture_delay = None if capture.kind == "poller" else _CAPTURE_DELAY
        self._process: PollerProcess | None = None
        self._begun: dict[str, datetime] = {}
        self._follow: Callable[[Table], None] = lambda table: None
        start = (self._poller if capture.kind == "poller" else self._function)(held)
        start()

    # What each act does.

    def play(self) -> Played:
        for act in self._history.acts:
            rates, contention = FAULT_PROFILES[act.fault_profile]
            faults = Faults(act.seed, self._meanwhile, rates, script=act.script)
            with self._under(faults, contention):
                try:
                    getattr(self, f"_do_{act.do}")(**act.given)
                except Died:
                    self._counts["crashes"] += 1
                except MedallionError:
                    self._counts["failed ticks"] += 1  # the sensor's next tick is the retry
                except Exception:  # noqa: BLE001 - whatever it is, none of our errors says what to do about it
                    self._oracle.violations.append(f"{act.do}: an error that is none of ours\n{traceback.format_exc()}")
            self._scripts.append(tuple(faults.happened))
            self._faults.update(faults.by_kind())
            if self._oracle.violations:
                break
        else:
            self._come_to_rest()
        self._faults.update(self._cloud.faults.by_kind())
        self._counts["events"] = len(self._oracle.changes)
        return Played(
            violations=tuple(self._oracle.violations),
            counts={**self._counts, **self._oracle.counts},
            faults=dict(self._faults),
            capture_script=tuple(self._cloud.faults.happened),
            scripts=tuple(self._scripts),
        )

    def _do_write(self, changes: Sequence[Mapping[str, Any]], gap_s: float) -> None:
        for change in changes:
            together = change.get("transact")
            if together is not None:
                writes = [
                    Write(table=self._tables[one["table"]], kind="put", item=of_json(one["put"])) for one in together
                ]
                tables = {one["table"]: one for one in together}
                for record in transact(writes):
                    self._note(record, tables[_table_of(record)])
                for table in tables:
                    self._note_unseen(self._tables[table])
            else:
                made = self._write(self._tables[change["table"]], change)
                if made is not None:
                    self._note(made, change)
                self._note_unseen(self._tables[change["table"]])
            self._clock.advance(gap_s)

    def _do_split(self, table: str) -> None:
        if self._tables[table].stream is not None:
            self._tables[table].split()

    def _do_expire(self, table: str) -> None:
        for record in self._tables[table].expire():
            self._note(record, {"table": table})
        self._note_unseen(self._tables[table])

    def _do_wait(self, seconds: float) -> None:
        self.wait(seconds)

    def _do_jump(self, seconds: float) -> None:
        """Let time pass while nothing runs: a laptop asleep, a function switched off."""
        self._clock.advance(seconds)

    def _do_tick(self, times: int) -> None:
        for _ in range(times):
            if not self._tick():
                return

    def _do_rerun(self, table: str, back: int) -> None:
        for contract in self._contracts(table):
            if days := self._oracle.final_days(contract):
                self._daemon.rerun(contract.lake_name, days[-1 - min(back, len(days) - 1)])

    def _do_recompute(self, mart: str, back: int | None) -> None:
        daily = self._daemon.marts[mart].is_daily
        named = [self._today - timedelta(days=back)] if back is not None and daily else None
        self._daemon.recompute(mart, named)

    def _do_maintain(self, layer: str, table: str) -> None:
        for contract in self._contracts(table):
            self._daemon.maintain(layer, contract.lake_name)

    def _do_maintain_mart(self, mart: str) -> None:
        self._daemon.maintain("gold", mart)

    def _do_replay(self, table: str) -> None:
        for contract in self._contracts(table):
            self._daemon.replay(contract.lake_name)

    def _do_drop(self, table: str, column: str) -> None:
        for contract in self._contracts(table):
            with self._oracle.dropping(contract.lake_name, column):
                self._daemon.drop(contract.lake_name, f"column_name = '{column}'")

    def _do_recreate(self, table: str, emptied: bool) -> None:
        """Switch the stream off and on, or (`emptied`) make the table anew without items: a new stream begins."""
        source = self._tables[table]
        if source.stream is None:
            return
        for _ in range(100):
            if self._process is None or self._process.checkpoint.table(table):
                break
            self.wait(5.0)  # what a stream held that ended before capture began is nobody's promise
        if emptied:
            source.remake()
        else:
            source.disable_stream()
            self._clock.advance(1.0)
            source.enable_stream()
        self._oracle.recreated(table, emptied=emptied, at=self._clock())
        self._lost_at[table] = self._clock()
        self._follow(source)

    def _do_verify(self, table: str) -> None:
        """Verify: no difference where nothing was lost; a change in flight is no difference."""
        for contract in self._contracts(table):
            self._verify(contract, table)

    def _verify(self, contract: Contract, table: str) -> None:
        began = self._clock()
        found = self._daemon.verify(contract.lake_name, SourceReader(self._tables[table], self.wait), self._catch_up())
        self._take_given_up()
        late = [one for one in self._left() if one.record.at <= began]
        lossy = (
            late
            or table in self._to_load
            or self._oracle.ever_dead_lettered
            or self._oracle.lost
            or self._oracle.to_repair
        )
        mended = self._daemon.domain is self._mended  # then rows of before differ until their table is merged again
        if found is not None and not lossy and not mended and found.missing + found.extra + found.different:
            self._oracle.violations.append(f"verify: {found}")

    def _do_look(self) -> None:
        """Update the ledger and check up to when it calls each table complete."""
        self._left()
        self._daemon.update_ledger()
        self._oracle.told(self._daemon.complete_to)

    def _do_stock(self, table: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Put items as if they had been there before the stream was switched on."""
        source = self._tables[table]
        for item in items:
            source.stock(of_json(item))
        self._note_unseen(source, stocked=True)
        self._to_load.add(table)

    def _do_switch_on(self, table: str) -> None:
        """Switch on the stream of a table that had none."""
        self._tables[table].enable_stream()
        self._follow(self._tables[table])

    def _do_resume(self) -> None:
        """Start the poller again for the tables whose stream lost changes."""
        self._left()
        self._resume()

    def _do_backfill(
        self,
        *,
        table: str,
        source: str,
        seconds: float,
        page_seconds: float,
        before: Sequence[Mapping[str, Any]],
        changes: Sequence[Mapping[str, Any]],
        remade: Mapping[str, Any] | None,
    ) -> None:
        """Load a table, `seconds` after its export was made, or by a scan; it takes `page_seconds` for each page.

        The source writes `before` in the moment before the snapshot, and `changes` while it is loaded. `remade`: after
        so many pages or pauses the table gets a new stream, or is made anew.
        """
        writes, waits = iter(changes), 0

        def wait(pause: float) -> None:
            nonlocal waits
            if remade is not None and waits == remade["after"]:
                self._do_recreate(table, remade["emptied"])
            waits += 1
            if (change := next(writes, None)) is not None:
                self._do_write([change], 0.0)
            self.wait(pause)
            if pause >= _TICK_SECONDS:
                with self._under(self._calm, 0.0):
                    self._tick()

        self._do_write(before, 0.0)
        if source == "export" and table not in self._exports:
            self._exports[table] = self._export(table)
            self.wait(seconds)
        self._backfill(table, wait, page_seconds=page_seconds)

    def _do_mend(self) -> None:
        self._daemon.domain = self._mended
        self._oracle.mended(self._mended)

    def _export(self, table: str) -> Path:
        """Export a table as it is now. Return the export's folder."""
        self._counts["exports"] += 1
        folder, number = self._exports_folder / table, self._counts["exports"]
        return export_table(self._tables[table], folder, at=self._clock(), number=number)

    def _backfill(self, table: str, wait: Callable[[float], None], *, page_seconds: float = 1.0) -> bool:
        """Backfill a table: from its export if there is one, else from a scan. Return whether all of it is merged."""
        (contract,) = self._contracts(table)
        self._by_load.add(table)
        planned: list[Plan] = []

        def plan(lake: Lake, store: BronzeStore, contract: Contract) -> Plan:
            scanned = SourceReader(self._tables[table], wait, page_seconds=page_seconds, faults=self._warehouse.faults)
            about = replace(scanned.describe(), bytes=_SEGMENTS * SEGMENT_BYTES)
            try:
                if table in self._exports:
                    files = SlowExport(self._exports[table], wait, page_seconds=page_seconds)
                    made = plan_from_export(lake, store, contract, about, files=files, now=self._clock())
                else:
                    made = plan_from_scan(lake, store, contract, about, table=scanned, threads=1, now=self._clock)
            except SettingsError:
                self._counts["refused loads"] += 1
                if about.stream_arn is not None:  # else it is tried again when the stream is on
                    self._exports.pop(table, None)
                raise
            planned.append(made)
            return made

        done = self._daemon.backfill(
            contract.lake_name,
            plan,
            self._catch_up(wait),
            lambda: find_given_up(self._given_up),
        )
        if done is None or not done.merged:
            return False
        self._counts["backfills"] += 1
        self._to_load.discard(table)
        self._exports.pop(table, None)
        if planned[-1].gaps and not done.gaps:
            self._counts["closing loads"] += 1
            self._closed_at[table] = done.snapshot_at
        return True

    # The pipeline.

    def _tick(self) -> bool:
        """Do one tick of the sensor and the run it requests. Return whether there was a run."""
        today = self._clock().date()
        if today != self._today:  # again at the next tick while it fails or dies
            errors = [self._daemon.recompute(mart, None) for mart in self._daemon.clock_marts]
            if not any(errors):
                self._today = today
        there = self._oracle.objects(self._clock().date())
        request, pending = self._daemon.tick()
        self._oracle.looked(pending, there)
        if request is None:
            return False
        run = self._daemon.launch(request)
        self._counts["runs"] += 1
        self._counts["failed runs"] += not run.succeeded
        return True

    @contextmanager
    def _under(self, faults: Faults, contention: float) -> Iterator[None]:
        before = self._warehouse.faults, self._warehouse.contention
        self._warehouse.faults, self._warehouse.contention = faults, contention
        try:
            yield
        finally:
            self._warehouse.faults, self._warehouse.contention = before

    def _second_writer(self, name: tuple[str, ...]) -> None:
        """Let another writer commit to the table that is being written; that writer meets no faults."""
        layer, table = name
        with self._under(self._calm, 0.0):
            if layer == "gold":
                self._daemon.recompute(table, None)
            elif layer == "ops":
                self._daemon.update_ledger()
            elif days := self._oracle.final_days(self._daemon.domain.by_name[table]):
                self._daemon.rerun(table, days[-1])

    # Capture.

    def wait(self, seconds: float) -> None:
        """Let time pass while capture works."""
        if self._busy:
            self._clock.advance(seconds)
            return
        self._busy = True
        until = self._clock() + timedelta(seconds=seconds)
        try:
            while self._clock() < until:
                try:
                    self._cloud.scheduler.run(until=until)
                except sqlite3.OperationalError:
                    # Its checkpoint's disk: the poller's process ends, and whoever supervises it starts it again.
                    if self._process is None:
                        raise
                    self._process.kill()
                    self._clock.advance(1.0)
                    self._process.start()
        finally:
            self._busy = False
        self._check_marks()

    def _function(self, held: ExitStack) -> Callable[[], None]:
        """Set up capture by the Lambda function. Return what starts it."""
        capture = self._history.capture
        dice = self._cloud.dice("function")

        def off() -> float:
            lag = dice.uniform(0, capture.lag_s) if dice.random() < 0.4 else 0.0
            return dice.uniform(-capture.skew_s, capture.skew_s) - lag

        handler = held.enter_context(lambda_handler(self._cloud.store(self._bronze), _Offset(self._clock, off)))

        def follow(table: Table) -> None:
            mapping = self._cloud.mapping(
                table,
                partial(self._invoke, handler),
                MappingSettings.deployed(**capture.settings),
                on_failure=self._given_up,
            )
            self._cloud.scheduler.spawn(f"mapping/{table.name}", mapping.run())

        self._follow = follow

        def start() -> None:
            for table in self._tables.values():
                if table.stream is not None:
                    follow(table)

        return start

    def _invoke(self, handler: Handler, event: dict[str, Any], context: Any) -> None:
        events = [record["eventID"] for record in event["Records"]]
        for record in event["Records"]:
            if record["eventID"] in self._poison:
                _poison(record)
        handler(event, context)
        self._acknowledged(events)

    def _poller(self, held: ExitStack) -> Callable[[], None]:
        """Set up capture by our own poller. Return what starts it."""
        streams = _Poisoned(self._cloud.streams, self._poison)
        setattr(self._cloud, "streams", streams)  # noqa: B010 - a cached property, read-only to the type checker
        process = self._process = PollerProcess(
            self._cloud,
            list(self._tables),
            store=self._cloud.store(self._bronze),
            settings=PollerSettings(**self._history.capture.settings),
        )
        return process.start

    def _check_marks(self) -> None:
        """Check that what the poller's checkpoint calls delivered is in Bronze."""
        if self._process is None:
            return
        self._oracle.interrupted |= set(self._process.gaps)
        for name in self._tables:
            if self._process.checkpoint.table(name) is not None:
                self._begun.setdefault(name, self._clock())
        marks: dict[str, int] = {}
        for table in self._tables.values():
            for stream in table.streams:
                for shard_id, mark in self._process.checkpoint.shards(stream.arn).items():
                    marks[shard_id] = int(mark.sequence_number or 0)
        self._acknowledged(
            one.event_id for one in self._written.values() if one.record.number <= marks.get(one.shard_id, 0)
        )

    def _acknowledged(self, events: Any) -> None:
        self._take_given_up()
        self._oracle.acknowledged(events)

    def _take_given_up(self) -> None:
        """Read the dead letters in Bronze, and the batches that Lambda gave up."""
        letters = {path for paths in list_dead_letters(self._bronze).values() for path in paths}
        for path in letters - self._seen_parked:
            self._oracle.dead_lettered.add(read_dead_letter(self._bronze, path).record["eventID"])
        batches = set(self._given_up.list("aws", suffix=""))
        for path in batches - self._seen_parked:
            records = json.loads(json.loads(self._given_up.read(path))["payload"])["Records"]
            self._oracle.dead_lettered |= {record["eventID"] for record in records}
        self._seen_parked |= letters | batches
        self._oracle.ever_dead_lettered |= self._oracle.dead_lettered

    # The source.

    def _write(self, table: Table, change: Mapping[str, Any]) -> StreamRecord | None:
        if "put" in change:
            return table.put(of_json(change["put"]))
        if "update" in change:
            return table.update(of_json(change["update"]), of_json(change["set"]))
        return table.delete(of_json(change["delete"]))

    def _note(self, record: StreamRecord, change: Mapping[str, Any]) -> None:
        table = self._tables[change["table"]]
        told = Change.of(table.name, record.for_lambda())
        shards = table.stream.shards() if table.stream is not None else []
        (shard_id,) = [shard.shard_id for shard in shards if any(one is record for one in reversed(shard.records))]
        self._written[shard_id, record.number, record.item_key] = _Written(record, shard_id, told.event_id, table.name)
        if change.get("poison"):
            self._poison.add(told.event_id)
        self._oracle.changed(told, shard_id, bad=change.get("bad"), at=record.at)

    def _note_unseen(self, table: Table, *, stocked: bool = False) -> None:
        """Note what a table has if no stream tells it."""
        if table.stream is None or stocked:
            items = orjson.loads(document(list(table)))["Items"]
            keys = [{name: item[name] for name, _ in table.key} for item in items]
            self._oracle.unseen_items(table.name, zip(keys, items, strict=True), at=self._clock())

    # The end.

    def _come_to_rest(self) -> None:
        """End the history without faults: capture delivers the rest, every run succeeds, everything is judged."""
        self._cloud.faults.calm()
        self._cloud.faults.restart()
        for _ in range(40):
            if not self._left():
                break
            self.wait(60.0)
        self._resume()
        self._redeliver()
        # Names may be ahead of the time, and a table that failed waits.
        for _ in range(60):
            self.wait(20.0)
            self._resume()
            ran = self._tick()
            if self._oracle.violations:
                return
            if not ran and not self._unrest():
                break
        else:
            self._oracle.violations.append(f"end: no rest: {self._daemon.cursor}")
            return
        self._load_the_rest()
        self._oracle.converged(today=self._today)
        self._read_by_pyiceberg()
        polled = self._history.capture.kind == "poller"
        # The poller takes its time to believe that there is nothing more, shard after shard.
        for _ in range(30):
            self.wait(60.0)
            self._do_look()
            if not polled or not self._oracle.told_too_little():
                break
        self._oracle.recorded(polled=polled)

    def _read_by_pyiceberg(self) -> None:
        """Check that pyiceberg reads the same rows as DuckDB, which the oracle used so far."""
        with self._warehouse.open() as lake:
            for contract in self._domain.tables:
                if lake.find("silver", contract.lake_name) is not None:
                    seen = lake.table("silver", contract.lake_name).scan(selected_fields=("_event_id",)).to_arrow()
                    self._oracle.read_again(contract, seen["_event_id"].to_pylist())

    def _left(self) -> list[_Written]:
        """Return what is still to be captured. Changes that the stream no longer has are lost."""
        self._take_given_up()
        left = [
            one
            for one in self._written.values()
            if not self._oracle.captured(one.event_id) and one.event_id not in self._oracle.dead_lettered
        ]
        there = (
            {id(record) for table in self._tables.values() for stream in table.streams for record in stream.records()}
            if left
            else set()
        )
        gone = [one for one in left if id(one.record) not in there]
        self._oracle.lost |= {one.event_id for one in gone}
        self._oracle.unseen |= {
            one.event_id
            for one in gone
            if one.table not in self._begun or self._begun[one.table] - one.record.at >= RETENTION
        }
        return [one for one in left if id(one.record) in there]

    def _resume(self) -> None:
        """Start the poller again for the tables whose stream lost records."""
        if self._process is None or not self._process.gaps:
            return
        gaps = set(self._process.gaps)
        self._process.kill()
        self._clock.advance(60.0)  # nobody is faster
        self._process.start(resume_after_gap=gaps)
        for _ in range(20):
            self.wait(30.0)
            if not self._left():
                return
        # It begins with the stream of now: what nobody read of an older one is left to the repair.
        self._oracle.lost |= {one.event_id for one in self._left() if one.table in gaps}

    def _load_the_rest(self) -> None:
        """Backfill the tables that a person loads; repair what that does not bring, and all others."""
        self._daemon.update_ledger()
        for table in sorted(self._to_load | (self._by_load & self._not_whole())):
            for _ in range(3):
                if self._backfill(table, self.wait):
                    break
                self._mend_what_holds()
            else:
                self._repair_all(table)
        for table in sorted(self._not_whole()):
            self._repair_all(table)
        while self._tick():
            self.wait(5.0)
        for _ in range(10):
            if not self._unrest():
                break
            self._tick()
            self.wait(20.0)

    def _not_whole(self) -> set[str]:
        """Return the tables that lost changes after the last snapshot that closed their gaps."""
        lost = [self._oracle.changes[event] for event in self._oracle.lost]
        times = [(one.table, self._oracle.made_at(one)) for one in lost]
        times += [*self._lost_at.items(), *((table, self._clock()) for table in self._oracle.told_lossy())]
        times += [(table, self._started) for table in self._oracle.interrupted]
        return {table for table, at in times if table not in self._closed_at or at >= self._closed_at[table]}

    def _repair_all(self, table: str) -> None:
        self._to_load.discard(table)
        for contract in self._contracts(table):
            self._repair_table(contract, table)

    def _repair_table(self, contract: Contract, table: str) -> None:
        for _ in range(3):
            source = SourceReader(self._tables[table], self.wait)
            done = self._daemon.repair(contract.lake_name, source, self._catch_up())
            if done is not None and done.complete:
                return
            self._mend_what_holds()
        self._oracle.violations.append(f"end: the repair of {contract.lake_name} does not come to an end: {done}")

    def _contracts(self, table: str) -> tuple[Contract, ...]:
        return self._daemon.domain.sources[table].contracts

    def _catch_up(self, meanwhile: Callable[[float], None] | None = None) -> CatchUp:
        """Return the waiting of a person's command: capture and the sensor's next run go on meanwhile."""

        def wait(seconds: float) -> None:
            (meanwhile or self.wait)(max(seconds, 20.0))
            self._left()
            with self._under(self._calm, 0.0):
                self._tick()

        return CatchUp(
            capture_delay_seconds=_CAPTURE_DELAY.total_seconds(), limit_seconds=7200.0, now=self._clock, wait=wait
        )

    def _redeliver(self) -> None:
        """Redrive what is parked, after its cause was corrected; a second redrive finds nothing."""
        self._take_given_up()
        store = FaultyStore(self._bronze, self._calm)
        for paths in list_dead_letters(store).values():
            for path in paths:
                store.put(path, store.read(path).replace(_BROKEN, b""))
        for _ in range(2):
            done = redrive(store, self._tables, given_up=self._given_up, now=self._clock)
        if done.left or done.records:
            self._oracle.violations.append(f"redrive: {done}")
        self._oracle.dead_lettered.clear()

    def _unrest(self) -> bool:
        """Return whether something is still pending, after contracts that block a batch were corrected."""
        self._mend_what_holds()
        cursor = Cursor.model_validate_json(self._daemon.cursor)
        if cursor.backoffs or cursor.stale or self._waiting():
            return True
        return self._released()

    def _mend_what_holds(self) -> None:
        """Correct the contracts when they block a batch."""
        backoffs = Cursor.model_validate_json(self._daemon.cursor).backoffs
        held = any("held: quarantine_rate" in error for run in self._daemon.runs.values() for error in run.errors)
        if backoffs and held and self._daemon.domain is not self._mended:
            self._do_mend()

    def _waiting(self) -> bool:
        """Return whether there are objects of a future day."""
        return any(
            day > self._clock().date() for contract in self._domain.tables for day in self._oracle.final_days(contract)
        )

    def _released(self) -> bool:
        """Rerun or replay quarantined changes that the corrected contract takes. Return whether there were any."""
        left = False
        for contract in self._daemon.domain.tables:
            days = self._oracle.days_to_release(contract)
            left |= bool(days)
            if len(days) > 1:
                self._daemon.replay(contract.lake_name)
            for day in days[:1]:
                self._daemon.rerun(contract.lake_name, day)
            self._counts["releases"] += len(days)
        return left


class _Poisoned:
    """A streams client that returns some records in a form that capture cannot write."""

    def __init__(self, client: Any, poison: set[str]) -> None:
        self._client = client
        self._poison = poison

    def get_records(self, **request: Any) -> Any:
        answer = self._client.get_records(**request)
        for record in answer["Records"]:
            if record["eventID"] in self._poison:
                _poison(record)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


_TTL: Final = {"Readings": "ExpiresAt", APP: "ExpiresAt"}


def _key(table: str) -> dict[str, str]:
    return {
        "Customers": {"CustomerID": "S"},
        "Orders": {"OrderID": "S"},
        "Readings": {"Device": "S", "At": "N"},
        APP: {"PK": "S", "SK": "S"},
    }[table]


def _table_of(record: StreamRecord) -> str:
    return record.stream_arn.split(":table/")[1].split("/")[0]


def _poison(record: dict[str, Any]) -> None:
    """Change a record so that capture cannot write it: text that no encoding has."""
    record["dynamodb"]["Keys"] = {**record["dynamodb"]["Keys"], "Broken": {"S": "\ud800"}}


_BROKEN: Final = rb', "Broken": {"S": "\ud800"}'
"""What makes a record poison, as its dead letter has it."""
