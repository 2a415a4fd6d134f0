"""Updating the ledger: one commit for all tables; a death at any point loses nothing and records nothing twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake import maintenance
from medallion_assets.ledger import gaps as gaps_module
from medallion_assets.ledger import update as update_module
from medallion_assets.maintenance.maintain import maintain
from medallion_assets.ops.tables import LEDGER, OPS
from medallion_assets.ops.upsert import upsert
from medallion_assets_tests.ledger.captured import Captured, captured_on_files


class Died(BaseException):
    """The process is gone."""


def dying(real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The function in a process that dies at it, having done it or not."""

    def die(*arguments: Any, **named: Any) -> None:
        if after:
            real(*arguments, **named)
        raise Died

    return die


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["record_gaps", "upsert", "close_gaps"])
def test_after_a_death_at_any_write_the_next_update_writes_the_rest(
    captured: Captured, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    first, second = captured.put("a", 1), captured.put("a", 2)
    kept = captured.file(second).read_bytes()
    captured.merge()
    captured.poll()
    captured.update()
    captured.file(second).write_bytes(b"")
    captured.update()  # changed; the next update closes that gap, finds two others and records an object
    captured.file(second).write_bytes(kept)
    captured.file(first).unlink()
    captured.file(captured.put("a", 3)).unlink()
    fourth = captured.put("a", 4)
    captured.merge()
    captured.poll()
    with monkeypatch.context() as patch:
        patch.setattr(update_module, step, dying(getattr(update_module, step), after=after))
        with pytest.raises(Died):
            captured.update()
    state = captured.update()
    assert sorted(gap.kind for gap in state.gaps) == ["missing_object", "missing_range"]
    assert captured.recorded() == {first: "missing", second: "present", fourth: "present"}
    assert captured.update() == state


@pytest.mark.both_lakes
def test_a_death_between_silvers_publish_and_the_ledger_is_caught_up(either: Captured) -> None:
    """Silver goes on without the ledger; its snapshots say what it merged meanwhile."""
    expected: dict[int | None, set[str]] = {}
    for number in range(1, 5):
        name = either.put("a", number)
        either.merge()
        either.pass_(minutes=20)
        expected[either.bench.lake.table("silver", "orders").metadata.current_snapshot_id] = {name}
    to = either.poll()
    state = either.update()
    assert (state.complete_to, state.gaps) == (to, ())
    assert either.snapshots() == expected


def test_maintenance_leaves_the_ledger_the_snapshots_it_has_not_followed(captured: Captured) -> None:
    captured.put("a", 1)
    captured.merge()
    captured.update()
    expected = {}
    for number in range(2, 5):
        name = captured.put("a", number)
        captured.merge()
        captured.pass_(minutes=20)
        expected[captured.bench.lake.table("silver", "orders").metadata.current_snapshot_id] = {name}
    lake, domain = captured.bench.lake, captured.bench.domain
    maintain(lake, domain, [], layer="silver", name="orders", older_than=timedelta(0))
    captured.update()
    assert expected.items() <= captured.snapshots().items()
    captured.poll()
    captured.update()
    assert maintain(lake, domain, [], layer="silver", name="orders", older_than=timedelta(0)) > 0
    assert maintain(lake, domain, [], layer=OPS, name=LEDGER.name, older_than=timedelta(0)) > 0
    assert len(captured.recorded()) == 4


def test_more_objects_than_one_update_takes_are_recorded_by_several(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medallion_assets.ledger.follow.MAX_OBJECTS", 2)
    for number in range(1, 7):
        captured.put("a", number)
        captured.merge()
        captured.pass_(minutes=20)
    to = captured.poll()
    states = [captured.update() for _ in range(4)]
    assert [state.complete_to for state in states] == [None, None, to, to]
    assert all(state.gaps == () for state in states)
    assert sorted(captured.recorded()) == captured.paths()


def test_an_update_without_changes_writes_nothing(either: Captured) -> None:
    either.put("a", 1)
    either.merge()
    either.poll()
    either.update()
    before = either.bench.lake.table(OPS, LEDGER.name).metadata_location
    either.pass_(minutes=1)
    either.poll()
    either.update()
    assert either.bench.lake.table(OPS, LEDGER.name).metadata_location == before
    either.pass_(minutes=5)
    to = either.poll()
    either.update()
    either.cursors = {}
    either.pass_(seconds=10)
    either.put("a", 2)
    either.poll(read_up_to=either.now)
    assert either.update().complete_to == to, "written every few minutes for other readers"


@pytest.mark.slow
def test_a_busy_ledger_is_compacted_and_can_be_read_after(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 6)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 4)
    for number in range(1, 11):
        captured.put("a", number)
        captured.merge()
        captured.update()
    table = captured.bench.lake.table(OPS, LEDGER.name)
    operations = [snapshot.summary.operation for snapshot in table.snapshots() if snapshot.summary]
    assert Operation.REPLACE in operations
    assert len(captured.recorded()) == 10
    captured.poll()
    assert captured.update().complete_to == captured.now


Step = tuple[str, str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "lose", "merge", "update", "die", "poll"]), st.sampled_from("ab"), st.integers(1, 3)
    ),
    min_size=4,
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_in_any_history_the_missing_ranges_are_exactly_the_lost_records(steps: list[Step]) -> None:
    """Objects of two shards, some lost before Silver reads them; merges, updates, heartbeats and deaths in between."""
    with (
        TemporaryDirectory() as folder,
        captured_on_files(Path(folder)) as captured,
        pytest.MonkeyPatch.context() as at,
    ):
        lost: dict[str, set[int]] = {"a": set(), "b": set()}
        number = 10
        for what, shard, many in [*steps, ("put", "a", 1), ("put", "b", 1), ("merge", "a", 1), ("poll", "a", 1)]:
            match what:
                case "put" | "lose":
                    numbers = list(range(number, number + many))
                    number += many
                    path = captured.put(shard, *numbers)
                    if what == "lose":
                        captured.file(path).unlink()
                        lost[shard] |= set(numbers)
                case "merge":
                    captured.merge()
                case "update":
                    captured.update()
                case "poll":
                    captured.poll()
                case "die":
                    module = gaps_module if many == 1 else update_module
                    with at.context() as patch, contextlib.suppress(Died):
                        patch.setattr(module, "upsert", dying(upsert, after=many == 2))
                        captured.update()
        state = captured.update()
        assert {gap.kind for gap in state.gaps} <= {"missing_range"}
        for shard, really in lost.items():
            found: set[int] = set()
            for gap in state.gaps:
                label, _, text = gap.subject.rpartition("/")
                if label.endswith(f"/{shard}"):
                    after, _, up_to = text.partition("-")
                    found |= set(range(0 if after == "start" else int(after) + 1, int(up_to) + 1))
            written = {n for n in found if n >= 10}
            others = {n for n in written if n not in really}
            # A range names the numbers between its ends; those of the other shard are in it, too.
            assert really <= written
            assert not others & _of(captured, shard)
        if not state.gaps:
            assert state.complete_to == captured.now


def _of(captured: Captured, shard: str) -> set[int]:
    """The recorded records of a shard."""
    return {
        number
        for row in captured.rows().values()
        if row["shard_id"] == shard
        for number in range(int(row["first_sequence"]), int(row["last_sequence"]) + 1)
    }
