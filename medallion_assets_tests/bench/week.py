"""A week of Dagster's own records: size on a disk and times of the pages' queries, before retention and after it.

Belongs here: one real run of each kind, whose records are written again for a week of runs; ticks; the nightly job
`retention`; and the queries of the pages, asked of Dagster's own webserver. SQLite, as on one machine.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

from medallion_assets.definitions import defs
from medallion_assets_tests.bench.webserver import ask, environment, webserver
from medallion_assets_tests.defs.runs import incremental_run, observe, today
from medallion_assets_tests.defs.shop import capture, customer, order, product

DAYS: Final = 7
MINUTES_BETWEEN: Final = {"refresh": 4, "observe": 4, "maintenance": 60}
"""Between two runs of a job. A busier pipeline has more runs; the sizes are in proportion."""
TICK_SECONDS: Final = 5
CURSOR_BYTES: Final = 600
REPEATS: Final = 5

_TICKS: Final = ("SKIPPED", "SUCCESS")
_CHECK_TIMES: Final = ("evaluation_event_timestamp", "create_timestamp")

_QUERIES: Final = {
    "runs": """{ runsFeedOrError(limit: 30, view: RUNS) { ... on RunsFeedConnection { hasMore results {
        id runStatus creationTime startTime endTime tags { key value } jobName } } } }""",
    "a run": """{ logsForRun(runId: "THIS_RUN", limit: 1000) { ... on EventConnection { hasMore
        events { __typename } } } }""",
    "assets": """{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId timestamp }
        partitionStats { numMaterialized numFailed } assetChecksOrError { ... on AssetChecks {
        checks { name executionForLatestMaterialization { status } } } } } }""",
    "an asset": """{ assetNodeOrError(assetKey: {path: ["silver", "orders"]}) { ... on AssetNode {
        assetMaterializations(limit: 100) { runId timestamp partition metadataEntries { label } }
        assetPartitionStatuses { __typename } } } }""",
    "a check": """{ assetCheckExecutions(assetKey: {path: ["silver", "orders"]}, checkName: "keys", limit: 25) {
        id status timestamp } }""",
    "a sensor": """{ sensorOrError(sensorSelector: {repositoryLocationName: "medallion_assets.definitions",
        repositoryName: "__repository__", sensorName: "bronze_arrivals"}) { ... on Sensor { sensorState {
        selectorId ticks(limit: 50) { id status timestamp runIds } } } } }""",
}


def run() -> Iterator[dict[str, Any]]:
    """Sizes and times of a week, with what `retention` leaves beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "dagster"
        home.mkdir()
        shutil.copy(Path(__file__).parents[2] / "dagster.yaml", home)
        templates = _side("runs", folder=folder)
        _write_week(home, templates)
        with webserver(folder) as url:
            sensor = ask(url, _QUERIES["a sensor"])["data"]["sensorOrError"]["sensorState"]["selectorId"]
        _side("ticks", sensor, folder=folder)
        before, sizes_before = _ask(folder, templates["refresh"]), _sizes(home)
        left = _side("retention", sensor, folder=folder)
        after, sizes_after = _ask(folder, templates["refresh"]), _sizes(home)
    what = f"after retention, which took {left['cpu_seconds']:.0f} s of the processor"
    for part, size in sizes_before.items():
        yield _figure(f"week, {part}", size / 2**20, sizes_after[part] / 2**20, "MB", left["peak_mb"], what)
    for page, seconds in before.items():
        yield _figure(f"week, page of {page}", seconds, after[page], "s", left["peak_mb"], what)


def _figure(work: str, ours: float, other: float, unit: str, peak_mb: int, what: str) -> dict[str, Any]:
    ratio = round(other / ours, 2) if ours else None
    figure = {"work": work, "ours": round(ours, 3), "other": round(other, 3), "unit": unit, "ratio": ratio}
    return {**figure, "peak_mb": peak_mb, "what_other_is": what}


def _write_week(home: Path, templates: dict[str, str]) -> None:
    """Write the records of each run again, once for every run of the week, oldest first, and the ticks."""
    end = datetime.now(UTC).replace(tzinfo=None)
    start = end - timedelta(days=DAYS)
    due = sorted(
        (start + timedelta(minutes=minute), job)
        for job, between in MINUTES_BETWEEN.items()
        for minute in range(0, DAYS * 1440, between)
    )
    with (
        closing(sqlite3.connect(home / "history" / "runs.db")) as runs,
        closing(sqlite3.connect(home / "history" / "runs" / "index.db")) as index,
    ):
        copiers = {
            job: [
                Copier(runs, "runs", "run_id", run_id, ("create_timestamp", "update_timestamp")),
                Copier(runs, "run_tags", "run_id", run_id, ()),
                Copier(index, "event_logs", "run_id", run_id, ("timestamp",)),
                Copier(index, "asset_check_executions", "run_id", run_id, _CHECK_TIMES),
            ]
            for job, run_id in templates.items()
        }
        for at, job in due:
            run_id = str(uuid.uuid4())
            for copier in copiers[job]:
                copier.write(run_id, at)
            for path in (home / "history" / "runs" / f"{templates[job]}.db", home / "storage" / templates[job]):
                target = Path(str(path).replace(templates[job], run_id))
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
        runs.commit()
        index.commit()


class Copier:
    """Writes the rows of a table whose `name` is `value` again, with another value and another time."""

    def __init__(self, database: sqlite3.Connection, table: str, name: str, value: str, times: Sequence[str]) -> None:
        found = database.execute(f"SELECT * FROM {table} WHERE {name} = ? ORDER BY id", [value])
        self._columns = [column for column, *_ in found.description]
        self._rows, self._value, self._times, self._database = found.fetchall(), value, times, database
        self._insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(self._columns))})"

    def write(self, value: str, at: datetime) -> None:
        """Write the rows once more."""

        def new(column: str, old: object) -> object:
            if column == "id":
                return None
            if column in self._times:
                return at.isoformat(" ", "microseconds")
            return old.replace(self._value, value) if isinstance(old, str) else old

        rows = [[new(*one) for one in zip(self._columns, row, strict=True)] for row in self._rows]
        self._database.executemany(self._insert, rows)


def _write_ticks(instance: dg.DagsterInstance, sensor: str) -> None:
    """Write a tick of the sensor every TICK_SECONDS; it starts a run in one of 48, and sees no change in the others."""
    for status in _TICKS:
        skipped = status == "SKIPPED"
        instance.create_tick(
            TickData(
                instigator_origin_id=sensor,
                instigator_name="bronze_arrivals",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus(status),
                timestamp=0.0,
                selector_id=sensor,
                run_ids=[] if skipped else [str(uuid.uuid4())],
                skip_reason="No new objects in Bronze." if skipped else None,
                cursor="x" * CURSOR_BYTES,
            )
        )
    start = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=DAYS)
    with closing(sqlite3.connect(Path(os.environ["DAGSTER_HOME"], "schedules", "schedules.db"))) as database:
        copiers = {status: Copier(database, "job_ticks", "status", status, ("timestamp",)) for status in _TICKS}
        for number in range(DAYS * 86_400 // TICK_SECONDS):
            status = "SKIPPED" if number % 48 else "SUCCESS"
            copiers[status].write(status, start + timedelta(seconds=number * TICK_SECONDS))
        database.commit()


def _sizes(home: Path) -> dict[str, int]:
    """Return bytes by part. A page of SQLite that is free counts as used only where it is not used again."""
    parts = {
        "runs": [home / "history" / "runs.db"],
        "events and checks": [home / "history" / "runs" / "index.db"],
        "events by run": [path for path in (home / "history" / "runs").glob("*.db") if path.name != "index.db"],
        "compute logs": [path for path in (home / "storage").rglob("*") if path.is_file()],
        "ticks": [home / "schedules" / "schedules.db"],
    }
    return {part: sum(_used(path) for path in paths) for part, paths in parts.items()}


def _used(path: Path) -> int:
    if path.name not in {"runs.db", "index.db", "schedules.db"}:
        return path.stat().st_size
    with closing(sqlite3.connect(path)) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _ask(folder: Path, run_id: str) -> dict[str, float]:
    """Return the median seconds of each page's query."""
    seconds: dict[str, list[float]] = {page: [] for page in _QUERIES}
    with webserver(folder) as url:
        for _ in range(REPEATS):
            for page, query in _QUERIES.items():
                start = time.perf_counter()
                ask(url, query.replace("THIS_RUN", run_id))
                seconds[page].append(time.perf_counter() - start)
    return {page: statistics.median(found) for page, found in seconds.items()}


def _side(*side: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.week", *side]
    done = subprocess.run(command, check=True, env=environment(folder), stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(side: str, *sensor: str) -> dict[str, Any]:
    """Run one side in the process whose environment names the instance and the lake."""
    definitions = defs()
    with dg.DagsterInstance.get() as instance:
        if side == "runs":
            capture(customer("c1"), product("p1"), order("o1"))
            refreshed = incremental_run(definitions, instance, today())
            observed = observe(definitions, instance)
            maintained = definitions.resolve_job_def("maintenance").execute_in_process(instance=instance)
            return {"refresh": refreshed.run_id, "observe": observed.run_id, "maintenance": maintained.run_id}
        if side == "ticks":
            _write_ticks(instance, *sensor)
            return {}
        start = time.process_time()
        if not definitions.resolve_job_def("retention").execute_in_process(instance=instance).success:
            raise RuntimeError("the job retention failed; its log is on the error stream")
        for status, days in instance.get_tick_retention_settings(InstigatorType.SENSOR).items():  # as the daemon
            before = (datetime.now(UTC) - timedelta(days=days)).timestamp()
            instance.purge_ticks(sensor[0], sensor[0], before, [status])
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {"cpu_seconds": time.process_time() - start, "peak_mb": peak_mb}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
