"""Up to when a table is complete: the heartbeat compared with what is recorded."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.capture.heartbeat import PollerHeartbeat, ShardHeartbeat
from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence
from medallion_assets.ledger.completeness import ShardEnd, assess_completeness
from medallion_assets.ledger.ranges import Range
from medallion_assets_tests.silver.changes import NOON

READ_TO = NOON - timedelta(seconds=10)
EARLIER = NOON - timedelta(hours=1)


def heartbeat(**up_to: str | None) -> PollerHeartbeat:
    shards = tuple(
        ShardHeartbeat(shard_id=name, up_to=to, dead_lettered=0, finished=False) for name, to in up_to.items()
    )
    return PollerHeartbeat(
        table="Orders", stream_arn="arn", started_at=EARLIER, written_at=NOON, read_up_to=READ_TO, shards=shards
    )


def reached(number: str, seconds_ago: int = 60) -> ShardEnd:
    return ShardEnd(pad_sequence(number), NOON - timedelta(seconds=seconds_ago))


def test_a_shard_without_records_delays_nothing() -> None:
    found = assess_completeness(
        heartbeat(a=None, b="7"), {"b": reached("7")}, pending_since=[], behind=False, before=None
    )
    assert (found.complete_to, found.missing) == (READ_TO, {})


def test_a_shard_with_pending_objects_is_complete_up_to_its_newest_recorded_change() -> None:
    known = {"a": reached("5", 60), "b": reached("9", 30)}
    waiting = [NOON - timedelta(seconds=5)]
    found = assess_completeness(heartbeat(a="7", b="9"), known, pending_since=waiting, behind=False, before=None)
    assert (found.complete_to, found.missing) == (NOON - timedelta(seconds=60), {})
    unknown = assess_completeness(
        heartbeat(a="7", b="9"), {"b": known["b"]}, pending_since=waiting, behind=False, before=EARLIER
    )
    assert (unknown.complete_to, unknown.missing) == (EARLIER, {})


def test_an_object_captured_after_the_heartbeat_does_not_explain_a_missing_range() -> None:
    waiting = [NOON + timedelta(seconds=5)]
    found = assess_completeness(
        heartbeat(a="7"), {"a": reached("5")}, pending_since=waiting, behind=False, before=EARLIER
    )
    assert (found.complete_to, found.missing) == (EARLIER, {"a": Range(pad_sequence("5"), pad_sequence("7"))})


def test_a_shard_without_recorded_objects_misses_everything() -> None:
    found = assess_completeness(heartbeat(a="7"), {}, pending_since=[], behind=False, before=None)
    assert (found.complete_to, found.missing) == (None, {"a": Range(SEQUENCE_START, pad_sequence("7"))})


def test_completeness_stays_while_the_ledger_is_behind_or_the_heartbeat_may_have_dropped_shards() -> None:
    known = {"a": reached("7")}
    late = [NOON - timedelta(hours=25)]
    assert (
        assess_completeness(heartbeat(a="7"), known, pending_since=[], behind=True, before=EARLIER).complete_to
        == EARLIER
    )
    assert (
        assess_completeness(heartbeat(a="7"), known, pending_since=late, behind=False, before=EARLIER).complete_to
        == EARLIER
    )


@given(st.integers(-7200, 7200))
def test_what_was_complete_stays_so(seconds: int) -> None:
    before = READ_TO + timedelta(seconds=seconds)
    found = assess_completeness(heartbeat(a="7"), {"a": reached("7")}, pending_since=[], behind=False, before=before)
    assert found.complete_to == max(READ_TO, before)
