"""What deletions and updates cost a reader of Silver: DuckDB, pyiceberg, and Trino and Spark where Java is found.

Two tables hold the same live rows: Silver, from which deleted rows are gone, and one with tombstones, whose deleted
rows stay and are left out by `WHERE NOT _deleted`. Both are made by our own merges, and are read before and after our
own compaction. Each engine runs in a process of its own; its peak memory is that process's.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.maintenance import COMMITS_BETWEEN, compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets_tests.real_engines.java import SPARK, TRINO, JavaMissing, find_java
from medallion_assets_tests.real_engines.spark import PYTHON, run_spark
from medallion_assets_tests.real_engines.trino import run_trino

ROWS, FILE_ROWS = 4_000_000, 1_000_000
MERGES = COMMITS_BETWEEN
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

Ask = Callable[[str], object]


def run() -> list[dict[str, Any]]:
    """Read 3.8 million live rows, with 20 % updated and 5 % deleted, by every engine that is there."""
    with tempfile.TemporaryDirectory() as folder:
        _side("build", folder)
        measured = {engine: _side(engine, folder) for engine in ENGINES if _is_there(engine)}
    figures = []
    for engine, found in measured.items():
        seconds, peak_mb = found["seconds"], found["peak_mb"]
        for query in _QUERIES:
            if f"orders merged {query}" not in seconds:
                continue
            figures.append(
                _figure(
                    f"scan-{engine}-{query}",
                    seconds[f"orders merged {query}"],
                    seconds[f"orders compacted {query}"],
                    peak_mb,
                    "the same table after our compaction",
                )
            )
            if engine != "pyiceberg":
                figures.append(
                    _figure(
                        f"scan-{engine}-{query}-tombstones",
                        seconds[f"orders compacted {query}"],
                        seconds[f"tombstones compacted {query}"],
                        peak_mb,
                        "the same live rows, deleted ones kept and left out by NOT _deleted; both compacted",
                    )
                )
    return figures


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
            more = f", {deleted} AS _deleted" if kept else ""
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
    publish(lake, table, stage_merge(lake, table, rows, key=["id"], branch="audit", removals=removals))


def _measure(engine: str, lake: Lake, folder: Path) -> dict[str, float]:
    snapshots: dict[str, list[int]] = json.loads((folder / "snapshots.json").read_text())
    seconds = {}
    with _asking(engine, lake, folder) as (ask, place):
        for name, numbers in snapshots.items():
            for state, number in zip(_STATES, numbers, strict=True):
                rows = place(name, number)
                where = " WHERE NOT _deleted" if name == "tombstones" else ""
                for query, sql in _QUERIES.items():
                    if engine == "pyiceberg" and (query != "count" or where):
                        continue
                    seconds[f"{name} {state} {query}"] = _seconds(
                        ask, sql.format(rows=f"(SELECT * FROM {rows}{where}) r")
                    )
    return seconds


def _seconds(ask: Ask, sql: str) -> float:
    """Return the median of several runs; one before them is not counted."""
    ask(sql)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask(sql)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextmanager
def _asking(engine: str, lake: Lake, folder: Path) -> Iterator[tuple[Ask, Callable[[str, int], str]]]:
    """Yield a function that runs SQL, and one from a table and a snapshot to the SQL of its rows."""
    match engine:
        case "duckdb":
            with lake.duckdb() as connection:
                yield (
                    lambda sql: connection.execute(sql).fetchall(),
                    lambda name, snapshot: lake.scan_sql(lake.table("silver", name), snapshot),
                )
        case "pyiceberg":
            chosen: dict[str, Callable[[], int]] = {}

            def place(name: str, snapshot: int) -> str:
                chosen["count"] = lake.table("silver", name).scan(snapshot_id=snapshot).count
                return name

            yield lambda sql: chosen["count"](), place
        case "trino":
            with run_trino(folder / "trino") as trino:
                catalog = trino.add_lake(lake.settings)
                yield trino.run, lambda name, snapshot: f"{catalog}.silver.{name} FOR VERSION AS OF {snapshot}"
        case _:
            (folder / "spark").mkdir()
            with run_spark(folder / "spark") as spark:
                spark.use(lake.settings)
                yield spark.run, lambda name, snapshot: f"lake.silver.{name} VERSION AS OF {snapshot}"


def main() -> None:
    """Run one side, and print what it measured."""
    side, folder = sys.argv[1], Path(sys.argv[2])
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-west-1")) as lake:
        if side == "build":
            (folder / "snapshots.json").write_text(json.dumps(_build(lake)))
            json.dump({}, sys.stdout)
            return
        seconds = _measure(side, lake, folder)
    # An engine of Java is the only child of this process, and has ended.
    who = resource.RUSAGE_CHILDREN if side in {"trino", "spark"} else resource.RUSAGE_SELF
    json.dump({"seconds": seconds, "peak_mb": resource.getrusage(who).ru_maxrss // 1024}, sys.stdout)


if __name__ == "__main__":
    main()
