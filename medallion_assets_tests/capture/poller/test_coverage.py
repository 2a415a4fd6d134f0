"""What the objects of one shard claim, whatever happens while they are written: nothing is missing unseen."""

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

from medallion_assets.capture.coverage import Claim, read_claim
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.failed import FailedRecord
from medallion_assets.capture.poller.mapping import Record, ShardMapping, TableClock
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard
from medallion_assets.capture.poller.worker import work
from medallion_assets.capture.write_bronze import process
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
        checkpoint.begin("Orders", STREAM, ["shard"], now=self.now)

    def live(self, *, until: int) -> None:
        """Capture the first `until` records, being born again after each death."""
        checkpoint = Checkpoint(self.database)
        while (mark := checkpoint.shards(STREAM)["shard"]).sequence_number != number(self.records[until - 1]):
            self.lives += 1
            pace = PollerSettings(batch_size=self.batch_size, max_retries=1)
            clock = lambda: self.now  # noqa: E731
            reader = ShardReader(Pages(self.records[:until]), STREAM, Shard("shard"), mark, settings=pace, clock=clock)  # type: ignore[arg-type]
            mapping = ShardMapping(
                table="Orders",
                stream_arn=STREAM,
                shard_id="shard",
                process=self.process,
                on_failure=self,
                checkpoint=Fragile(checkpoint, self),  # type: ignore[arg-type]
                settings=pace,
                clock=clock,
                names=TableClock(clock, newest=None),
            )
            progress = ShardProgress(quiet_answers=20)
            try:
                with closing(
                    work(reader, mapping, settings=pace, clock=clock, opened=lambda: None, progress=progress)
                ) as steps:
                    for seconds in steps:
                        self.now += timedelta(seconds=seconds, microseconds=1)
                        if checkpoint.shards(STREAM)["shard"].sequence_number == number(self.records[until - 1]):
                            break
            except Died:
                continue

    def process(self, records: Sequence[Record], at: datetime, claim: Claim) -> list[str]:
        if self.raising & {number(record) for record in records}:
            raise ValueError("a record that capture cannot stand")
        return process(records, store=self, captured_at=at, claim=claim)  # type: ignore[arg-type]

    def put(self, path: str, data: bytes) -> None:
        self.meet("before")
        self.objects[path] = data
        self.meet("after")

    def send(self, failed: FailedRecord) -> None:
        self.meet("before", only="dies")
        self.set_aside.add(failed.sequence_number)
        self.meet("after", only="dies")

    def meet(self, moment: str, *, only: str = "") -> None:
        """Let the next fault happen if it is one of this moment."""
        if self.faults and (fault := self.faults[0]) and fault.endswith(moment) and fault.startswith(only):
            self.faults.pop(0)
            raise {"fails": LakeUnavailable, "raises": RuntimeError, "dies": Died}[fault.split()[0]](fault)
        if self.faults and self.faults[0] is None:
            self.faults.pop(0)

    @property
    def claims(self) -> dict[str, Claim]:
        found = {path: read_claim(data) for path, data in self.objects.items()}
        return {path: claim for path, claim in found.items() if claim}


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
def test_whatever_happens_claims_are_exact_and_no_object_can_be_missing_unseen(data: st.DataObject) -> None:
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

    everything = [*numbers, end]
    for path, claim in world.claims.items():
        rows = {int(text) for text in pq.read_table(io.BytesIO(world.objects[path]))["sequence_number"].to_pylist()}
        claimed = {n for n in everything if int(claim.after or -1) < n <= int(claim.upto)}
        assert rows <= claimed
        assert {str(n) for n in claimed - rows} <= world.set_aside
        assert len(claimed) == len(rows) + claim.given_up, "each record is a row or was given up"
        assert max(rows) == int(claim.upto)
    assert len(world.claims) == len(world.objects)
    assert not has_hole(list(world.claims.values()))
    assert covered(list(world.claims.values())) == end

    for path, claim in world.claims.items():
        others = [other for name, other in world.claims.items() if name != path]
        if int(claim.upto) == end:
            continue
        ranges = [(int(other.after or -1), int(other.upto)) for other in others]
        missed = [
            n
            for n in everything
            if int(claim.after or -1) < n <= int(claim.upto) and not any(after < n <= upto for after, upto in ranges)
        ]
        assert has_hole(others) == bool(missed)
