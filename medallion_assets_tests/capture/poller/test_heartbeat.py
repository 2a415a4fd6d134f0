"""How far a table is read, as its marker says it: never further than what is delivered, and no less than it could."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.capture.heartbeat import Polled, PolledShard, put_polled, read_polled
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.store import FileStore
from medallion_assets.errors import CorruptObject, LakeUnavailable
from medallion_assets_tests.capture.poller.conftest import FAST, Stack, Wait

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def record(seconds: int) -> dict[str, Any]:
    return {"dynamodb": {"SequenceNumber": "1", "ApproximateCreationDateTime": at(seconds)}}


def test_a_shard_is_read_to_its_newest_delivered_record() -> None:
    progress = ShardProgress(quiet_answers=3)
    progress.delivered()
    assert progress.read_to is None
    progress.answered([record(1), record(5)], asked_at=at(9))
    assert progress.read_to is None, "gathered, not delivered"
    progress.delivered()
    assert progress.read_to == at(5)


def test_nothing_there_is_believed_when_it_is_said_often_enough() -> None:
    progress = ShardProgress(quiet_answers=3)
    for seconds in (10, 11):
        progress.answered([], asked_at=at(seconds))
        progress.delivered()
    assert progress.read_to is None
    progress.answered([], asked_at=at(12))
    progress.delivered()
    assert progress.read_to == at(10)
    progress.answered([], asked_at=at(13))
    progress.delivered()
    assert progress.read_to == at(11)
    progress.answered([record(12)], asked_at=at(14))
    progress.answered([], asked_at=at(15))
    progress.delivered()
    assert progress.read_to == at(12)


@given(st.lists(st.sampled_from(["record", "empty", "held back"]), max_size=40))
def test_it_is_never_further_than_what_was_answered(answers: list[str]) -> None:
    """A record waits behind answers that hold it back, never three in a row of them."""
    progress = ShardProgress(quiet_answers=3)
    waiting: int | None = None
    held = 0
    for second, answer in enumerate(answers):
        if answer == "record":
            waiting = second if waiting is None else waiting
        if waiting is not None and (answer != "held back" or held == 2):
            progress.answered([record(waiting)], asked_at=at(second))
            waiting, held = None, 0
        else:
            progress.answered([], asked_at=at(second))
            held = held + 1 if waiting is not None else 0
        progress.delivered()
        assert waiting is None or progress.read_to is None or progress.read_to <= at(waiting)


def test_a_marker_is_read_as_it_was_written(tmp_path: Any) -> None:
    store = FileStore(tmp_path)
    assert read_polled(store, "Orders") is None
    shards = (
        PolledShard(shard_id="a", upto=None, given_up=0, finished=False),
        PolledShard(shard_id="b", upto="123", given_up=2, finished=True),
    )
    marker = Polled(table="Orders", stream_arn="arn", began_at=NOON, written_at=at(2.5), read_to=at(1), shards=shards)
    put_polled(store, marker)
    assert read_polled(store, "Orders") == marker
    assert list(store.list("Orders")) == []
    store.put("_polled/Orders.json", b"{}")
    with pytest.raises(CorruptObject, match="delete it"):
        read_polled(store, "Orders")


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


def test_the_poller_says_how_far_it_has_read(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    stack.create("Orders")
    began = datetime.now(UTC)
    pace = {**{name: getattr(FAST, name) for name in FAST.__slots__}, "tell_s": 0.05}
    with polling(stack.poller("Orders", checkpoint, settings=type(FAST)(**pace))):
        until(lambda: (told := read_polled(stack.store, "Orders")) and told.read_to and told.read_to >= began)
        stack.write("Orders", 1, 2)
        wrote = datetime.now(UTC)
        until(lambda: (told := read_polled(stack.store, "Orders")) and told.read_to and told.read_to >= wrote)
    told = read_polled(stack.store, "Orders")
    assert told is not None
    assert told.began_at is not None and told.began_at >= began
    (shard,) = told.shards
    assert shard.upto is not None and not shard.finished
    assert len(list(stack.store.list("Orders"))) >= 1


def test_a_marker_that_cannot_be_written_stops_nothing(stack: Stack, checkpoint: Checkpoint, until: Wait) -> None:
    def refuse(_: Polled) -> None:
        raise LakeUnavailable("not now")

    stack.create("Orders")
    stack.write("Orders", 1)
    with polling(stack.poller("Orders", checkpoint, on_polled=refuse)):
        until(lambda: list(stack.store.list("Orders")))
    assert read_polled(stack.store, "Orders") is None
