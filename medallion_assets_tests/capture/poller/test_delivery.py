"""Delivery of a batch: retries, bisecting, partial failures, age, outages. Only clocks and faults are faked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.dead_letter import DeadLetter, list_dead_letters, read_dead_letter, write_dead_letter
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.clock import MonotonicClock
from medallion_assets.capture.poller.delivery import Record, ShardDelivery
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import CheckpointUnusable, LakeUnavailable
from medallion_assets_tests.capture.events import ARN, as_boto3, change, poison
from medallion_assets_tests.capture.poller.conftest import FAST, ids
from medallion_assets_tests.fixtures.disk import Disk

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
IMPATIENT = replace(FAST, backoff_seconds=0.0)


class Delivery:
    """The delivery of a shard to a real directory with a real checkpoint, and its dead letters."""

    def __init__(
        self,
        root: Path,
        checkpoint: Checkpoint,
        *,
        faults: Callable[[Sequence[Record]], None] = lambda records: None,
        settings: PollerSettings = IMPATIENT,
        clock: Callable[[], datetime] = lambda: NOW,
    ) -> None:
        self.store: BronzeStore = open_store(str(root))
        self.checkpoint = checkpoint
        self.attempts: list[list[str]] = []
        self.arn = ARN.format("Orders")
        checkpoint.begin_capture("Orders", self.arn, ["shard"], now=NOW)

        def attempt(records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
            self.attempts.append([record["dynamodb"]["SequenceNumber"] for record in records])
            faults(records)
            return write_bronze(records, store=self.store, captured_at=captured_at, coverage=coverage)

        self.mapping = ShardDelivery(
            table="Orders",
            stream_arn=self.arn,
            shard_id="shard",
            write=attempt,
            on_dead_letter=partial(write_dead_letter, self.store),
            checkpoint=checkpoint,
            settings=settings,
            clock=clock,
            name_clock=MonotonicClock(clock, newest=None),
        )

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver to the end without waiting."""
        for _ in self.mapping.deliver(records):
            pass

    @property
    def mark(self) -> str | None:
        return self.checkpoint.shards(self.arn)["shard"].sequence_number

    @property
    def dead_lettered(self) -> list[DeadLetter]:
        return [read_dead_letter(self.store, path) for path in list_dead_letters(self.store).get("Orders", ())]

    @property
    def dead_letters(self) -> list[str]:
        return [letter.record["dynamodb"]["SequenceNumber"] for letter in self.dead_lettered]

    @property
    def written(self) -> list[str]:
        return sorted(ids(self.store, "Orders"))


def batch(*numbers: int, bad: Sequence[int] = ()) -> list[Record]:
    return [as_boto3((poison if number in bad else change)(number)) for number in numbers]


def test_a_good_batch_is_one_object_and_moves_the_mark_to_its_end(tmp_path: Path, checkpoint: Checkpoint) -> None:
    delivery = Delivery(tmp_path, checkpoint)
    delivery.deliver(batch(1, 2, 3))
    assert delivery.written == ["o-1", "o-2", "o-3"]
    assert len(list(delivery.store.list("Orders"))) == 1
    assert delivery.mark == "3"
    table = checkpoint.table("Orders")
    assert table is not None and table.captured_at == NOW


def test_a_reported_record_is_retried_alone_then_dead_lettered_and_its_neighbours_are_written_once(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    delivery = Delivery(tmp_path, checkpoint)
    delivery.deliver(batch(1, 2, 3, 4, bad=[2]))
    assert delivery.written == ["o-1", "o-3", "o-4"]
    assert delivery.attempts == [["1", "2", "3", "4"], ["2"], ["2"], ["2"], ["3", "4"]]
    assert delivery.dead_letters == ["2"]
    assert "not valid UTF-8" in delivery.dead_lettered[0].reason
    assert delivery.mark == "4"


def test_a_record_that_makes_capture_raise_is_found_by_halving(tmp_path: Path, checkpoint: Checkpoint) -> None:
    def faults(records: Sequence[Record]) -> None:
        if any(record["dynamodb"]["SequenceNumber"] == "6" for record in records):
            raise RuntimeError("a bug that one record wakes")

    delivery = Delivery(tmp_path, checkpoint, faults=faults)
    delivery.deliver(batch(*range(1, 9)))
    assert delivery.dead_letters == ["6"]
    assert delivery.dead_lettered[0].reason == "RuntimeError: a bug that one record wakes"
    assert delivery.written == [f"o-{n}" for n in (1, 2, 3, 4, 5, 7, 8)]
    assert delivery.mark == "8"
    whole = [attempt for attempt in delivery.attempts if len(attempt) == 8]
    assert len(whole) == IMPATIENT.max_retries + 1


def test_a_fault_that_passes_costs_retries_and_no_record(tmp_path: Path, checkpoint: Checkpoint) -> None:
    left = [RuntimeError("once"), RuntimeError("twice"), RuntimeError("thrice")]

    def faults(records: Sequence[Record]) -> None:
        if left:
            raise left.pop()

    delivery = Delivery(tmp_path, checkpoint, faults=faults)
    delivery.deliver(batch(1, 2))
    assert (delivery.written, delivery.dead_letters) == (["o-1", "o-2"], [])


def test_while_bronze_does_not_answer_nothing_is_dead_lettered(tmp_path: Path, checkpoint: Checkpoint) -> None:
    left = [LakeUnavailable("S3 did not answer")] * 50

    def faults(records: Sequence[Record]) -> None:
        if left:
            raise left.pop()

    delivery = Delivery(tmp_path, checkpoint, faults=faults)
    delivery.deliver(batch(1, 2))
    assert (delivery.written, delivery.dead_letters, delivery.mark) == (["o-1", "o-2"], [], "2")


def test_a_full_disk_is_waited_for_and_delivery_goes_on_once_there_is_room(disk: Disk, checkpoint: Checkpoint) -> None:
    delivery = Delivery(disk.root / "bronze", checkpoint)
    large = [as_boto3(change(n, new={"OrderID": {"S": f"o-{n}"}, "Note": {"S": "x" * 9_000}})) for n in (1, 2)]
    with closing(delivery.mapping.deliver(large)) as waits:
        with disk.full():
            next(waits)
            next(waits)
            next(waits)
        assert (delivery.dead_letters, delivery.mark) == ([], None)
        for _ in waits:
            pass
    assert (delivery.written, delivery.dead_letters, delivery.mark) == (["o-1", "o-2"], [], "2")
    assert len(delivery.attempts) == 3


def test_a_checkpoint_that_cannot_be_used_ends_the_work_and_no_record_is_dead_lettered(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    delivery = Delivery(tmp_path, checkpoint)
    checkpoint._connection.execute("ALTER TABLE shards RENAME COLUMN covered_up_to TO renamed")
    with pytest.raises(CheckpointUnusable, match="no such column: covered_up_to"):
        delivery.deliver(batch(1, 2))
    assert (delivery.dead_letters, delivery.written) == ([], [])


def test_stopping_during_an_outage_leaves_the_checkpoint_where_it_was(tmp_path: Path, checkpoint: Checkpoint) -> None:
    def faults(records: Sequence[Record]) -> None:
        raise LakeUnavailable("S3 did not answer")

    delivery = Delivery(
        tmp_path, checkpoint, faults=faults, settings=replace(IMPATIENT, backoff_seconds=15, max_backoff_seconds=40)
    )
    with closing(delivery.mapping.deliver(batch(1, 2))) as waits:
        assert list(islice(waits, 5)) == [0, 15, 30, 40, 40]
    assert (delivery.written, delivery.dead_letters, delivery.mark) == ([], [], None)


def test_records_beyond_the_age_limit_are_dead_lettered_and_younger_ones_written(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    delivery = Delivery(tmp_path, checkpoint, settings=replace(IMPATIENT, max_record_age_seconds=60))
    ages = [(1, 3_600), (2, 61), (3, 59), (4, 0)]
    records = [as_boto3(change(n, created=(NOW - timedelta(seconds=age)).timestamp())) for n, age in ages]
    delivery.deliver(records)
    assert delivery.dead_letters == ["1", "2"]
    assert delivery.dead_lettered[0].reason == "older than 60 s"
    assert (delivery.written, delivery.mark) == (["o-3", "o-4"], "4")


def test_a_write_that_took_longer_than_readers_wait_is_made_again(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """A laptop that slept between naming an object and writing it: readers have moved on past that name."""
    times = [NOW]

    def faults(records: Sequence[Record]) -> None:
        if len(delivery.attempts) == 1:
            times[0] += timedelta(hours=1)

    delivery = Delivery(tmp_path, checkpoint, faults=faults, clock=lambda: times[0])
    delivery.deliver(batch(1))
    assert delivery.written == ["o-1", "o-1"]
    assert "20260203T050506" in list(delivery.store.list("Orders"))[-1]


def test_a_clock_that_is_set_back_does_not_name_objects_behind_the_readers() -> None:
    times = [NOW, NOW - timedelta(hours=3), NOW + timedelta(seconds=1)]
    clock = MonotonicClock(lambda: times.pop(0), newest=NOW - timedelta(days=1))
    assert [clock.now() for _ in range(3)] == [NOW, NOW, NOW + timedelta(seconds=1)]
    assert MonotonicClock(lambda: NOW, newest=NOW + timedelta(hours=1)).now() == NOW + timedelta(hours=1)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 12),
    reported=st.sets(st.integers(1, 12)),
    raising=st.sets(st.integers(1, 12)),
    outages=st.lists(st.booleans(), max_size=40),
)
def test_after_any_failure_each_record_is_written_or_dead_lettered_and_the_checkpoint_reaches_the_end(
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    reported: set[int],
    raising: set[int],
    outages: list[bool],
) -> None:
    left = list(outages)

    def faults(records: Sequence[Record]) -> None:
        if left and left.pop():
            raise LakeUnavailable("away")
        if any(int(record["dynamodb"]["SequenceNumber"]) in raising for record in records):
            raise ValueError("raises")

    root = tmp_path_factory.mktemp("delivery")
    with Checkpoint.open(root / "checkpoint.sqlite") as checkpoint:
        delivery = Delivery(root / "bronze", checkpoint, faults=faults, settings=replace(IMPATIENT, max_retries=1))
        numbers = range(1, size + 1)
        delivery.deliver(batch(*numbers, bad=sorted(reported)))
        bad = [number for number in numbers if number in reported | raising]
        assert [int(number) for number in delivery.dead_letters] == bad
        assert delivery.written == sorted(f"o-{number}" for number in numbers if number not in bad)
        assert delivery.mark == str(size)


def test_a_letter_has_the_record_as_lambda_sends_it(tmp_path: Path, checkpoint: Checkpoint) -> None:
    image = {
        "OrderID": {"S": "o-1"},
        "Blob": {"B": "AAH/"},
        "Set": {"BS": ["AA==", "AQ=="]},
        "Big": {"S": "x" * 400_000},
    }
    good = change(1, new=image, old=image)

    def faults(records: Sequence[Record]) -> None:
        raise RuntimeError("a bug, mended later")

    delivery = Delivery(tmp_path, checkpoint, faults=faults)
    delivery.deliver([as_boto3(good), as_boto3(poison(2))])
    first, second = delivery.dead_lettered
    assert first == DeadLetter(failed_at=NOW, reason="RuntimeError: a bug, mended later", record=good)
    assert second.record["dynamodb"]["NewImage"]["Note"] == {"S": "\ud800"}


def test_a_bronze_that_takes_no_letter_is_waited_for(disk: Disk, checkpoint: Checkpoint) -> None:
    delivery = Delivery(disk.root / "bronze", checkpoint, settings=replace(IMPATIENT, max_retries=0))
    image = {"OrderID": {"S": "o-1"}, "Note": {"S": "\ud800" + "x" * 9_000}}
    with closing(delivery.mapping.deliver([as_boto3(change(1, new=image))])) as waits:
        with disk.full():
            next(waits)
            next(waits)
            next(waits)
        assert (delivery.dead_letters, delivery.mark) == ([], None)
        for _ in waits:
            pass
    assert (delivery.dead_letters, delivery.mark) == (["1"], "1")
