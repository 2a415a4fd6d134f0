"""What the objects of one shard coverage, whatever happens while they are written: nothing is missing unseen."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.capture.coverage import ShardCoverage, read_coverage
from medallion_assets.capture.dead_letter import DeadLetter
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.clock import MonotonicClock
from medallion_assets.capture.poller.delivery import Record, ShardDelivery
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.read_shard import read_shard
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import LakeUnavailable
from medallion_assets_tests.capture.chain import covered, has_hole
from medallion_assets_tests.capture.events import ARN, as_boto3, change, poison

STREAM = ARN.format("Orders")
FAULTS = ["fails before", "fails after", "raises before", "raises after", "dies before", "dies after"]


class Died(BaseException):
    """The process is gone."""


@dataclass
class World:
    """One shard, a Bronze and a queue in memory, and a checkpoint; all but the process outlive a crash."""

    records: list[Record]
    raising: set[str]
    faults: list[str | None]
    batch_size: int
    now: datetime = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    objects: dict[str, bytes] = field(default_factory=dict)
    set_aside: set[str] = field(default_factory=set)
    lives: int = 0

    def __post_init__(self) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        checkpoint = Checkpoint(self.database)
        checkpoint.begin_capture("Orders", STREAM, ["shard"], now=self.now)

    def live(self, *, until: int) -> None:
        """Capture the first `until` records, being born again after each death."""
        checkpoint = Checkpoint(self.database)
        while (mark := checkpoint.shards(STREAM)["shard"]).sequence_number != number(self.records[until - 1]):
            self.lives += 1
            pace = PollerSettings(batch_size=self.batch_size, max_retries=1)
            clock = lambda: self.now  # noqa: E731
            reader = ShardReader(Pages(self.records[:until]), STREAM, Shard("shard"), mark, settings=pace, clock=clock)  # type: ignore[arg-type]
            mapping = ShardDelivery(
                table="Orders",
                stream_arn=STREAM,
                shard_id="shard",
                write=self.write,
                on_dead_letter=self.send,
                checkpoint=Fragile(checkpoint, self),  # type: ignore[arg-type]
                settings=pace,
                clock=clock,
                name_clock=MonotonicClock(clock, newest=None),
            )
            progress = ShardProgress(empty_answers=20)
            try:
                with closing(
                    read_shard(reader, mapping, settings=pace, clock=clock, on_answer=lambda: None, progress=progress)
                ) as steps:
                    for seconds in steps:
                        self.now += timedelta(seconds=seconds, microseconds=1)
                        if checkpoint.shards(STREAM)["shard"].sequence_number == number(self.records[until - 1]):
                            break
            except Died:
                continue

    def write(self, records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        if self.raising & {number(record) for record in records}:
            raise ValueError("a record that capture cannot stand")
        return write_bronze(records, store=self, captured_at=captured_at, coverage=coverage)  # type: ignore[arg-type]

    def put(self, path: str, data: bytes) -> None:
        self.meet("before")
        self.objects[path] = data
        self.meet("after")

    def send(self, failed: DeadLetter) -> None:
        self.meet("before", only="dies")
        self.set_aside.add(failed.record["dynamodb"]["SequenceNumber"])
        self.meet("after", only="dies")

    def meet(self, moment: str, *, only: str = "") -> None:
        """Let the next fault happen if it is one of this moment."""
        if self.faults and (fault := self.faults[0]) and fault.endswith(moment) and fault.startswith(only):
            self.faults.pop(0)
            raise {"fails": LakeUnavailable, "raises": RuntimeError, "dies": Died}[fault.split()[0]](fault)
        if self.faults and self.faults[0] is None:
            self.faults.pop(0)

    @property
    def coverages(self) -> dict[str, ShardCoverage]:
        found = {path: read_coverage(data) for path, data in self.objects.items()}
        return {path: coverage for path, coverage in found.items() if coverage}


class Fragile:
    """A checkpoint at whose writes the process may die."""

    def __init__(self, checkpoint: Checkpoint, world: World) -> None:
        self._checkpoint = checkpoint
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def advance(self, *arguments: Any) -> None:
        self._world.meet("before", only="dies")
        self._checkpoint.advance(*arguments)
        self._world.meet("after", only="dies")


class Pages:
    """A shard's records as boto3's client gives them, up to three at a time."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def get_shard_iterator(self, *, SequenceNumber: str | None = None, **rest: Any) -> Any:
        after = -1 if SequenceNumber is None else int(SequenceNumber)
        return {"ShardIterator": str(sum(int(number(record)) <= after for record in self._records))}

    def get_records(self, *, ShardIterator: str, Limit: int) -> Any:
        start = int(ShardIterator)
        page = self._records[start : start + min(Limit, 3)]
        return {"Records": page, "NextShardIterator": str(start + len(page))}


def number(record: Record) -> str:
    text: str = record["dynamodb"]["SequenceNumber"]
    return text


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_coverage_is_exact_after_any_failure_and_every_missing_object_is_detected(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12), label="records")
    widths = data.draw(st.lists(st.integers(1, 90), min_size=size, max_size=size), label="steps between the numbers")
    numbers = [sum(widths[: i + 1]) for i in range(size)]
    bad = data.draw(st.sets(st.sampled_from(numbers)), label="reported")
    raising = data.draw(st.sets(st.sampled_from(numbers)), label="raising")
    end = numbers[-1] + 1000
    world = World(
        [as_boto3((poison if n in bad else change)(n)) for n in numbers] + [as_boto3(change(end))],
        {str(n) for n in raising},
        data.draw(st.lists(st.sampled_from([None, None, *FAULTS]), max_size=40), label="faults"),
        data.draw(st.integers(1, 6), label="batch size"),
    )
    world.live(until=size)
    world.faults.clear()
    world.live(until=size + 1)  # a last object, behind which nothing is to be missed
    world.database.close()

    everything = [*numbers, end]
    for path, coverage in world.coverages.items():
        rows = {int(text) for text in pq.read_table(io.BytesIO(world.objects[path]))["sequence_number"].to_pylist()}
        claimed = {n for n in everything if int(coverage.after or -1) < n <= int(coverage.up_to)}
        assert rows <= claimed
        assert {str(n) for n in claimed - rows} <= world.set_aside
        assert len(claimed) == len(rows) + coverage.dead_lettered, "each record is a row or a dead letter"
        assert max(rows) == int(coverage.up_to)
    assert len(world.coverages) == len(world.objects)
    assert not has_hole(list(world.coverages.values()))
    assert covered(list(world.coverages.values())) == end

    for path, coverage in world.coverages.items():
        others = [other for name, other in world.coverages.items() if name != path]
        if int(coverage.up_to) == end:
            continue
        ranges = [(int(other.after or -1), int(other.up_to)) for other in others]
        missed = [
            n
            for n in everything
            if int(coverage.after or -1) < n <= int(coverage.up_to)
            and not any(after < n <= up_to for after, up_to in ranges)
        ]
        assert has_hole(others) == bool(missed)
