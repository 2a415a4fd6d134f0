"""Collecting health where another process collects at the same time, or stopped half way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import Table

from medallion_assets.capture.file_store import FileStore
from medallion_assets.health.collect import collect_health
from medallion_assets.health.run_events import CheckEvaluation, RunEvents, StepRun
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import CHECKS, HEALTH, OPS, OpsTable
from medallion_assets_tests.gold.shop import DOMAIN, MARTS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def collect(lake: Lake, bronze: Path, *, at: datetime) -> None:
    """Collect after one run, which merged orders and ended ten seconds before noon."""
    ended = NOON - timedelta(seconds=10)
    step = StepRun("silver", "orders", "run", ended, done=True, numbers={"rows_in": 3, "merged": 3})
    evaluation = CheckEvaluation("silver", "orders", "keys", "run", ended, blocking=True, passed=True, numbers={})
    happened = RunEvents([(ended, step)], [(ended, evaluation)])
    collect_health(lake, FileStore(bronze), DOMAIN, list(MARTS.values()), run_events=lambda after, to: happened, now=at)


def query(lake: Lake, table: OpsTable, sql: str) -> list[tuple[Any, ...]]:
    with lake.duckdb() as connection:
        return connection.execute(
            f"{sql} FROM {lake.scan_sql(lake.table(OPS, table.name), None)} ORDER BY 1"
        ).fetchall()


def test_two_processes_that_collect_at_once_both_write_and_count_a_run_once(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [NOON + timedelta(minutes=minutes) for minutes in range(2)]
    commit = Table._do_commit

    def late(self: Table, *args: Any) -> None:
        monkeypatch.setattr(Table, "_do_commit", commit)
        with Lake.open(lake.settings) as other:
            collect(other, tmp_path, at=times[0])
        commit(self, *args)

    monkeypatch.setattr(Table, "_do_commit", late)
    collect(lake, tmp_path, at=times[1])
    assert query(lake, HEALTH, "SELECT DISTINCT observed_at") == [(at,) for at in times]
    assert query(lake, HEALTH, "SELECT sum(merged_rows)") == [(3,)]
    assert query(lake, CHECKS, "SELECT sum(evaluations)") == [(1,)]
