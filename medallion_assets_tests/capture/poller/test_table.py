"""Tables polled for real: DynamoDB, its streams, S3 and SQS of the emulator; faults are injected, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.gap_marker import GapMarker, read_gap_markers
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.delivery import Record
from medallion_assets.capture.poller.poller import capture_table, poll
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import LakeUnavailable, SettingsError, StreamGap
from medallion_assets_tests.capture.poller.conftest import FAST, Faulty, Stack, Wait, bronze, ids


@contextmanager
def polling(*tables: TablePoller) -> Iterator[list[str]]:
    """Poll in the background; the list has the tables with gaps after the block."""
    halt, ready = threading.Event(), threading.Event()
    gaps: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        end: Future[list[str]] = pool.submit(poll, tables, halt=halt, ready=ready.set)
        try:
            while not ready.wait(0.05) and not end.done():
                pass
            yield gaps
        finally:
            halt.set()
            gaps += end.result()


def test_inserts_updates_and_deletes_reach_bronze_with_their_images(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    arn = stack.create("Orders")
    with polling(stack.poller("Orders", checkpoint)):
        stack.write("Orders", 1, Status={"S": "new"}, Blob={"B": b"\x00\xff"})
        stack.write("Orders", 1, Status={"S": "paid"})
        stack.dynamodb.delete_item(TableName="Orders", Key={"OrderID": {"S": "o-1"}})
        until(lambda: len(bronze(stack.store, "Orders")) == 3)
    insert, modify, remove = bronze(stack.store, "Orders")
    assert [row["event_name"] for row in (insert, modify, remove)] == ["INSERT", "MODIFY", "REMOVE"]
    assert insert["new_image"] == '{"OrderID":{"S":"o-1"},"Status":{"S":"new"},"Blob":{"B":"AP8="}}'
    assert insert["old_image"] is None
    assert modify["old_image"] == insert["new_image"]
    assert remove["new_image"] is None
    assert {row["stream_arn"] for row in (insert, modify, remove)} == {arn}
    assert int(insert["sequence_number"]) < int(modify["sequence_number"]) < int(remove["sequence_number"])
    assert insert["approximate_creation_time"] <= insert["captured_at"]


def test_a_window_gathers_many_changes_into_few_objects(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    with polling(stack.poller("Orders", checkpoint, settings=replace(FAST, window_seconds=1.5))):
        stack.write("Orders", *range(30))
        until(lambda: len(ids(stack.store, "Orders")) == 30)
    assert len(list(stack.store.list("Orders"))) <= 2


def test_a_full_batch_does_not_wait_for_its_window(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    stack.write("Orders", *range(25))
    with polling(stack.poller("Orders", checkpoint, settings=replace(FAST, window_seconds=3_600, batch_size=10))):
        until(lambda: len(ids(stack.store, "Orders")) == 20)


def test_a_restart_goes_on_behind_the_mark_and_writes_nothing_twice(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    stack.create("Orders")
    for start in (0, 10, 20):
        stack.write("Orders", *range(start, start + 5))
        with polling(stack.poller("Orders", checkpoint)):
            stack.write("Orders", *range(start + 5, start + 10))
            until(lambda count=start + 10: len(ids(stack.store, "Orders")) == count)  # type: ignore[misc]
    assert ids(stack.store, "Orders") == [f"o-{number}" for number in range(30)]


class Spoiling:
    """A real client that returns text of one item as invalid UTF-8, which no emulator takes in."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_records(self, **arguments: Any) -> Any:
        answer = self._client.get_records(**arguments)
        for record in answer["Records"]:
            if record["dynamodb"]["Keys"]["OrderID"]["S"] == self._key:
                record["dynamodb"]["NewImage"]["Note"] = {"S": "\ud800"}
        return answer


def test_a_poison_record_is_a_dead_letter_and_its_neighbours_are_in_bronze(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    stack.create("Orders")
    stack.write("Orders", 1, 2, 3)
    with polling(stack.poller("Orders", checkpoint, streams=Spoiling(stack.streams, "o-2"))):
        until(lambda: len(ids(stack.store, "Orders")) == 2)
    (letter,) = stack.failed()
    assert letter.record["dynamodb"]["NewImage"]["Note"] == {"S": "\ud800"}
    assert "not valid UTF-8" in letter.reason
    assert ids(stack.store, "Orders") == ["o-1", "o-3"]


def test_a_table_whose_writes_hang_delays_no_other(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    release = threading.Event()

    def hangs(records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        release.wait(30)
        return write_bronze(records, store=stack.store, captured_at=captured_at, coverage=coverage)

    stack.create("Orders")
    stack.create("Customers")
    slow, quick = stack.poller("Orders", checkpoint, write=hangs), stack.poller("Customers", checkpoint)
    with polling(slow, quick):
        stack.write("Orders", 1)
        for number in range(5):
            stack.write("Customers", number)
            until(lambda count=number + 1: len(ids(stack.store, "Customers")) == count)  # type: ignore[misc]
        assert ids(stack.store, "Orders") == []
        release.set()
        until(lambda: ids(stack.store, "Orders") == ["o-1"])


def test_a_table_whose_store_is_away_delays_no_other_and_catches_up(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    away = threading.Event()
    away.set()

    def fails(records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        if away.is_set():
            raise LakeUnavailable("S3 did not answer")
        return write_bronze(records, store=stack.store, captured_at=captured_at, coverage=coverage)

    stack.create("Orders")
    stack.create("Customers")
    with polling(stack.poller("Orders", checkpoint, write=fails), stack.poller("Customers", checkpoint)):
        stack.write("Orders", 1, 2)
        stack.write("Customers", 1)
        until(lambda: ids(stack.store, "Customers") == ["o-1"])
        away.clear()
        until(lambda: ids(stack.store, "Orders") == ["o-1", "o-2"])
    assert stack.failed() == []


def test_what_waits_for_bronze_when_the_poller_ends_is_delivered_by_the_next(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    """Also of a closed shard, which is not finished before its last batch is in Bronze."""
    tried = threading.Event()

    def fails(records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        tried.set()
        raise LakeUnavailable("S3 did not answer")

    arn = stack.create("Orders")
    stack.write("Orders", 1, 2)
    with polling(stack.poller("Orders", checkpoint, write=lambda records, captured_at, coverage: [])):
        until(lambda: any(mark.sequence_number for mark in checkpoint.shards(arn).values()))
    stack.write("Orders", 3)
    stack.switch_stream("Orders", on=False)
    with polling(stack.poller("Orders", checkpoint, write=fails)):
        assert tried.wait(20)
    with pytest.raises(StreamGap):
        capture_table(stack.poller("Orders", checkpoint), threading.Event())
    assert ids(stack.store, "Orders") == ["o-3"]


def test_a_refusal_of_the_stream_is_tried_again(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetRecords")
    streams = Faulty(stack.streams, get_records=[denied] * 2, describe_stream=[denied])
    stack.create("Orders")
    stack.write("Orders", 1)
    with polling(stack.poller("Orders", checkpoint, streams=streams)):
        until(lambda: ids(stack.store, "Orders") == ["o-1"])


def test_a_new_stream_is_a_gap_after_the_old_one_is_drained(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    arn = stack.create("Orders")
    with polling(stack.poller("Orders", checkpoint)):
        stack.write("Orders", 1)
        until(lambda: ids(stack.store, "Orders") == ["o-1"])
    stack.write("Orders", 2)
    stack.switch_stream("Orders", on=False)
    stack.write("Orders", 3)
    stack.switch_stream("Orders", on=True)
    stack.write("Orders", 4)
    orders = stack.poller("Orders", checkpoint)
    with pytest.raises(StreamGap, match=r"table Orders lost changes: .* backfill"):
        capture_table(orders, threading.Event())
    assert ids(stack.store, "Orders") == ["o-1", "o-2"]
    mark = checkpoint.table("Orders")
    assert mark is not None and mark.gap is not None and arn in mark.gap
    (told,) = read_gap_markers(stack.store, "Orders")
    assert told.reason == f"stream {arn} ended and {stack.stream('Orders')} is the table's stream now"
    with pytest.raises(StreamGap, match="table Orders lost changes"):
        capture_table(stack.poller("Orders", checkpoint), threading.Event())
    checkpoint.forget("Orders")
    with polling(stack.poller("Orders", checkpoint)):
        until(lambda: ids(stack.store, "Orders") == ["o-1", "o-2", "o-4"])


def test_a_stream_switched_off_while_polling_is_a_gap_and_other_tables_go_on(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    stack.create("Orders")
    stack.create("Customers")
    with polling(stack.poller("Orders", checkpoint), stack.poller("Customers", checkpoint)) as gaps:
        stack.switch_stream("Orders", on=False)
        until(lambda: (mark := checkpoint.table("Orders")) is not None and mark.gap)
        stack.write("Customers", 1)
        until(lambda: ids(stack.store, "Customers") == ["o-1"])
    assert gaps == ["Orders"]


def test_the_gap_marker_is_written_before_the_checkpoint_is_marked(stack: Stack, checkpoint: Checkpoint) -> None:
    """A poller that dies in between finds the gap again; with a marked checkpoint it would not write the marker."""
    stack.create("Orders")
    trimmed = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}, "GetShardIterator")
    faults = [LakeUnavailable("S3 did not answer"), SettingsError("S3 refused")]
    told: list[GapMarker] = []

    def tell(gap: GapMarker) -> None:
        mark = checkpoint.table("Orders")
        assert mark is not None and mark.gap is None
        told.append(gap)
        if faults:
            raise faults.pop()

    orders = stack.poller(
        "Orders", checkpoint, streams=Faulty(stack.streams, get_shard_iterator=[trimmed]), on_gap=tell
    )
    with pytest.raises(StreamGap, match="no longer exists"):
        capture_table(orders, threading.Event())
    assert len(told) == 3 and len(set(told)) == 1
    mark = checkpoint.table("Orders")
    assert mark is not None and mark.gap is not None


def test_a_trimmed_stream_is_a_gap(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    trimmed = ClientError({"Error": {"Code": "TrimmedDataAccessException", "Message": "gone"}}, "GetRecords")
    with polling(stack.poller("Orders", checkpoint)):
        stack.write("Orders", 1)
        until(lambda: ids(stack.store, "Orders") == ["o-1"])
    streams = Faulty(stack.streams, get_shard_iterator=[trimmed])
    with pytest.raises(StreamGap, match=r"Orders lost changes: records of shard .* were trimmed"):
        capture_table(stack.poller("Orders", checkpoint, streams=streams), threading.Event())


def test_the_error_of_a_table_without_a_stream_says_what_to_do(stack: Stack, checkpoint: Checkpoint) -> None:
    from medallion_assets.capture.poller.stream import find_stream, stream_missing

    stack.create("Orders")
    stack.switch_stream("Orders", on=False)
    assert find_stream(stack.dynamodb, "Orders") is None
    assert find_stream(stack.dynamodb, "Nothing") is None
    assert "Nothing" in str(stream_missing("Nothing")) and "NEW_AND_OLD_IMAGES" in str(stream_missing("Nothing"))
    stack.dynamodb.update_table(
        TableName="Orders", StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    )
    with pytest.raises(SettingsError, match="KEYS_ONLY"):
        find_stream(stack.dynamodb, "Orders")


def test_an_unexpected_error_ends_the_poller(stack: Stack, checkpoint: Checkpoint) -> None:
    def clock() -> datetime:
        raise ZeroDivisionError("a bug of ours")

    stack.create("Orders")
    stack.create("Customers")
    tables = [stack.poller("Orders", checkpoint), stack.poller("Customers", checkpoint, clock=clock)]
    with pytest.raises(ZeroDivisionError):
        poll(tables, halt=threading.Event(), ready=lambda: None)


class Split:
    """The emulator's one shard shown as a parent and its child: real records, a split it cannot make itself."""

    def __init__(self, client: Any, *, parent_records: int) -> None:
        self._client = client
        self._left = parent_records
        self.exceptions = client.exceptions
        self.log: list[str] = []

    def describe_stream(self, *, StreamArn: str) -> Any:
        answer = self._client.describe_stream(StreamArn=StreamArn)
        (shard,) = answer["StreamDescription"]["Shards"]
        child = {"ShardId": "child", "ParentShardId": "parent", "SequenceNumberRange": {}}
        answer["StreamDescription"]["Shards"] = [child, {**shard, "ShardId": "parent"}]
        self._real = shard["ShardId"]
        return answer

    def get_shard_iterator(self, *, ShardId: str, **rest: Any) -> Any:
        self.log.append(f"{ShardId} opened")
        if ShardId == "child":
            rest = {**rest, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._last}
        real = self._client.get_shard_iterator(ShardId=self._real, **rest)["ShardIterator"]
        return {"ShardIterator": f"{ShardId}|{real}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> Any:
        shard, real = ShardIterator.split("|")
        if shard == "child":
            answer = self._client.get_records(ShardIterator=real, Limit=Limit)
            return {**answer, "NextShardIterator": f"child|{answer['NextShardIterator']}"}
        answer = self._client.get_records(ShardIterator=real, Limit=min(Limit, self._left, 2))
        self._left -= len(answer["Records"])
        self._last = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
        if not self._left:
            self.log.append("parent closed")
            return {"Records": answer["Records"]}
        return {**answer, "NextShardIterator": f"parent|{answer['NextShardIterator']}"}


def test_a_parent_shard_is_delivered_to_its_end_before_its_child_is_opened(
    stack: Stack, checkpoint: Checkpoint, until: Wait
) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", *range(8))
    streams = Split(stack.streams, parent_records=5)

    def process_slowly(records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        threading.Event().wait(0.1)
        streams.log += [record["dynamodb"]["Keys"]["OrderID"]["S"] for record in records]
        return write_bronze(records, store=stack.store, captured_at=captured_at, coverage=coverage)

    with polling(stack.poller("Orders", checkpoint, streams=streams, write=process_slowly)):
        until(lambda: len(ids(stack.store, "Orders")) == 8)
    opened = streams.log.index("child opened")
    assert sorted(streams.log[:opened]) == ["o-0", "o-1", "o-2", "o-3", "o-4", "parent closed", "parent opened"]
    assert streams.log[opened + 1 :] == ["o-5", "o-6", "o-7"]
    marks = checkpoint.shards(arn)
    assert marks["parent"].finished and not marks["child"].finished


def test_time_is_asked_of_the_clock_it_was_given(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    stack.write("Orders", 1)
    ahead = datetime(2031, 2, 3, tzinfo=UTC) - datetime.now(UTC)
    with polling(stack.poller("Orders", checkpoint, clock=lambda: datetime.now(UTC) + ahead)):
        until(lambda: ids(stack.store, "Orders") == ["o-1"])
    assert next(stack.store.list("Orders")).startswith("Orders/year=2031/month=02/day=03/20310203T0000")
