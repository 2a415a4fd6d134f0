"""The status of a table that is complete and of one that is not; each kind of gap, and how it closes."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from medallion_assets.bronze import copies, stats
from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.redrive import redrive
from medallion_assets.lake.maintenance import expire
from medallion_assets.ledger import listing
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets.ledger.parked import NOTHING_PARKED, Parked
from medallion_assets.ledger.status import read_completeness
from medallion_assets.maintenance.compact_bronze import compact_bronze
from medallion_assets_tests.ledger.captured import ORDERS, Captured, oldest_loss


def test_a_table_is_complete_up_to_what_the_poller_has_read(either: Captured) -> None:
    either.put("a", 1, 2)
    either.put("b", 3)
    either.merge()
    first = either.poll()
    state = either.update()
    assert (state.complete_to, state.gaps, state.pending_objects) == (first, (), 0)
    either.pass_(minutes=3)  # nothing happens, and the poller says so
    idle = either.poll()
    assert either.update().complete_to == idle
    either.put("a", 5)  # waits for Silver: complete up to the newest change recorded of its shard
    either.poll()
    either.pass_(seconds=2)
    state = either.update()
    assert (state.complete_to, state.pending_objects) == (idle, 1)
    either.merge()
    assert either.update().complete_to == either.now - timedelta(seconds=2)


def test_the_recorded_rows_agree_with_objects_and_snapshots(either: Captured) -> None:
    first, second = either.put("a", 7, 9), either.put_without_coverage(11)
    either.merge()
    third = either.put("a", 20)
    either.merge()
    either.update()
    found, by_snapshot = either.rows(), either.snapshots()
    assert [found[path]["rows"] for path in (first, second, third)] == [2, 1, 1]
    assert (found[first]["first_sequence"], found[first]["last_sequence"]) == ("7".zfill(40), "9".zfill(40))
    assert (found[third]["after"], found[third]["up_to"]) == ("9".zfill(40), "20".zfill(40))
    assert [found[path]["shard_id"] for path in (first, second, third)] == ["a", None, "a"]
    silver = either.bench.lake.table("silver", "orders")
    assert set(by_snapshot) == {snapshot.snapshot_id for snapshot in silver.snapshots()}
    assert sorted(by_snapshot.values(), key=len) == [{third}, {first, second}]


def test_without_a_poller_completeness_is_unknown(captured: Captured) -> None:
    assert not captured.update().is_captured
    captured.put_without_coverage(1)
    assert captured.update().is_captured
    captured.merge()
    state = captured.update()
    assert (state.complete_to, state.is_captured, state.merged_to) == (None, True, captured.now)
    captured.put_without_coverage(2)
    state = captured.update()
    assert (state.merged_to, state.pending_objects) == (captured.now, 1)


def test_an_object_missing_in_the_middle_is_a_missing_range_of_its_shard(either: Captured) -> None:
    either.put("a", 1)
    either.merge()
    complete = either.poll()
    either.update()
    lost = either.put("a", 2, 3)
    kept = either.file(lost).read_bytes()
    either.file(lost).unlink()
    either.put("a", 4)
    either.merge()
    either.poll()
    state = either.update()
    (gap,) = state.gaps
    assert (gap.kind, gap.lossy, gap.since) == ("missing_range", True, complete)
    assert "the records 1-3 of a" in gap.reason and "medallion repair orders" in gap.remedy
    assert state.complete_to == complete and state.needs_backfill
    assert oldest_loss(either.bench) == gap
    either.pass_(minutes=1)
    either.poll()
    assert either.update().gaps == (gap,), "it is recorded once"

    either.file(lost).write_bytes(kept)  # restored, and its day is materialized again: nothing is left to say
    either.rerun()
    state = either.update()
    assert (state.gaps, state.complete_to) == ((), either.now)


@pytest.mark.parametrize("lost", [False, True])
def test_an_object_pending_while_a_later_day_is_merged_is_a_missing_range_only_once_it_is_gone(
    captured: Captured, *, lost: bool
) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.update()
    waits = captured.put("a", 2)
    captured.pass_(days=1)
    captured.put("a", 3)
    captured.rerun()
    captured.poll()
    state = captured.update()
    assert (state.gaps, state.pending_objects) == ((), 2)
    if lost:
        captured.file(waits).unlink()
    captured.merge()
    captured.poll()
    state = captured.update()
    assert [gap.kind for gap in state.gaps] == (["missing_range"] if lost else [])
    assert (state.complete_to == captured.now) is not lost


def test_an_object_missing_at_the_end_is_a_missing_range(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.update()
    captured.file(captured.put("a", 2)).unlink()
    captured.poll()
    (gap,) = captured.update().gaps
    assert "the records 1-2 of a" in gap.reason
    captured.file(captured.put("a", 3)).unlink()
    captured.poll()
    second = captured.update().gaps[-1]
    assert "the records 2-3 of a" in second.reason
    captured.put("a", 4)
    captured.merge()
    captured.poll()
    assert captured.update().gaps == (gap, second), "the coverage of the next object adds no gap"


def test_a_first_object_that_is_missing_is_a_missing_range_from_the_start(captured: Captured) -> None:
    captured.file(captured.put("a", 1)).unlink()
    captured.put("a", 2)
    captured.merge()
    captured.poll()
    state = captured.update()
    assert "the records start-1 of a" in state.gaps[0].reason
    assert state.complete_to is None


def test_a_repair_closes_what_was_lost_before_it_began(either: Captured) -> None:
    either.put("a", 1)
    either.file(either.put("a", 2)).unlink()
    either.put("a", 3)
    either.merge()
    either.poll()
    (gap,) = either.update().gaps
    lake, store = either.bench.lake, either.bench.store
    early = either.now - timedelta(seconds=1)
    assert close_repaired_gaps(lake, store, ORDERS, at=early, run_id="repair-1") == [gap]
    assert oldest_loss(either.bench) == gap
    assert close_repaired_gaps(lake, store, ORDERS, at=either.now, run_id="repair-2") == []
    assert oldest_loss(either.bench) is None
    either.pass_(minutes=1)
    to = either.poll()
    state = either.update()
    assert (state.gaps, state.complete_to) == ((), to)


def test_a_repaired_range_is_not_recorded_again(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.file(captured.put("a", 2)).unlink()
    captured.dead_lettered["a"] = 1
    captured.poll()
    assert sorted(gap.kind for gap in captured.update().gaps) == ["dead_lettered", "missing_range"]
    captured.pass_(seconds=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    to = captured.poll()
    state = captured.update()
    assert (state.gaps, state.complete_to) == ((), to)


def test_a_lost_stream_needs_the_poller_and_then_a_repair(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    complete = captured.poll()
    captured.update()
    lake, store = captured.bench.lake, captured.bench.store
    captured.pass_(hours=30)
    write_gap_marker(
        store, GapMarker(table="Orders", detected_at=captured.now, reason="shard a was trimmed before it was read")
    )
    loss = oldest_loss(captured.bench)
    assert loss is not None, "also before the ledger is updated"
    assert (loss.kind, loss.since) == ("stream_gap", complete)
    assert "--resume-after-gap Orders" in loss.remedy
    assert captured.update().gaps == (loss,)
    captured.pass_(minutes=1)
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now, run_id="early") == [loss], (
        "changes go on being lost"
    )
    captured.pass_(minutes=1)
    to = captured.poll(started_at=captured.now)
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now - timedelta(seconds=1), run_id="early") == [loss]
    assert close_repaired_gaps(lake, store, ORDERS, at=captured.now, run_id="repair") == []
    assert oldest_loss(captured.bench) is None
    state = captured.update()
    assert not state.needs_backfill and state.complete_to == to


def test_an_object_that_vanished_or_was_written_again_is_named(either: Captured) -> None:
    first, second = either.put("a", 1, 2), either.put("a", 3)
    either.merge()
    either.poll()
    either.update()
    kept = {path: either.file(path).read_bytes() for path in (first, second)}
    either.file(first).unlink()
    either.file(second).write_bytes(kept[first])
    to = either.poll()
    state = either.update()
    by_kind = {gap.kind: gap for gap in state.gaps}
    assert set(by_kind) == {"missing_object", "changed_object"}
    assert first in by_kind["missing_object"].reason and "2 records (start-2 of a)" in by_kind["missing_object"].reason
    assert second in by_kind["changed_object"].reason and "it has 2 records" in by_kind["changed_object"].reason
    assert not state.needs_backfill and state.complete_to == to, "the table has the changes"
    assert oldest_loss(either.bench) is None
    assert either.recorded() == {first: "missing", second: "changed"}
    for path, data in kept.items():
        either.file(path).write_bytes(data)
    assert either.update().gaps == ()
    assert either.recorded() == {first: "present", second: "present"}
    assert either.update().gaps == ()


def test_an_object_that_vanished_is_named_although_a_compacted_copy_has_it(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MIN_OBJECTS", 1)
    first, second = captured.put("a", 1, 2), captured.put("a", 3)
    captured.merge()
    captured.pass_(days=2)
    store = captured.bench.store
    assert compact_bronze(store, "Orders", now=captured.now, elapsed=timedelta).objects == 2
    captured.poll()
    with monkeypatch.context() as patch:
        patch.setattr(stats, "parse_stats", None)  # what is recorded is what the copy says
        assert captured.update().gaps == ()
    data = captured.file(first).read_bytes()
    captured.file(first).unlink()
    captured.file(second).write_bytes(data)
    captured.poll()
    by_kind = {gap.kind: gap for gap in captured.update().gaps}
    assert set(by_kind) == {"missing_object", "changed_object"}
    assert first in by_kind["missing_object"].reason and "2 records (start-2 of a)" in by_kind["missing_object"].reason
    assert second in by_kind["changed_object"].reason and "it has 2 records" in by_kind["changed_object"].reason


def test_an_object_written_again_with_the_same_bytes_is_no_gap(captured: Captured) -> None:
    path = captured.file(captured.put("a", 1))
    captured.merge()
    captured.update()
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert captured.update().gaps == ()


def test_an_object_that_cannot_be_read_any_more_is_named(captured: Captured) -> None:
    name = captured.put("a", 1)
    captured.merge()
    captured.update()
    captured.file(name).write_bytes(b"PAR1")
    (gap,) = captured.update().gaps
    assert name in gap.reason and "cannot be read" in gap.reason


def test_an_object_that_the_table_passed_over_is_named_until_its_day_is_made_again(either: Captured) -> None:
    either.put("a", 1)
    hidden = either.put_without_coverage(2)
    away = either.root / "capture_restarted"
    shutil.move(either.file(hidden), away)
    either.pass_(minutes=20)
    either.put("a", 3)
    either.merge()
    either.poll()
    assert either.update().gaps == ()
    shutil.move(away, either.file(hidden))
    (gap,) = either.update().gaps
    assert gap.kind == "skipped_object" and gap.lossy
    assert hidden in gap.reason and "Materialize silver/orders for 2026-03-01 again" in gap.remedy
    either.rerun()
    assert either.update().gaps == ()
    assert len(either.recorded()) == 3


def test_a_passed_over_object_that_somebody_moves_away_is_no_gap(captured: Captured) -> None:
    captured.put("a", 1)
    captured.pass_(minutes=-40)
    hidden = captured.put_without_coverage(2)
    captured.pass_(minutes=40)
    shutil.move(captured.file(hidden), captured.root / "capture_restarted")
    captured.merge()
    captured.update()
    shutil.move(captured.root / "capture_restarted", captured.file(hidden))
    assert len(captured.update().gaps) == 1
    captured.file(hidden).unlink()
    assert captured.update().gaps == ()


def test_a_poller_that_starts_without_its_checkpoint_after_the_retention_is_a_gap(captured: Captured) -> None:
    """Its checkpoint was lost, and with it the knowledge that anything is missing."""
    captured.put("a", 1)
    captured.merge()
    captured.poll()
    captured.update()
    captured.cursors = {}
    captured.pass_(hours=23)
    captured.poll(started_at=captured.now)
    assert captured.update().gaps == (), "the stream still had everything"
    captured.pass_(hours=25)
    complete = captured.update().complete_to
    assert complete is not None
    captured.poll(started_at=captured.now)
    state = captured.update()
    assert [(gap.kind, gap.since) for gap in state.gaps] == [("capture_restarted", complete)]
    assert state.complete_to == complete
    captured.pass_(minutes=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    to = captured.poll(started_at=captured.now - timedelta(minutes=1))
    state = captured.update()
    assert (state.gaps, state.complete_to) == ((), to)


def test_dead_lettered_records_are_a_gap_until_a_repair(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.dead_lettered["a"] = 2  # after record 1 two were set aside
    captured.set_aside(2, 3)
    captured.poll()
    (gap,) = captured.update().gaps
    assert gap.kind == "dead_lettered" and "2 records of a after 1" in gap.reason
    captured.put("a", 5)  # its coverage says the same
    captured.merge()
    captured.poll()
    assert captured.update().gaps == (gap,)
    captured.pass_(seconds=1)
    assert (
        close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair") == []
    )
    assert captured.update().gaps == ()


def redrive_all(captured: Captured) -> int:
    captured.pass_(seconds=1)
    return redrive(captured.bench.store, ["Orders"], given_up=captured.given_up, now=lambda: captured.now).records


def test_a_redrive_closes_the_gap_once_silver_has_its_records(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.dead_lettered["a"] = 2
    captured.set_aside(2, 3)
    captured.poll()
    (gap,) = captured.update().gaps
    assert redrive_all(captured) == 2
    captured.poll()
    assert captured.update().gaps == (gap,), "they are in Bronze, not in Silver"
    captured.merge()
    captured.poll()
    assert captured.update().gaps == ()
    assert captured.update().gaps == (), "the heartbeat still counts them"


def test_what_a_function_sets_aside_is_a_gap_until_a_redrive_or_a_repair(captured: Captured) -> None:
    """A function writes no heartbeat: its letters are all that says so."""
    captured.put_without_coverage(1)
    captured.merge()
    captured.set_aside(2, 3)
    (gap,) = captured.update().gaps
    assert (gap.kind, gap.reason) == ("dead_lettered", "2 records were set aside as dead letters")
    captured.set_aside(4)
    assert captured.update().gaps == (gap,), "one gap, however many letters"
    assert redrive_all(captured) == 3
    captured.merge()
    captured.update()
    assert captured.update().gaps == ()
    captured.set_aside(5)
    (second,) = captured.update().gaps
    assert second.gap != gap.gap
    captured.pass_(seconds=1)
    close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair")
    assert captured.update().gaps == (), "the repair brought what the letter lacks"
    captured.set_aside(6)
    (third,) = captured.update().gaps
    assert third.gap != second.gap


def test_what_lambda_gave_up_is_a_gap_with_a_count_and_an_age_until_a_redrive(captured: Captured) -> None:
    captured.put_without_coverage(1)
    captured.merge()
    assert captured.update().parked == NOTHING_PARKED
    captured.give_up(2, 3)
    first_at = captured.now
    captured.set_aside(4)
    state = captured.update()
    assert [gap.kind for gap in state.gaps] == ["dead_lettered", "given_up"]
    assert (
        state.needs_backfill
        and f"since {first_at:%Y-%m-%d %H:%M:%S} UTC; batches in its bucket: 1" in state.gaps[1].reason
    )
    assert state.parked == Parked(dead_letters=1, batches=1, since=first_at)
    captured.give_up(5)
    state = captured.update()
    assert (len(state.gaps), state.parked) == (2, Parked(dead_letters=1, batches=2, since=first_at))
    assert read_completeness(captured.bench.lake, ["orders"])["orders"].parked == state.parked
    assert redrive_all(captured) == 4
    assert captured.update().parked == NOTHING_PARKED
    assert len(captured.update().gaps) == 2, "they are in Bronze, not in Silver"
    captured.merge()
    captured.update()
    assert captured.update().gaps == ()
    captured.give_up(6)
    captured.update()
    captured.pass_(seconds=1)
    close_repaired_gaps(captured.bench.lake, captured.bench.store, ORDERS, at=captured.now, run_id="repair")
    assert captured.update().gaps == (), "the repair brought what the batch lacks"
    captured.give_up(7)
    assert [gap.kind for gap in captured.update().gaps] == ["given_up"]


def test_objects_of_a_batch_that_changed_nothing_are_recorded(captured: Captured) -> None:
    """They commit no snapshot, and after fifteen minutes the position has forgotten them."""
    captured.put("a", 1)
    captured.merge()
    captured.update()
    again = captured.put_without_coverage(1)
    captured.merge()
    captured.pass_(minutes=20)
    captured.put("a", 2)
    captured.merge()
    assert captured.update().gaps == ()
    assert again in captured.recorded()


def test_quarantined_changes_are_in_their_place(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.update()
    bad = captured.put("a", 2, bad=True)
    captured.merge()
    captured.pass_(minutes=20)
    captured.put("a", 3)
    captured.merge()
    assert captured.update().gaps == ()
    assert bad in captured.recorded()


def test_older_objects_are_inspected_in_turns(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 4)
    names = [captured.put("a", number) for number in range(1, 12)]
    captured.merge()
    captured.pass_(hours=1)
    captured.put("a", 20)
    captured.merge()
    captured.update()
    captured.file(names[0]).unlink()
    captured.file(names[6]).unlink()
    seen: list[str] = []
    for _ in range(5):
        seen += [gap.subject for gap in captured.update().gaps if gap.subject not in seen]
    assert seen == [names[6], names[0]]


def test_a_ledger_that_starts_on_an_old_table_assumes_that_it_has_its_objects(captured: Captured) -> None:
    for number in range(1, 6):
        captured.put("a", number)
        captured.merge()
    captured.pass_(hours=1)
    captured.put("a", 6)
    captured.merge()
    table = captured.bench.lake.table("silver", "orders")
    assert expire(captured.bench.lake, table, older_than=timedelta(0)) > 0
    to = captured.poll()
    state = captured.update()
    assert (state.gaps, state.complete_to) == ((), to)
    assert sorted(captured.recorded()) == captured.paths()
