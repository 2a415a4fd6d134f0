"""What deletions and updates cost a reader of Silver: DuckDB, pyiceberg, and Trino and Spark where Java is found.

Two tables hold the same live rows: Silver, from which deleted rows are gone, and one with tombstones, whose deleted
rows stay and are left out by `WHERE NOT is_deleted`. Both are made by our own merges, and are read before and after our
own compaction. Each engine runs in a process of its own; its peak memory is that process's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets_tests.real_engines.java import SPARK, TRINO, JavaMissing, find_java
from medallion_assets_tests.real_engines.spark import PYTHON, run_spark
from medallion_assets_tests.real_engines.trino import run_trino

ROWS, FILE_ROWS = 4_000_000, 1_000_000
MERGES = 16
UPDATES, DELETES = 50_000, 12_500
REPEATS = 5
ENGINES = ("duckdb", "pyiceberg", "trino", "spark")

_ROW = """
    SELECT md5(({number})::VARCHAR) AS id, 'C' || ({number}) % 50000 AS customer,
        ({sequence} % 100000 / 100)::DECIMAL(12, 2) AS amount, ['new', 'paid', 'sent'][1 + ({sequence}) % 3] AS status,
        TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_seconds(({number}) % 8000000) AS changed_at,
        lpad(({sequence})::VARCHAR, 40, '0') AS _sequence_number
"""
_QUERIES = {
    "count": "SELECT count(*) FROM {rows}",
    "group": "SELECT status, count(*), sum(amount) FROM {rows} WHERE amount < 500 GROUP BY status",
    "distinct": "SELECT count(DISTINCT customer) FROM {rows}",
}
_STATES = ("merged", "compacted")
_TABLES = ("orders", "tombstones")

Reader = Callable[[str, str, int], Callable[[], object]]
"""From a query, a table and a snapshot to what runs it."""


def run() -> Iterator[dict[str, Any]]:
    """Read 3.8 million live rows, with 20 % updated and 5 % deleted, by every engine that is there."""
    with tempfile.TemporaryDirectory() as folder:
        _side("build", folder)
        for engine in filter(_is_there, ENGINES):
            found = _side(engine, folder)
            yield from _figures(engine, found["seconds"], found["peak_mb"])


def _figures(engine: str, seconds: Mapping[str, float], peak_mb: int) -> Iterator[dict[str, Any]]:
    for query in _QUERIES:
        work, ours = f"scan-{engine}-{query}", {state: seconds.get(f"orders {state} {query}") for state in _STATES}
        if ours["merged"] is not None and ours["compacted"] is not None:
            what = "the same table after our compaction"
            yield _figure(work, ours["merged"], ours["compacted"], peak_mb, what)
        for state in _STATES:
            one, other = ours[state], seconds.get(f"tombstones {state} {query}")
            if one is not None and other is not None:
                what = f"the same live rows, deleted ones kept and left out by NOT is_deleted; both {state}"
                yield _figure(f"{work}-{state}-tombstones", one, other, peak_mb, what)


def _figure(work: str, ours: float, other: float, peak_mb: int, what: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 3),
        "other": round(other, 3),
        "unit": "s",
        "ratio": round(other / ours, 2),
        "peak_mb": peak_mb,
        "what_other_is": what,
    }


def _is_there(engine: str) -> bool:
    try:
        if engine == "trino":
            find_java(TRINO, "Trino")
        if engine == "spark":
            find_java(SPARK, "Spark")
            return PYTHON.exists()
    except JavaMissing as missing:
        sys.stderr.write(f"{engine} is not measured: {missing}\n")
        return False
    return True


def _side(side: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.scan", side, folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _build(lake: Lake) -> dict[str, list[int]]:
    """Make both tables. Return the snapshots of each: before its compaction, and after."""
    return {name: _build_table(lake, name) for name in _TABLES}


def _build_table(lake: Lake, name: str) -> list[int]:
    kept = name == "tombstones"
    with duckdb.connect() as source:

        def rows(numbers: str, sequence: str, *, deleted: bool = False) -> pa.Table:
            more = f", {deleted} AS is_deleted" if kept else ""
            sql = _ROW.format(number="i", sequence=sequence) + f"{more} FROM range({numbers}) r(i)"
            return source.execute(sql).to_arrow_table()

        first = rows("0, 1", "i + 1")
        table = lake.ensure("silver", name, first.schema, key=["id"])
        for start in range(0, ROWS, FILE_ROWS):
            _merge(lake, table, rows(f"{start}, {start + FILE_ROWS}", "i + 1"))
        step = ROWS // (UPDATES + DELETES)
        for merge in range(MERGES):
            # One change in `step` rows, another row in each merge; one change in five is a deletion.
            changed = rows(f"{merge % step}, {ROWS}, {step}", f"{ROWS} * {merge + 1} + i")
            gone = rows(f"{merge % step}, {ROWS}, {step * 5}", f"{ROWS} * {merge + 1} + i", deleted=True)
            source.register("changed", changed)
            source.register("gone", gone)
            live = source.execute("FROM changed WHERE id NOT IN (SELECT id FROM gone)").to_arrow_table()
            if kept:
                _merge(lake, table, pa.concat_tables([live, gone]))
            else:
                _merge(lake, table, live, removals=gone.select(["id", "_sequence_number"]))
    table.refresh()
    merged = table.metadata.current_snapshot_id
    compacted = compact(lake, table)
    if merged is None or compacted is None or compacted.snapshot_id is None:
        raise RuntimeError(f"{name} was not compacted")
    return [merged, compacted.snapshot_id]


def _merge(lake: Lake, table: Table, rows: pa.Table, *, removals: pa.Table | None = None) -> None:
    publish(lake, table, stage_merge(lake, table, rows, key=["id"], removals=removals))


def _measure(engine: str, lake: Lake, folder: Path) -> tuple[dict[str, float], int]:
    """Return the median of several rounds over everything, and the peak memory in MB.

    In rounds, so that other work on the machine falls on all alike.
    """
    snapshots: dict[str, list[int]] = json.loads((folder / "snapshots.json").read_text())
    times: dict[str, list[float]] = {}
    with _reader(engine, lake, folder) as reader:
        cases = {
            f"{name} {state} {query}": reader(query, name, number)
            for name, numbers in snapshots.items()
            for state, number in zip(_STATES, numbers, strict=True)
            for query in _QUERIES
            if engine != "pyiceberg" or (name, query) == ("orders", "count")
        }
        for repeat in range(REPEATS + 1):
            for case, read in cases.items():
                start = time.perf_counter()
                read()
                if repeat:  # the first round warms up
                    times.setdefault(case, []).append(time.perf_counter() - start)
        peak_mb = _peak_mb()
    return {case: statistics.median(measured) for case, measured in times.items()}, peak_mb


@contextmanager
def _reader(engine: str, lake: Lake, folder: Path) -> Iterator[Reader]:
    match engine:
        case "duckdb":
            with lake.duckdb() as connection:

                def run_sql(sql: str) -> object:
                    return connection.execute(sql).fetchall()

                yield lambda query, name, snapshot: partial(
                    run_sql, _sql(query, name, lake.scan_sql(lake.table("silver", name), snapshot))
                )
        case "pyiceberg":
            yield lambda _, name, snapshot: lake.table("silver", name).scan(snapshot_id=snapshot).count
        case "trino":
            with run_trino(folder / "trino") as trino:
                catalog = trino.add_lake(lake.settings)
                yield lambda query, name, snapshot: partial(
                    trino.run, _sql(query, name, f"{catalog}.silver.{name} FOR VERSION AS OF {snapshot}")
                )
        case _:
            (folder / "spark").mkdir()
            with run_spark(folder / "spark") as spark:
                spark.use(lake.settings)
                yield lambda query, name, snapshot: partial(
                    spark.run, _sql(query, name, f"lake.silver.{name} VERSION AS OF {snapshot}")
                )


def _peak_mb() -> int:
    """Return the greatest peak of this process and of those that it started, such as an engine's Java."""
    parents, peaks = {}, {}
    for file in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has just ended
            said = dict(line.split(":", 1) for line in file.read_text().splitlines())
            parents[int(said["Pid"])] = int(said["PPid"])
            peaks[int(said["Pid"])] = int(said.get("VmHWM", "0 kB").split()[0]) // 1024
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return max(peaks[pid] for pid in ours)


def _sql(query: str, name: str, rows: str) -> str:
    where = " WHERE NOT is_deleted" if name == "tombstones" else ""
    return _QUERIES[query].format(rows=f"(SELECT * FROM {rows}{where}) r")


def main() -> None:
    """Run one side, and print what it measured."""
    side, folder = sys.argv[1], Path(sys.argv[2])
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-west-1")) as lake:
        if side == "build":
            (folder / "snapshots.json").write_text(json.dumps(_build(lake)))
            json.dump({}, sys.stdout)
            return
        seconds, peak_mb = _measure(side, lake, folder)
    json.dump({"seconds": seconds, "peak_mb": peak_mb}, sys.stdout)


if __name__ == "__main__":
    main()
