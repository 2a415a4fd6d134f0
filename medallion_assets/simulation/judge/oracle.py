"""The independent judge of a history: after every commit, is what readers see right?

It is told what the source changed, which objects are in Bronze, what capture acknowledged and which commits the catalog
made. From that it works out, in plain Python, what every published table must hold, and reads what it does hold. It
shares no code with the pipeline: names of columns and properties are all it takes from it, written down here again.

Belongs here: what must be true, and saying what is not. Does not belong here: reading one value
(reference_decoder), the marts (recompute), making histories.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table.metadata import TableMetadata

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.simulation.judge.recompute import MARTS
from medallion_assets.simulation.judge.reference_decoder import (
    NONE_YET,
    Change,
    Number,
    Row,
    Verdict,
    comparable,
    concerns,
    judge,
    key_text,
    meta,
    normal,
    number,
)
from medallion_assets.simulation.judge.source_history import BEFORE, Image, SourceHistory

# A batch may hold this many bad rows: five in a hundred, and a smaller batch counts as a hundred.
_UNITS: Final = {"region_totals": "region"}
"""By mart: the column of the parts that it is refreshed by; of the others it is the day."""
_SMALLEST_BATCH: Final = 100
_LATE: Final = timedelta(minutes=15)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_STAMP: Final = re.compile(r".*/(\d{8}T\d{12})Z_[^/]*\.parquet")


@dataclass
class _Object:
    """One Bronze object: its time of capture and the event ids of its rows."""

    at: datetime
    events: list[str]


@dataclass
class _Silver:
    """What the oracle knows of one Silver table."""

    snapshot: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    """The objects that snapshots of main list."""
    accepted: dict[str, set[int]] = field(default_factory=dict)
    """The valid changes of those objects, with the versions of the contract that accepted them."""
    numbers: dict[str, Number] = field(default_factory=dict)
    """By key: the sequence number of the published change, which may be a deletion."""
    events: dict[str, str] = field(default_factory=dict)
    """By key: the event id of that change."""
    states: dict[int, list[Row]] = field(default_factory=dict)
    """The live rows of each snapshot that was published."""
    named: set[int] = field(default_factory=set)
    """The snapshots whose objects are in `claimed`."""
    numbers_at: dict[int, dict[str, Number]] = field(default_factory=dict)
    """`numbers` as of each snapshot that was published."""
    shown: dict[str, int] = field(default_factory=dict)
    """By key: the place of the state of the source (SourceHistory) that the published row, or its absence, is of."""
    deleted: dict[str, Number] = field(default_factory=dict)
    """By key: the sequence number in the table of deleted keys."""
    deleted_at: int | None = None
    """The published snapshot of that table."""

    def newest(self, key: str) -> Number:
        """Return the sequence number of the newest change of a key that was merged."""
        return max(self.numbers.get(key, NONE_YET), self.deleted.get(key, NONE_YET))


class Oracle:
    """Judges one history. Violations are collected in `violations`, in order; nothing is raised."""

    def __init__(self, domain: Domain, connection: duckdb.DuckDBPyConnection) -> None:
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.changes: dict[str, Change] = {}
        self.dead_lettered: set[str] = set()
        """Events that are dead letters, or that Lambda gave up: they need not be in Bronze."""
        self.ever_dead_lettered: set[str] = set()
        self.lost: set[str] = set()
        """Events that the stream trimmed before they were read."""
        self._brought: set[str] = set()
        """Lost events whose gap was closed: a repair or a load has brought the table past them."""
        self.unseen: set[str] = set()
        """Trimmed events from before capture began: no promise covers them."""
        self.interrupted: set[str] = set()
        """Tables whose capture ended because their stream lost records or was replaced."""
        self._recreated: set[str] = set()
        """Tables that have a new stream since they were captured first."""
        self._source = SourceHistory()
        self._made: dict[str, datetime] = {}
        """By event: when the source made the change."""
        self._loaded_from: dict[str, list[int]] = {}
        """By event of a backfill: the places of the states that it may have been read from."""
        self.capture_delay: timedelta | None = None
        """After how long a backfill may take a change for captured; None: it knows."""
        self._emptied: set[str] = set()
        """Tables that were made anew."""
        self._shards: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._editions = [domain]
        self._connection = connection
        self._objects: dict[str, _Object] = {}
        self._captured: dict[str, set[datetime]] = defaultdict(set)
        self._silver: dict[str, _Silver] = {contract.lake_name: _Silver() for contract in domain.tables}
        self._quarantine: dict[str, dict[str, Row]] = {contract.lake_name: {} for contract in domain.tables}
        self._gold: dict[str, tuple[int | None, Mapping[str, str]]] = {}
        self._gold_states: dict[str, dict[int, list[Row]]] = defaultdict(dict)
        """By mart: the rows of each snapshot that was published, as others can read them."""
        self._verdicts: dict[tuple[int, str, str], Verdict] = {}
        self._dropping: tuple[str, str] | None = None
        self._ledger: dict[tuple[str, str], Row] = {}
        """By lake name of the table and object."""
        self._ledger_at: int | None = None
        self._complete: dict[str, datetime] = {}
        self._open_gaps: dict[str, bool] = {}

    @property
    def domain(self) -> Domain:
        """Return the current contracts."""
        return self._editions[-1]

    def mended(self, domain: Domain) -> None:
        """Replace the contracts."""
        self._editions.append(domain)

    @contextmanager
    def dropping(self, table: str, column: str) -> Iterator[None]:
        """Expect, while inside, that a person drops open quarantine rows of a table (lake name) for this column."""
        self._dropping = table, column
        try:
            yield
        finally:
            self._dropping = None

    def unseen_items(self, table: str, items: Iterable[tuple[Image, Image]], *, at: datetime) -> None:
        """Note that a table has these items (key, item) and no other, although no stream told it."""
        self._source.unseen(table, {key_text(keys): image for keys, image in items}, at=at)

    def changed(self, change: Change, shard_id: str, *, bad: bool | None, at: datetime) -> None:
        """Note a change at the source, made at `at`.

        `bad`: whether it was made to break its first contract; None: unknown.
        """
        self.changes[change.event_id] = change
        self._made[change.event_id] = at
        self._source.changed(change.table, change.key, change.image, at=at, event_id=change.event_id)
        self._shards[shard_id].append((change.event_id, change.number[1]))
        concerned = [one for one in self._editions[0].tables if self._concerns(one, change)]
        if bad is not None and bad != any(self._verdict(one, change, 0).broken for one in concerned):
            raise ValueError(f"the history says bad={bad} of {change}, the first contract does not")

    def recreated(self, table: str, *, emptied: bool, at: datetime) -> None:
        """Note that a table got a new stream; with `emptied`, its items are gone without a record."""
        self._recreated.add(table)
        if emptied:
            self._emptied.add(table)
            self._source.unseen(table, {}, at=at)

    @property
    def to_repair(self) -> set[str]:
        """The tables that need a repair although nothing that was sent is missing."""
        return self.interrupted | self._recreated

    def made_at(self, change: Change) -> datetime:
        """Return when the source made a change."""
        return self._made[change.event_id]

    def told_lossy(self) -> set[str]:
        """Return the tables that `ops.gaps` says need a backfill."""
        told = {gap.partition("/")[0] for gap, still in self._open_gaps.items() if still}
        return {contract.table for contract in self.domain.tables if contract.lake_name in told}

    def put(self, path: str, data: bytes) -> None:
        """Note that an object is in Bronze, whether or not its writer knows it."""
        if path.startswith("_gaps/"):
            self.interrupted.add(path.split("/")[1])
        if path.startswith("_") or not path.endswith(".parquet"):
            return
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        if path in self._objects and self._objects[path].events != [row["event_id"] for row in rows]:
            self._wrong(f"bronze: {path} was written twice with different rows")
        found = self._objects[path] = _Object(_time(path), [row["event_id"] for row in rows])
        for row in rows:
            change = self.changes.get(row["event_id"]) or self._loaded(row) or self._amended(row)
            if change is None:
                self._wrong(f"bronze: {path} holds {row['event_id']}, which the source never sent")
                found.events.remove(row["event_id"])
                continue
            self._captured[change.event_id].add(row["captured_at"])
            sent = number(row["sequence_number"], row["stream_arn"])
            told = (row["event_name"], sent, row["table_name"], json.loads(row["keys"]))
            if told != (change.event_name, change.number, change.table, change.keys):
                self._wrong(f"bronze: {path} tells {told} of {change}")
            image = None if row["event_name"] == "REMOVE" else json.loads(row["new_image"] or "null")
            if image != change.image:
                self._wrong(f"bronze: {path} holds another image of {change.event_id}: {image}")

    def _loaded(self, row: Row) -> Change | None:
        """Check a row that a backfill wrote: it must hold what the source had then, or up to now if it is of a scan."""
        if not row["event_id"].startswith("backfill-"):
            return None
        change = _of_bronze(row)
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=change.number[2])
        # An export's manifest has milliseconds.
        until = _NEVER if row["event_id"].startswith("backfill-scan-") else at + timedelta(milliseconds=1)
        found = self._source.possible(change.table, change.key, change.image, since=at, until=until)
        if not found:
            self._wrong(f"bronze: {change} is loaded, and the source never had that then")
        self._loaded_from[change.event_id] = found
        self.counts["loaded"] += 1
        self.changes[change.event_id] = change
        return change

    def _of_key(self, change: Change) -> list[Change]:
        return [one for one in self.changes.values() if (one.table, one.key) == (change.table, change.key)]

    def _amended(self, row: Row) -> Change | None:
        """Check a row that a repair wrote: it must hold what the source had at the amended change or later."""
        if not row["event_id"].startswith("repair-"):
            return None
        change = _of_bronze(row)
        of_key = self._of_key(change)
        before = [one for one in of_key if one.number[0] < change.number[0]]
        possible = [one for one in of_key if one.number[:2] >= change.number[:2]]
        if change.number[1] == 0 and before:  # no change of this stream is known for the key
            possible.append(max(before, key=lambda one: one.number))
        images = [one.image for one in possible] + [None] * (change.table in self._emptied)
        if change.image not in images and change.image != self._source.image(change.table, change.key):
            self._wrong(f"bronze: {change} amends, and the source never had that")
        self.counts["amendments"] += 1
        self.changes[change.event_id] = change
        return change

    def captured(self, event: str) -> bool:
        """Return whether a change is in Bronze."""
        return event in self._captured

    def acknowledged(self, events: Iterable[str]) -> None:
        """Note that capture acknowledged these events to the stream."""
        for event in events:
            if event not in self._captured and event not in self.dead_lettered:
                self._wrong(f"capture: {event} was acknowledged and is not in Bronze")

    def objects(self, today: date) -> set[str]:
        """Return the objects in Bronze of days up to today."""
        return {path for path, found in self._objects.items() if found.at.date() <= today}

    def looked(self, pending: Mapping[str, Mapping[date, Sequence[str]]], there: set[str]) -> None:
        """Check the sensor's pending objects: every object that was `there` when it began is pending or merged."""
        for contract in self.domain.tables:
            told = {name for names in pending.get(f"silver/{contract.lake_name}", {}).values() for name in names}
            for path in sorted(told - self._objects.keys()):
                self._wrong(f"sensor: {path} is told pending and is not there")
            own = {path for path, _ in self._of(contract)}
            for path in sorted((there & own) - told - self._consumed(contract)):
                self._wrong(f"sensor: {path} is neither merged into {contract.lake_name} nor pending")

    def committed(self, name: tuple[str, ...], metadata: TableMetadata, location: str) -> None:
        """Note a commit of the catalog. If it changes what readers see, judge that."""
        namespace, table = name
        if namespace == "silver":
            self._judge_silver(table, metadata, location)
        elif namespace == "gold":
            self._judge_gold(table, metadata, location)
        elif namespace == "deleted":
            self._judge_deleted(table, metadata, location)
        elif namespace == "quarantine":
            self._judge_quarantine(table, metadata, location)
        elif table == "ledger":
            self._judge_ledger(metadata, location)
        elif table == "gaps":
            self._judge_gaps(metadata, location)

    def converged(self, *, today: date) -> None:
        """Judge the end: everything is captured, every day is merged under the current contracts."""
        for change in self.changes.values():
            if not self._accounted(change.event_id):
                self._wrong(f"end: {change.event_id} is not in Bronze")
        for contract in self.domain.tables:
            self._judge_end(contract)
        for mart, (_, properties) in self._gold.items():
            for table, snapshot in json.loads(properties["medallion.input-snapshots"]).items():
                now = self._published(table)
                if snapshot != now and self._rows_at(table, snapshot) != self._rows_at(table, now):
                    self._wrong(f"end: gold.{mart} is of {table} at {snapshot}, which is at {now}")
            if properties["medallion.current-date"] not in {"", today.isoformat()}:
                self._wrong(f"end: gold.{mart} is as of {properties['medallion.current-date']}, today is {today}")

    def read_again(self, contract: Contract, events: Sequence[str]) -> None:
        """Compare the rows that another reader found in a table."""
        known = sorted(self._silver[contract.lake_name].events.values())
        if sorted(events) != known:
            self._wrong(f"end: silver.{contract.lake_name}: two readers see {known} and {sorted(events)}")

    def final_days(self, contract: Contract) -> list[date]:
        """Return the capture days of a table's objects."""
        return sorted({found.at.date() for _, found in self._of(contract)})

    def days_to_release(self, contract: Contract) -> list[date]:
        """Return the capture days of open quarantine rows that the current contract takes."""
        return sorted(
            {
                _time(row["object"]).date()
                for event, row in self._quarantine[contract.lake_name].items()
                if row["status"] == "open" and self._verdict(contract, self.changes[event]).row is not None
            }
        )

    def _judge_silver(self, table: str, metadata: TableMetadata, location: str) -> None:
        known = self._silver[table]
        contract = self.domain.by_name[table]
        properties = {name: text for name, text in metadata.properties.items() if name.startswith("medallion.")}
        main = metadata.current_snapshot_id
        if (main, properties) == (known.snapshot, known.properties):
            return
        self._lineage(f"silver.{table}", metadata, known.snapshot)
        if main != known.snapshot:
            self.counts["publishes"] += 1
            self._claim(contract, metadata, known)
        known.snapshot, known.properties = main, properties
        if main is None:
            return
        if main not in known.states:
            known.states[main] = self._check_rows(contract, known, self._read(location))
            known.numbers_at[main] = dict(known.numbers)
        self._check_consumed(contract, known)
        self._check_enriched(contract, known, known.states[main])

    def _lineage(self, name: str, metadata: TableMetadata, before: int | None) -> None:
        """Check that what was published is an ancestor of what is published: no commit is undone."""
        parents = {snapshot.snapshot_id: snapshot.parent_snapshot_id for snapshot in metadata.snapshots}
        at = metadata.current_snapshot_id
        while at is not None and at != before:
            at = parents.get(at)
        if at != before:
            self._wrong(f"{name}: the published snapshot {before} is no ancestor of the new one")

    def _claim(self, contract: Contract, metadata: TableMetadata, known: _Silver) -> None:
        """Read the objects that new snapshots of main list, and judge each batch's share of bad rows."""
        snapshots = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
        at = metadata.current_snapshot_id
        while at is not None and at not in known.named and at in snapshots:
            known.named.add(at)
            summary = snapshots[at].summary
            told = json.loads(summary.additional_properties.get("medallion.objects", "[]")) if summary else []
            events: set[str] = set()
            for path in told:
                if path not in self._objects:
                    self._wrong(f"silver.{contract.lake_name}: names {path}, which is not in Bronze")
                    continue
                known.claimed.add(path)
                events.update(self._events(contract, path))
            counted = bad = 0
            for event in events:
                broken = not self._dropped(contract, event) and self._verdict(contract, self.changes[event]).broken
                if not broken or self._is_first_delivery(contract, known, event, told):
                    counted += 1
                    bad += bool(broken)
                if broken and event not in self._quarantine[contract.lake_name]:
                    self._wrong(f"silver.{contract.lake_name}: {event} of {told} is not in quarantine")
                if not broken and not self._dropped(contract, event):
                    known.accepted.setdefault(event, set()).add(len(self._editions) - 1)
            if bad > contract.rules.quarantine_share.max * max(counted, _SMALLEST_BATCH):
                self._wrong(f"silver.{contract.lake_name}: published a batch with {bad} bad changes of {counted}")
            at = snapshots[at].parent_snapshot_id

    def _is_first_delivery(self, contract: Contract, known: _Silver, event: str, batch: Sequence[str]) -> bool:
        """Return whether a bad change came with this batch: no object outside it set it aside, Silver has none later.

        The pipeline counts more when it merges a whole day again; a batch that passes there passes here.
        """
        change, row = self.changes[event], self._quarantine[contract.lake_name].get(event)
        aside_before = row is not None and row["object"] not in batch
        return not aside_before and known.newest(change.key) < change.number

    def _check_rows(self, contract: Contract, known: _Silver, rows: list[Row]) -> list[Row]:
        """Check that each key stands once, at its latest accepted change, and never goes back. Return the live rows."""
        name = f"silver.{contract.lake_name}"
        newest: dict[str, Change] = {}
        for event in known.accepted:
            one = self.changes[event]
            if one.key not in newest or newest[one.key].number < one.number:
                newest[one.key] = one
        found: dict[str, Row] = {}
        for row in rows:
            change = self.changes.get(row["_event_id"])
            if change is not None and self._replayable(contract, change):
                known.accepted.setdefault(change.event_id, set()).add(len(self._editions) - 1)
                newest[change.key] = max(newest.get(change.key, change), change, key=lambda one: one.number)
            if change is None or change.event_id not in known.accepted:
                self._wrong(f"{name}: holds {row}, which is of no change that was merged")
                continue
            if change.key in found:
                self._wrong(f"{name}: {change.key} stands twice")
            found[change.key] = row
            if newest[change.key] is not change:
                self._wrong(f"{name}: {change.key} is at {change.number}, merged was {newest[change.key].number}")
            if change.number < known.numbers.get(change.key, NONE_YET):
                self._wrong(f"{name}: {change.key} was at {known.numbers[change.key]} and is at {change.number}")
            self._check_not_older(name, known, change)
            known.numbers[change.key], known.events[change.key] = change.number, change.event_id
            self._check_row(contract, known, change, row)
        for key in newest.keys() - found.keys():
            self._check_absent(contract, known, newest[key])
        return rows

    def _check_not_older(self, name: str, known: _Silver, change: Change) -> None:
        """Check that a key does not show the source as it was before what it showed; numbers alone cannot tell that.

        The row of a backfill has a lower number than every change of the stream, also than those before it.
        """
        place = self._source.place(change.event_id)
        possible = [place] if place is not None else self._loaded_from.get(change.event_id)
        if possible is None:
            return  # a repair's
        shown = known.shown.get(change.key, BEFORE)
        later = [one for one in possible if one >= shown]
        if not later and possible and not self._is_late(change):
            self._wrong(f"{name}: {change.key} showed its state {shown} at the source, shows {possible} with {change}")
        known.shown[change.key] = min(later) if later else max(possible, default=BEFORE)

    def _is_late(self, change: Change) -> bool:
        """Return whether a change came to Bronze later than a backfill may wait for it."""
        if self.capture_delay is None or change.event_id not in self._made:
            return False
        return min(self._captured[change.event_id]) - self._made[change.event_id] > self.capture_delay

    def _check_absent(self, contract: Contract, known: _Silver, newest: Change) -> None:
        """Check that a key that is not in the table was deleted; `newest` is the newest change that was merged.

        Its deletion may have come from quarantine. Or the commit that removes the row never came, because its writer
        died after it had recorded the deletion: then no older change may come back.
        """
        replayed = [
            one
            for event in self._quarantine[contract.lake_name]
            if (one := self.changes[event]).key == newest.key
            and self._gone(contract, one)
            and self._replayable(contract, one)
        ]
        newest = max([newest, *replayed], key=lambda one: one.number)
        known.accepted.setdefault(newest.event_id, set()).add(len(self._editions) - 1)
        recorded = known.deleted.get(newest.key, NONE_YET)
        if not self._gone(contract, newest) and recorded <= newest.number:
            self._wrong(f"silver.{contract.lake_name}: {newest.key} is missing, merged was {newest.number}")
        at = max(recorded, newest.number)
        if at < known.numbers.get(newest.key, NONE_YET):
            self._wrong(
                f"silver.{contract.lake_name}: {newest.key} was at {known.numbers[newest.key]}, is gone at {at}"
            )
        if self._gone(contract, newest) and recorded < newest.number:
            self._wrong(f"silver.{contract.lake_name}: {newest.key} is deleted at {newest.number}, unrecorded")
        if at == newest.number:
            self._check_not_older(f"silver.{contract.lake_name}", known, newest)
        known.numbers[newest.key] = at
        known.events.pop(newest.key, None)

    def _judge_deleted(self, table: str, metadata: TableMetadata, location: str) -> None:
        """Check that each row is a deletion, each key stands once, and only a key that was written again leaves."""
        known, contract = self._silver[table], self.domain.by_name[table]
        if metadata.current_snapshot_id is None or metadata.current_snapshot_id == known.deleted_at:
            return
        name = f"deleted.{table}"
        self._lineage(name, metadata, known.deleted_at)
        known.deleted_at, before, known.deleted = metadata.current_snapshot_id, known.deleted, {}
        for row in self._read(location):
            change = self.changes.get(row["_event_id"])
            if change is None or not self._gone(contract, change):
                self._wrong(f"{name}: holds {row}, which is of no deletion")
                continue
            wanted = {one: (self._verdict(contract, change).row or {}).get(one) for one in contract.key_names} | meta(
                change
            )
            seen = {one: row[one] for one in wanted}
            if (
                seen != wanted
                or row["_deleted_by"] != self._verdict(contract, change).by
                or change.key in known.deleted
            ):
                self._wrong(
                    f"{name}: {change.event_id}: (published, expected): {row}, {self._verdict(contract, change)}"
                )
            known.deleted[change.key] = change.number
        for key, at in before.items():
            if known.deleted.get(key, NONE_YET) < at and known.numbers.get(key, NONE_YET) <= at:
                self._wrong(f"{name}: {key} was deleted at {at} and is forgotten")

    def _replayable(self, contract: Contract, change: Change) -> bool:
        """Return whether a change may have come from quarantine: it is there and valid by now."""
        held = self._quarantine[contract.lake_name].get(change.event_id)
        return held is not None and held["status"] != "dropped" and self._verdict(contract, change).row is not None

    def _dropped(self, contract: Contract, event: str) -> bool:
        return self._quarantine[contract.lake_name].get(event, {}).get("status") == "dropped"

    def _check_row(self, contract: Contract, known: _Silver, change: Change, row: Row) -> None:
        shown = {name: value for name, value in row.items() if name not in contract.enriched_names}
        if shown.pop("_captured_at") not in self._captured[change.event_id]:
            self._wrong(f"silver.{contract.lake_name}: {change.event_id} was never captured at {row['_captured_at']}")
        differing: dict[str, tuple[Any, Any]] = {}
        editions = set(known.accepted[change.event_id])
        if self._verdict(contract, change).row is not None:
            editions.add(len(self._editions) - 1)  # what is declared since is filled from `_extra`
        for edition in sorted(editions, reverse=True):
            wanted = self._verdict(contract, change, edition).row or {}
            # A column that was added since is null in a row that was merged before.
            wanted = {name: wanted.get(name) for name in shown}
            seen = comparable(contract, shown)
            differing = {name: (seen[name], wanted[name]) for name in shown if not _same(seen[name], wanted[name])}
            if not differing:
                return
        self._wrong(f"silver.{contract.lake_name}: {change.event_id}: (published, expected): {differing}")

    def _check_consumed(self, contract: Contract, known: _Silver) -> None:
        """Check that all changes of objects behind the position are in the table, superseded or in quarantine."""
        for path in self._consumed(contract) - known.claimed:
            for event in self._events(contract, path):
                change = self.changes[event]
                there = self._quarantine[contract.lake_name].get(event)
                if there is not None and there["status"] in ("open", "dropped"):
                    continue  # open, and valid by now: until its day is merged again, or it is replayed
                if self._verdict(contract, change).broken:
                    if there is None:
                        self._wrong(f"silver.{contract.lake_name}: {path} is passed, {event} is not in quarantine")
                elif known.newest(change.key) < change.number:
                    self._wrong(f"silver.{contract.lake_name}: {path} is passed over with {event} unmerged")

    def _consumed(self, contract: Contract) -> set[str]:
        """Return the objects that a reader at the table's position skips, and those that its snapshots list."""
        known = self._silver[contract.lake_name]
        if (text := known.properties.get("medallion.position")) is None:
            return set(known.claimed)
        position = json.loads(text)
        seen = set(zlib.decompress(base64.b85decode(position["seen"])).decode().split("\n"))
        if position["newest"] is None:
            return set(known.claimed)
        horizon = _time(position["newest"]) - _LATE
        return known.claimed | {path for path, found in self._of(contract) if found.at < horizon or path in seen}

    def _check_enriched(self, contract: Contract, known: _Silver, live: list[Row]) -> None:
        for part in contract.enrich:
            at = known.properties.get(f"medallion.enriched-from.{part.table}")
            there = self._silver[part.table].states.get(int(at)) if at else []
            if there is None:
                self._wrong(f"silver.{contract.lake_name}: enriched from {part.table} at {at}, never published")
                continue
            (key,) = self.domain.by_name[part.table].key_names
            values = {row[key]: row for row in there}
            for row in live:
                source = values.get(row[part.on], {})
                for name, column in part.columns.items():
                    if row.get(name) != source.get(column):
                        self._wrong(
                            f"silver.{contract.lake_name}: {row['_event_id']} has {name} {row.get(name)!r}, "
                            f"{part.table} has {source.get(column)!r} at {at}"
                        )

    def _judge_quarantine(self, table: str, metadata: TableMetadata, location: str) -> None:
        if metadata.current_snapshot_id is None:
            return
        contract = self.domain.by_name[table]
        known = self._quarantine[table]
        rows = {row["event_id"]: row for row in self._read(location)}
        for event in known.keys() - rows.keys():
            self._wrong(f"quarantine.{table}: {event} was there and is not any more")
        for event, row in rows.items():
            change = self.changes.get(event)
            if change is None or not self._concerns(contract, change) or event not in self._captured:
                self._wrong(f"quarantine.{table}: holds {event}, which is no captured change of the table")
                continue
            ever = [self._verdict(contract, change, edition) for edition in range(len(self._editions))]
            if not any(verdict.broken for verdict in ever):
                self._wrong(f"quarantine.{table}: holds {event}, which breaks no contract")
            broken = frozenset[str]().union(*(verdict.broken for verdict in ever))
            if row["column_name"] is not None and row["column_name"] not in broken:
                self._wrong(f"quarantine.{table}: {event} is said to break {row['column_name']}, not {sorted(broken)}")
            if (
                number(row["sequence_number"], row["stream_arn"]) != change.number
                or json.loads(row["keys"]) != change.keys
            ):
                self._wrong(f"quarantine.{table}: {event} is not as it was captured")
            if change.image is not None and json.loads(row["new_image"]) != change.image:
                self._wrong(f"quarantine.{table}: {event} has lost its image")
            self._check_status(contract, change, row["status"])
        self._quarantine[table] = rows

    def _check_status(self, contract: Contract, change: Change, status: str) -> None:
        at = self._silver[contract.lake_name].newest(change.key)
        right = {
            "open": True,
            "resolved": at >= change.number and self._verdict(contract, change).row is not None,
            "superseded": at > change.number,
            "dropped": self._may_be_dropped(contract.lake_name, change.event_id),
        }
        if not right.get(status, False):
            self._wrong(f"quarantine.{contract.lake_name}: {change.event_id} is {status}, Silver is at {at}")

    def _may_be_dropped(self, table: str, event: str) -> bool:
        before = self._quarantine[table].get(event, {})
        held_for = (table, before.get("column_name")) if before.get("status") == "open" else None
        return before.get("status") == "dropped" or (held_for is not None and held_for == self._dropping)

    def _judge_ledger(self, metadata: TableMetadata, location: str) -> None:
        """Check every row: its object is in Bronze, unchanged, in the snapshot that it names, with a true claim."""
        if metadata.current_snapshot_id is not None and metadata.current_snapshot_id != self._ledger_at:
            self._lineage("ops.ledger", metadata, self._ledger_at)
            self._ledger_at = metadata.current_snapshot_id
            rows = {(row["table_name"], row["object"]): row for row in self._read(location)}
            for name, path in self._ledger.keys() - rows.keys():
                self._wrong(f"ops.ledger: {path} of {name} was recorded and is not any more")
            for (name, path), row in rows.items():
                if row != self._ledger.get((name, path)):
                    self._check_record(path, row)
            self._ledger = rows
            self.counts["looks"] += 1
        for contract in self.domain.tables:
            text = metadata.properties.get(f"medallion.ledger-offset.{contract.lake_name}")
            complete_to = json.loads(text)["complete_to"] if text else None
            if complete_to is not None:
                self._check_complete(contract, datetime.fromisoformat(complete_to))

    def _check_record(self, path: str, row: Row) -> None:
        found = self._objects.get(path)
        if found is None or row["state"] != "present":
            self._wrong(f"ops.ledger: {path} is recorded as {row['state']}; in Bronze: {found is not None}")
            return
        changes = [self.changes[event] for event in found.events]
        numbers = [change.number[1] for change in changes]
        told = (row["rows"], int(row["first_sequence"].partition("+")[0]), int(row["last_sequence"].partition("+")[0]))
        if told != (len(numbers), min(numbers), max(numbers)):
            self._wrong(f"ops.ledger: {path} is recorded with rows and range {told}")
        known = self._silver[row["table_name"]]
        contract = self.domain.by_name[row["table_name"]]
        at = known.numbers_at.get(row["snapshot_id"])
        if row["snapshot_id"] is not None and at is None:
            self._wrong(f"ops.ledger: {path} is recorded in {row['snapshot_id']}, which was never published")
        for change in (one for one in changes if self._concerns(contract, one)):
            deleted = known.deleted.get(change.key, NONE_YET)
            contained = at is not None and max(at.get(change.key, NONE_YET), deleted) >= change.number
            if at is not None and not contained and change.event_id not in self._quarantine[contract.lake_name]:
                self._wrong(f"ops.ledger: {path} is recorded in {row['snapshot_id']}, which lacks {change.event_id}")
        if row["up_to"] is not None:
            after = int(row["after"]) if row["after"] else -1
            for event, sent in self._shards.get(row["shard_id"], ()):
                if after < sent <= int(row["up_to"]) and not self._accounted(event):
                    self._wrong(f"ops.ledger: {path} claims {event}, which is not in Bronze")

    def told(self, complete_to: Mapping[str, datetime | None]) -> None:
        """Check what an inspection says of each table; it may be minutes ahead of what is written."""
        for name, at in complete_to.items():
            if at is not None:
                self._check_complete(self.domain.by_name[name], at)

    def _check_complete(self, contract: Contract, complete_to: datetime) -> None:
        """Check that every change before that time is merged, in quarantine or dead-lettered."""
        self._complete[contract.lake_name] = complete_to
        for change in self.changes.values():
            if not self._concerns(contract, change) or (change.created_s or 0) >= complete_to.timestamp():
                continue
            merged = self._silver[contract.lake_name].newest(change.key) >= change.number
            aside = self._quarantine[contract.lake_name].keys() | self.dead_lettered | self.unseen
            aside |= self._brought if self._has_gap(contract) else self.lost
            if not merged and change.event_id not in aside:
                self._wrong(f"ops.ledger: {contract.lake_name} is told complete to {complete_to}, without {change}")

    def _accounted(self, event: str) -> bool:
        return event in self._captured or event in self.dead_lettered or event in self.lost

    def _judge_gaps(self, metadata: TableMetadata, location: str) -> None:
        """Check that a gap is reported only where something is missing."""
        if metadata.current_snapshot_id is None:
            return
        for row in self._read(location):
            table = self.domain.by_name[row["table_name"]].table
            dead_lettered = any(self.changes[event].table == table for event in self.ever_dead_lettered)
            right = {
                "dead_lettered": dead_lettered,
                "stream_gap": table in self.interrupted,
                "stream_replaced": table in self._recreated,
            }
            if not right.get(row["kind"], False):
                self._wrong(f"ops.gaps: {row['gap']} is told: {row['reason']}")
            lossy = row["kind"] in {"stream_gap", "stream_replaced"}
            self._open_gaps[row["gap"]] = lossy and row["closed_at"] is None
        for contract in self.domain.tables:
            if not self._has_gap(contract):
                self._brought |= {event for event in self.lost if self.changes[event].table == contract.table}

    def _has_gap(self, contract: Contract) -> bool:
        """Return whether the table is told to need a backfill."""
        return any(still and gap.startswith(f"{contract.lake_name}/") for gap, still in self._open_gaps.items())

    def recorded(self, *, polled: bool) -> None:
        """Check the ledger at rest: it knows every object and, with a poller, up to when the table is complete."""
        for contract in self.domain.tables:
            for path in sorted(
                path for path, _ in self._of(contract) if (contract.lake_name, path) not in self._ledger
            ):
                self._wrong(f"end: ops.ledger lacks {path} of {contract.lake_name}")
        for gap in sorted(gap for gap, still in self._open_gaps.items() if still):
            self._wrong(f"end: {gap} is told, and was repaired")
        for event in sorted(self.lost - self.unseen) if polled else ():
            if self.changes[event].table not in self.interrupted:
                self._wrong(f"end: {event} was lost, and nobody was told")
        for name in self.told_too_little() if polled else ():
            self._wrong(f"end: {name} is told complete to {self._complete.get(name)}, all of it is there")

    def told_too_little(self) -> list[str]:
        """Return the tables that are not complete up to their newest change, though none was dead-lettered."""
        found = []
        for contract in self.domain.tables if not self.ever_dead_lettered else ():
            times = [one.created_s for one in self.changes.values() if one.table == contract.table and one.created_s]
            told = self._complete.get(contract.lake_name)
            if times and (told is None or told.timestamp() < max(times)):
                found.append(contract.lake_name)
        return found

    def _judge_gold(self, mart: str, metadata: TableMetadata, location: str) -> None:
        basis: dict[str, str] = {
            name: metadata.properties[name]
            for name in ("medallion.input-snapshots", "medallion.current-date")
            if name in metadata.properties
        }
        main = metadata.current_snapshot_id
        known, before = self._gold.get(mart, (None, {}))
        if (main, basis) == (known, before):
            return
        self._gold[mart] = main, basis
        if main is not None:
            self._lineage(f"gold.{mart}", metadata, known)
            self.counts["refreshes"] += 1
        rows = self._read(location) if main is not None else []
        for row in rows:
            del row["computed_at"]
        if main is not None:
            self._gold_states[mart][main] = _without_snapshots(rows)
        silver = basis["medallion.input-snapshots"]
        self._compare_mart(mart, rows, json.loads(silver), basis["medallion.current-date"])
        # A day or key that no news touched is as it was computed: whole, and from what its rows say.
        unit = _UNITS.get(mart, "day")
        groups: dict[tuple[Any, str], list[Row]] = defaultdict(list)
        for row in rows:
            if unit in row:
                groups[row[unit], row["silver_snapshots"]].append(row)
        if len({value for value, _ in groups}) != len(groups):
            self._wrong(f"gold.{mart}: a {unit} is computed from several states of Silver")
        for (value, told), group in groups.items():
            if told != silver:
                self._compare_mart(mart, group, json.loads(told), "", only=(unit, value))

    def _compare_mart(
        self,
        mart: str,
        rows: Sequence[Row],
        told: Mapping[str, int | None],
        as_of: str,
        only: tuple[str, Any] | None = None,
    ) -> None:
        states: dict[str, list[Row]] = {}
        for table, snapshot in told.items():
            state = self._states(table).get(snapshot) if snapshot is not None else []
            if state is None:
                self._wrong(f"gold.{mart}: computed from {table} at {snapshot}, which was never published")
                return
            states[table] = state
        wanted = MARTS[mart](states, date.fromisoformat(as_of) if as_of else date.min)
        if only is not None:
            wanted = [row for row in wanted if row[only[0]] == only[1]]
        seen = _without_snapshots(rows)
        missing = [row for row in wanted if row not in seen]
        surplus = [row for row in seen if row not in wanted]
        if missing or surplus or len(seen) != len(wanted):
            self._wrong(f"gold.{mart}: differs from its recompute: missing {missing}, surplus {surplus}, at {told}")

    def _states(self, table: str) -> Mapping[int, list[Row]]:
        """Return the rows of each published snapshot of a Silver table, or of a mart (`gold.daily_sales`)."""
        gold, _, mart = table.rpartition(".")
        return self._gold_states[mart] if gold else self._silver[table].states

    def _published(self, table: str) -> int | None:
        gold, _, mart = table.rpartition(".")
        return self._gold.get(mart, (None, {}))[0] if gold else self._silver[table].snapshot

    def _rows_at(self, table: str, snapshot: int | None) -> list[str]:
        """Return the rows as text, in an order that does not depend on files."""
        return sorted(map(repr, self._states(table)[snapshot])) if snapshot is not None else []

    def _judge_end(self, contract: Contract) -> None:
        """Check that the table is the source's final state as far as it is valid, and quarantine has the rest."""
        known = self._silver[contract.lake_name]
        newest: dict[str, Change] = {}
        ever: set[str] = set()
        bad: set[str] = set()
        for change in self.changes.values():
            if not self._concerns(contract, change) or change.event_id not in self._captured:
                continue
            if any(self._verdict(contract, change, edition).broken for edition in range(len(self._editions))):
                ever.add(change.event_id)
            if self._verdict(contract, change).row is None or self._dropped(contract, change.event_id):
                bad.add(change.event_id)
                continue
            if change.key not in newest or newest[change.key].number < change.number:
                newest[change.key] = change
        for key in newest.keys() | known.numbers.keys() | known.deleted.keys():
            at, wanted = known.newest(key), newest[key].number if key in newest else NONE_YET
            if at != wanted:
                self._wrong(f"end: silver.{contract.lake_name}: {key} is at {at}, the source at {wanted}")
        self._check_deleted(contract, {key for key, change in newest.items() if self._gone(contract, change)})
        self._check_source(contract)
        there = self._quarantine[contract.lake_name]
        # What was bad once and was first read when its contract was mended never got there.
        if not bad <= there.keys() <= ever:
            self._wrong(
                f"end: quarantine.{contract.lake_name}: missing {sorted(bad - there.keys())}, "
                f"surplus {sorted(there.keys() - ever)}"
            )
        for event, row in there.items():
            change = self.changes[event]
            self._check_status(contract, change, row["status"])
            if self._verdict(contract, change).row is not None and row["status"] == "open":
                self._wrong(f"end: quarantine.{contract.lake_name}: {event} is valid now and still open")

    def _check_deleted(self, contract: Contract, gone: set[str]) -> None:
        """Check that the table of deleted keys has those keys; one that was written again may be left by a death."""
        known, name = self._silver[contract.lake_name], f"end: deleted.{contract.lake_name}"
        if not gone <= known.deleted.keys():
            self._wrong(f"{name} lacks {sorted(gone - known.deleted.keys())}")
        for key in known.deleted.keys() - gone:
            if known.numbers.get(key, NONE_YET) <= known.deleted[key]:
                self._wrong(f"{name} holds {key}, which is not deleted")

    def _check_source(self, contract: Contract) -> None:
        """Check that each key is as in the source, unless its newest captured change is in quarantine.

        A repair does not compare such a key either: what was lost of it after that stays lost until it is released.
        """
        known = self._silver[contract.lake_name]
        newest: dict[str, Change] = {}
        last: dict[str, Change] = {}
        for change in self.changes.values():
            if change.table == contract.table and change.created_s is not None:
                last[change.key] = change  # they stand in the order they were made in
            if self.captured(change.event_id) and self._concerns(contract, change):
                newest[change.key] = max(newest.get(change.key, change), change, key=lambda one: one.number)
        for key in self._source.keys(contract.table):
            image = self._source.image(contract.table, key)
            aside = self._quarantine[contract.lake_name].get(newest[key].event_id) if key in newest else None
            told = last.get(key, newest.get(key))
            if image is not None and (told is None or told.image != image):
                self._wrong(f"end: {key} of {contract.table}, which no stream told, is not in Bronze: {image}")
                continue
            if told is None or self._gone(contract, told):
                image = None
            broken = image is not None and told is not None and self._verdict(contract, told).row is None
            if broken or (aside is not None and aside["status"] in {"open", "dropped"}):
                continue
            # A row that is kept after its item expired has a change without an image.
            published = self.changes[known.events[key]].image if key in known.events else None
            if published != image:
                self._wrong(f"end: silver.{contract.lake_name}: {key} is {published}, at the source {image}")

    def _gone(self, contract: Contract, change: Change) -> bool:
        """Return whether Silver should have no row after a change."""
        return self._verdict(contract, change).by is not None

    def _concerns(self, contract: Contract, change: Change) -> bool:
        """Return whether a change is one of a table of Silver, not one of another entity of its DynamoDB table."""
        return change.table == contract.table and concerns(contract, change)

    def _events(self, contract: Contract, path: str) -> list[str]:
        """Return the events of an object that concern a table of Silver."""
        return [event for event in self._objects[path].events if self._concerns(contract, self.changes[event])]

    def _verdict(self, contract: Contract, change: Change, edition: int = -1) -> Verdict:
        known = edition % len(self._editions), contract.lake_name, change.event_id
        if known not in self._verdicts:
            self._verdicts[known] = judge(self._editions[edition].by_name[contract.lake_name], change)
        return self._verdicts[known]

    def _of(self, contract: Contract) -> list[tuple[str, _Object]]:
        return [(path, found) for path, found in self._objects.items() if path.startswith(f"{contract.table}/")]

    def _read(self, location: str) -> list[Row]:
        cursor = self._connection.cursor()
        try:
            rows: list[Row] = cursor.execute(f"FROM iceberg_scan('{location}')").to_arrow_table().to_pylist()
            return rows
        finally:
            cursor.close()

    def _wrong(self, what: str) -> None:
        self.violations.append(what)


def _without_snapshots(rows: Sequence[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "silver_snapshots"} for row in rows]


def _time(path: str) -> datetime:
    match = _STAMP.fullmatch(path)
    if match is None:
        raise ValueError(f"{path!r} has no time in its name")
    return datetime.strptime(match[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def _same(seen: Any, wanted: Any) -> bool:
    """Return whether two values are equal and of one kind: a float that equals a Decimal is no Decimal."""
    if isinstance(wanted, Decimal) != isinstance(seen, Decimal):
        return False
    return bool(seen == wanted or normal(seen) == normal(wanted))


def _of_bronze(row: Row) -> Change:
    """Return what a Bronze row says that no stream sent."""
    return Change(
        table=row["table_name"],
        key=key_text(json.loads(row["keys"])),
        number=number(row["sequence_number"], row["stream_arn"]),
        event_id=row["event_id"],
        event_name=row["event_name"],
        keys=json.loads(row["keys"]),
        image=None if row["event_name"] == "REMOVE" else json.loads(row["new_image"]),
        before=None,
        created_s=None,
        by="repair" if row["event_name"] == "REMOVE" else None,
    )
