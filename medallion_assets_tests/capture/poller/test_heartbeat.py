"""Heartbeats: a table is read up to a time that is never later than what is delivered, and as late as possible."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.capture.file_store import FileStore
from medallion_assets.capture.heartbeat import PollerHeartbeat, ShardHeartbeat, read_heartbeat, write_heartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.errors import CorruptObject, LakeUnavailable
from medallion_assets_tests.capture.poller.conftest import FAST, Stack, Wait

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def record(seconds: int) -> dict[str, Any]:
    return {"dynamodb": {"SequenceNumber": "1", "ApproximateCreationDateTime": at(seconds)}}


def test_a_shard_is_read_to_its_newest_delivered_record() -> None:
    progress = ShardProgress(empty_answers=3)
    progress.confirm_delivery()
    assert progress.read_up_to is None
    progress.add_answer([record(1), record(5)], asked_at=at(9))
    assert progress.read_up_to is None, "gathered, not delivered"
    progress.confirm_delivery()
    assert progress.read_up_to == at(5)


def test_no_more_records_counts_after_enough_empty_answers() -> None:
    progress = ShardProgress(empty_answers=3)
    for seconds in (10, 11):
        progress.add_answer([], asked_at=at(seconds))
        progress.confirm_delivery()
    assert progress.read_up_to is None
    progress.add_answer([], asked_at=at(12))
    progress.confirm_delivery()
    assert progress.read_up_to == at(10)
    progress.add_answer([], asked_at=at(13))
    progress.confirm_delivery()
    assert progress.read_up_to == at(11)
    progress.add_answer([record(12)], asked_at=at(14))
    progress.add_answer([], asked_at=at(15))
    progress.confirm_delivery()
    assert progress.read_up_to == at(12)


@given(st.lists(st.sampled_from(["record", "empty", "held back"]), max_size=40))
def test_it_is_never_further_than_what_was_answered(answers: list[str]) -> None:
    """A record waits behind up to two empty answers in a row."""
    progress = ShardProgress(empty_answers=3)
    waiting: int | None = None
    held = 0
    for second, answer in enumerate(answers):
        if answer == "record":
            waiting = second if waiting is None else waiting
        if waiting is not None and (answer != "held back" or held == 2):
            progress.add_answer([record(waiting)], asked_at=at(second))
            waiting, held = None, 0
        else:
            progress.add_answer([], asked_at=at(second))
            held = held + 1 if waiting is not None else 0
        progress.confirm_delivery()
        assert waiting is None or progress.read_up_to is None or progress.read_up_to <= at(waiting)


def test_a_heartbeat_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert read_heartbeat(store, "Orders", now=at(3)) is None
    shards = (
        ShardHeartbeat(shard_id="a", up_to=None, dead_lettered=0, finished=False),
        ShardHeartbeat(shard_id="b", up_to="123", dead_lettered=2, finished=True),
    )
    marker = PollerHeartbeat(
        table="Orders", stream_arn="arn", started_at=NOON, written_at=at(2.5), read_up_to=at(1), shards=shards
    )
    write_heartbeat(store, marker)
    assert read_heartbeat(store, "Orders", now=at(3)) == marker
    assert list(store.list("Orders")) == []
    store.put("_heartbeat/Orders.json", b"{}")
    with pytest.raises(CorruptObject, match="delete it"):
        read_heartbeat(store, "Orders", now=at(3))


def test_a_poller_whose_clock_is_ahead_is_not_believed_about_the_future(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    ahead = PollerHeartbeat(
        table="Orders", stream_arn="arn", started_at=NOON, written_at=at(3_600), read_up_to=at(3_599), shards=()
    )
    write_heartbeat(store, ahead)
    heard = read_heartbeat(store, "Orders", now=at(5))
    assert heard is not None and heard.read_up_to == at(5)


@contextmanager
def polling(poller: TablePoller) -> Iterator[None]:
    halt = threading.Event()
    thread = threading.Thread(target=poll, args=([poller],), kwargs={"halt": halt, "ready": lambda: None})
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()


def test_the_poller_writes_heartbeats(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    began = datetime.now(UTC)
    pace = {**{name: getattr(FAST, name) for name in FAST.__slots__}, "heartbeat_seconds": 0.05}
    with polling(stack.poller("Orders", checkpoint, settings=type(FAST)(**pace))):
        until(
            lambda: (
                (heartbeat := read_heartbeat(stack.store, "Orders", now=datetime.now(UTC)))
                and heartbeat.read_up_to
                and heartbeat.read_up_to >= began
            )
        )
        stack.write("Orders", 1, 2)
        wrote = datetime.now(UTC)
        until(
            lambda: (
                (heartbeat := read_heartbeat(stack.store, "Orders", now=datetime.now(UTC)))
                and heartbeat.read_up_to
                and heartbeat.read_up_to >= wrote
            )
        )
    heartbeat = read_heartbeat(stack.store, "Orders", now=datetime.now(UTC))
    assert heartbeat is not None
    assert heartbeat.started_at is not None and heartbeat.started_at >= began
    (shard,) = heartbeat.shards
    assert shard.up_to is not None and not shard.finished
    assert len(list(stack.store.list("Orders"))) >= 1


def test_a_heartbeat_that_cannot_be_written_stops_nothing(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    def refuse(_: PollerHeartbeat) -> None:
        raise LakeUnavailable("not now")

    stack.create("Orders")
    stack.write("Orders", 1)
    with polling(stack.poller("Orders", checkpoint, on_heartbeat=refuse)):
        until(lambda: list(stack.store.list("Orders")))
    assert read_heartbeat(stack.store, "Orders", now=datetime.now(UTC)) is None
