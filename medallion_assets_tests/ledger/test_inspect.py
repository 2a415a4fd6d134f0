"""What the ledger says of a table that is whole, and of one that is not; each gap by name, and its way out."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.lake.maintenance import expire
from medallion_assets.ledger import listing
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets_tests.ledger.captured import ORDERS, Captured, oldest_loss


def test_a_table_is_complete_up_to_what_the_poller_has_read(either: Captured) -> None:
    either.put("a", 1, 2)
    either.put("b", 3)
    either.merge()
    first = either.poll()
    state = either.look()
    assert (state.complete_to, state.gaps, state.pending_objects) == (first, (), 0)
    either.pass_(minutes=3)  # nothing happens, and the poller says so
    idle = either.poll()
    assert either.look().complete_to == idle
    either.put("a", 5)  # waits for Silver: complete up to the newest change recorded of its shard
    either.poll()
    either.pass_(seconds=2)
    state = either.look()
    assert (state.complete_to, state.pending_objects) == (idle, 1)
    either.merge()
    assert either.look().complete_to == either.now - timedelta(seconds=2)


def test_what_is_recorded_is_what_the_objects_and_snapshots_say(either: Captured) -> None:
    first, second = either.put("a", 7, 9), either.put_without_claim(11)
    either.merge()
    third = either.put("a", 20)
    either.merge()
    either.look()
    found, by_snapshot = either.rows(), either.snapshots()
    assert [found[path]["rows"] for path in (first, second, third)] == [2, 1, 1]
    assert (found[first]["first_sequence"], found[first]["last_sequence"]) == ("7".zfill(40), "9".zfill(40))
    assert (found[third]["after"], found[third]["up_to"]) == ("9".zfill(40), "20".zfill(40))
    assert [found[path]["shard_id"] for path in (first, second, third)] == ["a", None, "a"]
    silver = either.bench.lake.table("silver", "orders")
    assert set(by_snapshot) == {snapshot.snapshot_id for snapshot in silver.snapshots()}
    assert sorted(by_snapshot.values(), key=len) == [{third}, {first, second}]


def test_without_a_poller_nobody_can_say_what_was_captured(captured: Captured) -> None:
    captured.put_without_claim(1)
    captured.merge()
    state = captured.look()
    assert (state.complete_to, state.has_heartbeat, state.merged_to) == (None, False, captured.now)
    captured.put_without_claim(2)
    state = captured.look()
    assert (state.merged_to, state.pending_objects) == (captured.now, 1)


def test_an_object_that_is_missing_in_a_chain_is_a_hole_with_shard_and_range(either: Captured) -> None:
    either.put("a", 1)
    either.merge()
    complete = either.poll()
    either.look()
    lost = either.put("a", 2, 3)
    kept = either.file(lost).read_bytes()
    either.file(lost).unlink()
    either.put("a", 4)
    either.merge()
    either.poll()
    state = either.look()
    (gap,) = state.gaps
    assert (gap.kind, gap.lossy, gap.since) == ("missing_range", True, complete)
    assert "the records 1-3 of a" in gap.reason and "medallion repair orders" in gap.remedy
    assert state.complete_to == complete and state.needs_backfill
    assert oldest_loss(either.bench) == gap
    either.pass_(minutes=1)
    either.poll()
    assert either.look().gaps == (gap,), "it is noticed once"

    either.file(lost).write_bytes(kept)  # restored, and its day is materialized again: nothing is left to say
    either.rerun()
    state = either.look()
    assert (state.gaps, state.complete_to) == ((), either.now)


@pytest.mark.parametrize("lost", [False, True])
def test_an_object_that_waits_while_a_later_day_is_made_is_a_hole_once_it_is_gone(
    captured: Captured, *, lost: bool
) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.look()
    waits = captured.put("a", 2)
    captured.pass_(days=1)
    captured.put("a", 3)
    captured.rerun()
    captured.poll()
    state = captured.look()
    assert (state.gaps, state.pending_objects) == ((), 2)
    if lost:
        captured.file(waits).unlink()
    captured.merge()
    captured.poll()
    state = captured.look()
    assert [gap.kind for gap in state.gaps] == (["missing_range"] if lost else [])
    assert (state.complete_to == captured.now) is not lost


def test_an_object_missing_at_the_end_of_a_chain_is_a_hole_too(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.look()
    captured.file(captured.put("a", 2)).unlink()
    captured.poll()
    (gap,) = captured.look().gaps
    assert "the records 1-2 of a" in gap.reason
    captured.file(captured.put("a", 3)).unlink()
    captured.poll()
    second = captured.look().gaps[-1]
    assert "the records 2-3 of a" in second.reason
    captured.put("a", 4)
    captured.merge()
    captured.poll()
    assert captured.look().gaps == (gap, second), "the next object's coverage says nothing new"


def test_a_first_object_that_is_missing_is_a_hole_from_the_start(captured: Captured) -> None:
    captured.file(captured.put("a", 1)).unlink()
    captured.put("a", 2)
    captured.merge()
    captured.poll()
    state = captured.look()
    assert "the records start-1 of a" in state.gaps[0].reason
    assert state.complete_to is None


def test_a_repair_closes_what_was_lost_before_it_began(either: Captured) -> None:
    either.put("a", 1)
    either.file(either.put("a", 2)).unlink()
    either.put("a", 3)
    either.merge()
    either.poll()
    (gap,) = either.look().gaps
    lake, store = either.bench.lake, either.bench.store
    early = either.now - timedelta(seconds=1)
    assert close_repaired_gaps(lake, store, ORDERS, at=early, run_id="repair-1") == [gap]
    assert oldest_loss(either.bench) == gap
    assert close_repaired_gaps(lake, store, ORDERS, at=either.now, run_id="repair-2") == []
    assert oldest_loss(either.bench) is None
    either.pass_(minutes=1)
    to = either.poll()
    state = either.look()
    assert (state.gaps, state.complete_to) == ((), to)


def test_what_is_repaired_is_not_noticed_again_while_it_still_shows(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.file(captured.put("a", 2)).unlink()
    captured.dead_lettered["a"] = 1
    captured.poll()
    assert sorted(gap.kind for gap in captured.look().gaps) == ["dead_lettered", "missing_range"]
    captured.pass_(seconds=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    to = captured.poll()
    state = captured.look()
    assert (state.gaps, state.complete_to) == ((), to)


def test_a_lost_stream_needs_the_poller_and_then_a_repair(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    complete = captured.poll()
    captured.look()
    lake, store = captured.bench.lake, captured.bench.store
    captured.pass_(hours=30)
    write_gap_marker(
        store, GapMarker(table="Orders", detected_at=captured.now, reason="shard a was trimmed before it was read")
    )
    told = oldest_loss(captured.bench)
    assert told is not None, "before the ledger has looked, too"
    assert (told.kind, told.since) == ("stream_gap", complete)
    assert "--resume-after-gap Orders" in told.remedy
    assert captured.look().gaps == (told,)
    captured.pass_(minutes=1)
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now, run_id="early") == [told], (
        "changes go on being lost"
    )
    captured.pass_(minutes=1)
    to = captured.poll(started_at=captured.now)
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now - timedelta(seconds=1), run_id="early") == [told]
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now, run_id="repair") == []
    assert oldest_loss(captured.bench) is None
    state = captured.look()
    assert not state.needs_backfill and state.complete_to == to


def test_an_object_that_vanished_or_was_written_again_is_named(either: Captured) -> None:
    first, second = either.put("a", 1, 2), either.put("a", 3)
    either.merge()
    either.poll()
    either.look()
    kept = {path: either.file(path).read_bytes() for path in (first, second)}
    either.file(first).unlink()
    either.file(second).write_bytes(kept[first])
    to = either.poll()
    state = either.look()
    by_kind = {gap.kind: gap for gap in state.gaps}
    assert set(by_kind) == {"missing_object", "changed_object"}
    assert first in by_kind["missing_object"].reason and "2 records (start-2 of a)" in by_kind["missing_object"].reason
    assert second in by_kind["changed_object"].reason and "it has 2 records" in by_kind["changed_object"].reason
    assert not state.needs_backfill and state.complete_to == to, "the table has the changes"
    assert oldest_loss(either.bench) is None
    assert either.recorded() == {first: "missing", second: "changed"}
    for path, data in kept.items():
        either.file(path).write_bytes(data)
    assert either.look().gaps == ()
    assert either.recorded() == {first: "present", second: "present"}
    assert either.look().gaps == ()


def test_an_object_written_again_with_the_same_bytes_is_no_gap(captured: Captured) -> None:
    path = captured.file(captured.put("a", 1))
    captured.merge()
    captured.look()
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert captured.look().gaps == ()


def test_an_object_that_cannot_be_read_any_more_is_named(captured: Captured) -> None:
    name = captured.put("a", 1)
    captured.merge()
    captured.look()
    captured.file(name).write_bytes(b"PAR1")
    (gap,) = captured.look().gaps
    assert name in gap.reason and "cannot be read" in gap.reason


def test_an_object_that_the_table_passed_over_is_named_until_its_day_is_made_again(either: Captured) -> None:
    either.put("a", 1)
    hidden = either.put_without_claim(2)
    away = either.root / "capture_restarted"
    shutil.move(either.file(hidden), away)
    either.pass_(minutes=20)
    either.put("a", 3)
    either.merge()
    either.poll()
    assert either.look().gaps == ()
    shutil.move(away, either.file(hidden))
    (gap,) = either.look().gaps
    assert gap.kind == "skipped_object" and gap.lossy
    assert hidden in gap.reason and "Materialize silver/orders for 2026-03-01 again" in gap.remedy
    either.rerun()
    assert either.look().gaps == ()
    assert len(either.recorded()) == 3


def test_a_passed_over_object_that_somebody_moves_away_is_no_gap(captured: Captured) -> None:
    captured.put("a", 1)
    captured.pass_(minutes=-40)
    hidden = captured.put_without_claim(2)
    captured.pass_(minutes=40)
    shutil.move(captured.file(hidden), captured.root / "capture_restarted")
    captured.merge()
    captured.look()
    shutil.move(captured.root / "capture_restarted", captured.file(hidden))
    assert len(captured.look().gaps) == 1
    captured.file(hidden).unlink()
    assert captured.look().gaps == ()


def test_a_poller_that_began_anew_too_late_has_lost_what_the_stream_forgot(captured: Captured) -> None:
    """Its checkpoint was lost, and with it the knowledge that anything is missing."""
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.look()
    captured.cursors = {}
    captured.pass_(hours=23)
    captured.poll(started_at=captured.now)
    assert captured.look().gaps == (), "all of it was still there"
    captured.pass_(hours=25)
    complete = captured.look().complete_to
    assert complete is not None
    captured.poll(started_at=captured.now)
    state = captured.look()
    assert [(gap.kind, gap.since) for gap in state.gaps] == [("capture_restarted", complete)]
    assert state.complete_to == complete
    captured.pass_(minutes=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    to = captured.poll(started_at=captured.now - timedelta(minutes=1))
    state = captured.look()
    assert (state.gaps, state.complete_to) == ((), to)


def test_records_given_up_are_a_gap_until_a_repair(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.dead_lettered["a"] = 2  # after record 1 two went to the queue
    captured.poll()
    (gap,) = captured.look().gaps
    assert gap.kind == "dead_lettered" and "2 records of a after 1" in gap.reason
    captured.put("a", 5)  # its coverage says the same
    captured.merge()
    captured.poll()
    assert captured.look().gaps == (gap,)
    captured.pass_(seconds=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    assert captured.look().gaps == ()


def test_objects_of_a_batch_that_changed_nothing_are_recorded(captured: Captured) -> None:
    """They commit no snapshot, and after fifteen minutes the position has forgotten them."""
    captured.put("a", 1)
    captured.merge()
    captured.look()
    again = captured.put_without_claim(1)
    captured.merge()
    captured.pass_(minutes=20)
    captured.put("a", 2)
    captured.merge()
    assert captured.look().gaps == ()
    assert again in captured.recorded()


def test_quarantined_changes_are_in_their_place(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.look()
    bad = captured.put("a", 2, bad=True)
    captured.merge()
    captured.pass_(minutes=20)
    captured.put("a", 3)
    captured.merge()
    assert captured.look().gaps == ()
    assert bad in captured.recorded()


def test_older_objects_are_looked_at_in_turns(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 4)
    names = [captured.put("a", number) for number in range(1, 12)]
    captured.merge()
    captured.pass_(hours=1)
    captured.put("a", 20)
    captured.merge()
    captured.look()
    captured.file(names[0]).unlink()
    captured.file(names[6]).unlink()
    seen: list[str] = []
    for _ in range(5):
        seen += [gap.subject for gap in captured.look().gaps if gap.subject not in seen]
    assert seen == [names[6], names[0]]


def test_a_ledger_that_begins_on_an_old_table_takes_its_objects_as_they_are(captured: Captured) -> None:
    for number in range(1, 6):
        captured.put("a", number)
        captured.merge()
    captured.pass_(hours=1)
    captured.put("a", 6)
    captured.merge()
    table = captured.bench.lake.table("silver", "orders")
    assert expire(captured.bench.lake, table, older_than=timedelta(0)) > 0
    to = captured.poll()
    state = captured.look()
    assert (state.gaps, state.complete_to) == ((), to)
    assert sorted(captured.recorded()) == captured.paths()
