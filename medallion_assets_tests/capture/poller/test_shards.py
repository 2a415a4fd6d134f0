"""Which shards may be read, and what shows that history was lost."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.capture.poller.checkpoint import ShardCheckpoint
from medallion_assets.capture.poller.shards import Shard, find_loss, have_children, list_shards, select_readable
from medallion_assets_tests.capture.poller.conftest import Stack

KNOWN = datetime(2026, 1, 1, tzinfo=UTC)


def mark(*, finished: bool = False, sequence: str | None = None) -> ShardCheckpoint:
    return ShardCheckpoint(KNOWN, False, sequence, finished)


def read(shards: list[Shard], marks: dict[str, ShardCheckpoint]) -> list[str]:
    return [shard.shard_id for shard in select_readable(shards, marks)]


FAMILY = [Shard("a"), Shard("b", "a"), Shard("c", "b"), Shard("d", "b")]


def test_a_child_waits_for_its_parent_to_be_delivered_to_the_end() -> None:
    assert read(FAMILY, {}) == ["a"]
    assert read(FAMILY, {"a": mark(sequence="1")}) == ["a"]
    assert read(FAMILY, {"a": mark(finished=True)}) == ["b"]
    assert read(FAMILY, {"a": mark(finished=True), "b": mark(finished=True)}) == ["c", "d"]
    assert read(FAMILY, {name: mark(finished=True) for name in "abcd"}) == []


def test_a_shard_whose_parent_is_no_longer_listed_may_be_read() -> None:
    assert read(FAMILY[1:], {}) == ["b"]


def test_the_first_listing_shows_no_loss() -> None:
    assert find_loss(FAMILY[1:], {}) is None


def test_a_shard_that_vanished_before_its_end_is_lost_history() -> None:
    marks = {"a": mark(finished=True), "b": mark(sequence="7")}
    assert find_loss(FAMILY, marks) is None
    assert "shard b was trimmed before it was read to its end" in str(find_loss(FAMILY[2:], marks))
    assert find_loss(FAMILY[2:], {"a": mark(finished=True), "b": mark(finished=True)}) is None


def test_a_parent_that_came_and_went_unseen_is_lost_history() -> None:
    marks = {"a": mark(finished=True)}
    assert find_loss(FAMILY[1:], marks) is None
    assert "shard b, the parent of c, was trimmed before it was ever listed" in str(find_loss(FAMILY[2:], marks))


@given(data=st.data())
def test_reading_whatever_may_be_read_delivers_every_shard_after_its_parent(data: st.DataObject) -> None:
    shards: list[Shard] = []
    for number in range(data.draw(st.integers(1, 12))):
        parents = [None, *(shard.shard_id for shard in shards)]
        shards.append(Shard(str(number), data.draw(st.sampled_from(parents))))
    listed = data.draw(st.permutations(shards))
    marks: dict[str, ShardCheckpoint] = {}
    order: list[str] = []
    while todo := select_readable(listed, marks):
        shard = data.draw(st.sampled_from(todo))
        order.append(shard.shard_id)
        marks[shard.shard_id] = mark(finished=True)
    assert sorted(order) == sorted(shard.shard_id for shard in shards)
    for shard in shards:
        assert shard.parent_id is None or order.index(shard.parent_id) < order.index(shard.shard_id)


def test_the_shards_of_a_real_stream_are_listed(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    (shard,) = list_shards(stack.streams, arn)
    assert shard.parent_id is None
    assert shard.first_sequence is not None


def test_a_listing_of_several_pages_is_read_to_the_end() -> None:
    class Pages:
        """More shards than the emulator makes."""

        def describe_stream(self, *, StreamArn: str, ExclusiveStartShardId: str = "0") -> object:
            start = int(ExclusiveStartShardId)
            shards = [{"ShardId": str(start + 1), "ParentShardId": "0"}]
            more = {"LastEvaluatedShardId": str(start + 1)} if start < 2 else {}
            return {"StreamDescription": {"Shards": shards, **more}}

    assert [shard.shard_id for shard in list_shards(Pages(), "arn")] == ["1", "2", "3"]  # type: ignore[arg-type]


def test_what_comes_after_a_shard_is_known_when_its_child_is_listed() -> None:
    done = {"a": mark(finished=True), "b": mark(sequence="1")}
    assert have_children(FAMILY, done)
    assert have_children(FAMILY[:1], {"a": mark(sequence="1")})
    assert not have_children(FAMILY[:1], done), "DescribeStream does not show the child yet"
    assert not have_children(FAMILY, {**done, "b": mark(finished=True), "c": mark(finished=True)})
