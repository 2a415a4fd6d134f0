"""The run, on seeds that every commit plays; and what to trust in it: it repeats, it finds planted bugs, it shrinks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medallion_assets.simulation.faults import Fault
from medallion_assets.simulation.harness.campaign import Campaign, play_seed
from medallion_assets.simulation.harness.describe import describe
from medallion_assets.simulation.harness.histories import History, draw
from medallion_assets.simulation.harness.play import play
from medallion_assets.simulation.harness.shrink import shrink
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.simulation.mutations import CAUGHT, MUTATIONS, violations

SEEDS, FAST_SEEDS, A_TEST = 150, 30, 5
FOUND = (
    92571079355,  # a poller that died between beginning a table and noting its shards, and came back after a day
    80833426598,  # DuckDB counting fewer rows than none in a day whose neighbours had rows deleted
    80833427291,  # a day made while an object of the day before it still waited
    80833428557,  # a customer that came, and changed after a compaction, before the orders were made again
    293483333277,  # a deleted key of a table that never had a row, written again unseen: a repair left it out
    148926086940,  # an order that came to a day of a mart computed by hand, and left it before the next refresh
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Every fault would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "first",
    [
        *range(0, FAST_SEEDS, A_TEST),
        *(pytest.param(first, marks=pytest.mark.slow) for first in range(FAST_SEEDS, SEEDS, A_TEST)),
    ],
)
def test_nothing_is_wrong_in_any_history(first: int) -> None:
    for seed in range(first, first + A_TEST):
        played = play(draw(seed))
        assert not played.violations, f"medallion simulate --seed {seed}\n{played.violations[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", FOUND)
def test_what_a_history_once_found_is_mended(seed: int) -> None:
    assert not play(draw(seed)).violations


@pytest.mark.slow
@pytest.mark.parametrize("mutation", CAUGHT)
def test_a_planted_bug_is_found(mutation: str) -> None:
    """Seeds are those of `make prove-mutations`, which says so when another one is the first."""
    assert violations(mutation, CAUGHT[mutation])


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 5, 20))])
def test_a_history_is_the_same_whenever_it_is_played(seed: int) -> None:
    first, second = play_seed(seed), play_seed(seed)
    del first["cpu_s"], second["cpu_s"]
    assert first == second


def test_an_outage_of_the_pollers_disk_is_over_some_time() -> None:
    """However often it is started again meanwhile, and though nothing else takes time."""
    history = next(one for one in map(draw, range(100)) if one.capture.kind == "poller")
    outage = (Fault("checkpoint.begin", 0, "outage", 40.0),)
    wait = next(act for act in history.acts if act.do == "wait")
    still = replace(history, capture=replace(history.capture, fault_profile="calm", script=outage), acts=(wait,))
    assert not play(still).violations


def test_a_history_survives_its_way_through_a_file() -> None:
    for seed in range(20):
        history = draw(seed)
        assert History.from_json(json.loads(json.dumps(history.to_json()))) == history


@pytest.mark.slow
def test_a_failing_history_is_made_small_and_still_fails() -> None:
    with MUTATIONS["drop_tombstones"]():
        history = draw(CAUGHT["drop_tombstones"])
        small, played = shrink(history, play(history), seconds=300)
        assert played.violations
        assert play(small).violations == played.violations, "played again, the script does the same"
    changes = [change for act in small.acts for change in act.given.get("changes", ())]
    assert len(changes) <= 3, "\n".join(describe(small))
    right = play(small)
    assert not right.violations, "without the bug"
    with pytest.raises(ValueError, match="does not fail"):
        shrink(small, right, seconds=1)


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    run = Campaign.open(tmp_path, count=3, first=70)
    tallies = run.play(1)
    next(tallies)
    tallies.close()
    again = Campaign.open(tmp_path, count=3, first=None)
    assert again.first == 70
    assert again.tally.histories == 1
    *_, last = again.play(1)
    assert (last.histories, last.violations, last.failed) == (3, 0, {})
    assert Campaign.open(tmp_path, count=3, first=None).first != 70, "a finished run is not played again"
    (tmp_path / "run.json").write_text(json.dumps({"first": 70, "count": 3, "code": "of yesterday"}))
    assert Campaign.open(tmp_path, count=3, first=70).tally.histories == 0, "nor what other code came to"


def test_simulate_plays_a_seed_and_a_file(tmp_path: Path) -> None:
    told = json.loads(medallion("simulate", "--seed", "6", "--json").stdout)
    assert told["violations"] == [] and told["counts"]["events"] > 0
    file = tmp_path / "history.json"
    file.write_text(json.dumps(draw(6).to_json()))
    shown = medallion("simulate", "--history", str(file))
    assert shown.exit_code == 0 and "seed 6: no violation" in shown.stdout


def test_simulate_explains_what_is_wrong(tmp_path: Path) -> None:
    with MUTATIONS["drop_tombstones"]():
        seed = str(CAUGHT["drop_tombstones"])
        shown = medallion("simulate", "--seed", seed, "--state", str(tmp_path), "--shrink-s", "5")
        assert shown.exit_code == 1
        file = tmp_path / f"seed-{seed}.json"
        assert f"play it again: medallion simulate --history {file}" in shown.stdout.replace("\n", "")
        assert medallion("simulate", "--history", str(file), "--json").exit_code == 1
    assert medallion("simulate", "--history", str(file)).exit_code == 0


@pytest.mark.slow
def test_simulate_plays_many_and_sums_up(tmp_path: Path) -> None:
    asked = ("simulate", "--histories", "2", "--first-seed", "3", "--processes", "1", "--state", str(tmp_path))
    shown = medallion(*asked)
    assert shown.exit_code == 0
    for word in ("histories", "events", "faults", "publishes", "violations"):
        assert word in shown.stdout
    told = json.loads(medallion(*asked, "--json").stdout)
    assert (told["histories"], told["violations"], told["failed_seeds"]) == (2, 0, [])


@pytest.mark.parametrize("arguments", [(), ("--seed", "1", "--histories", "2"), ("--history", "nowhere.json")])
def test_simulate_refuses_what_it_cannot_mean(arguments: tuple[str, ...]) -> None:
    assert medallion("simulate", *arguments).exit_code == 2
