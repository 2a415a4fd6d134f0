"""`make soak` in short: each part does what it says, and finds nothing wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from medallion_assets_tests.soak.killing import DAEMON, POLLER, STAGER, WORKER, soak
from medallion_assets_tests.soak.writers import race

pytestmark = pytest.mark.slow


def test_a_stack_whose_processes_are_killed_equals_its_source() -> None:
    said: list[str] = []
    with tempfile.TemporaryDirectory() as state:
        kills = [(1.0, POLLER), (1.0, STAGER), (0.0, WORKER), (0.0, DAEMON)]
        report = soak(Path(state), seconds=15, rate=20, seed=8, kills=kills, say=said.append)
    assert report.wrong == [], "\n".join(said)
    assert report.killed[POLLER] == 1
    assert report.objects > 0


def test_writers_of_several_processes_on_one_table_lose_nothing() -> None:
    written = race("files", writers=3, commits=4)
    assert (written.failed, written.lost, len(written.tries)) == ([], 0, 12)
