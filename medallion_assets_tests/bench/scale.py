"""Micro-batches merged into 100 million rows in month partitions, and scans of them, beside a tenth of the rows.

Belongs here: one table of twelve months whose keys are hashes, so that every file can have every key; the changes are
recent ones for the most part. Needs 5 GB of disk and ten minutes of two cores, so it runs only when it is named. Each
side runs in a process of its own, so that the peak is its own.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.maintenance import compact, expire
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data

ROWS, FILE_ROWS, MONTHS = 100_000_000, 1_000_000, 12
BATCHES, CHANGES, REPEATS = 24, 1_000, 3

_ROW: Final = """
    SELECT md5(n::VARCHAR) AS id, 'C' || n % 5000000 AS customer, (n % 100000 / 100)::DECIMAL(12, 2) AS amount,
        ['new', 'paid', 'sent'][1 + number % 3] AS status,
        TIMESTAMPTZ '2025-01-15 00:00:00Z' + to_months((n * {months} // {rows})::INTEGER) AS ordered_at,
        lpad(number::VARCHAR, 40, '0') AS _sequence_number
    FROM (SELECT {number} AS n, {first} + i AS number FROM range({count}) r(i))
"""
_SCANS: Final = {
    "every row": "SELECT status, count(*), sum(amount) FROM {rows} GROUP BY status",
    "a month": "SELECT status, count(*), sum(amount) FROM {rows} WHERE ordered_at >= '2025-12-01' GROUP BY status",
}


def run() -> Iterator[dict[str, Any]]:
    """Compare 100 million rows with 10 million."""
    large, small = _measure(ROWS), _measure(ROWS // 10)
    for work, value in large["seconds"].items():
        yield {
            "work": f"scale, {work}",
            "ours": round(value, 2),
            "other": round(small["seconds"][work], 2),
            "unit": "s of CPU",
            "ratio": round(value / small["seconds"][work], 1) if small["seconds"][work] else None,
            "peak_mb": large["peak_mb"][work.split(":")[0]],
            "what_other_is": f"the same with a tenth of the rows; {large['files']} files, {large['bytes']:,} bytes",
        }


def _measure(rows: int) -> dict[str, Any]:
    found: dict[str, Any] = {"seconds": {}, "peak_mb": {}}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("build", "merge", "scan"):
            command = [sys.executable, "-m", "medallion_assets_tests.bench.scale", side, folder, str(rows)]
            done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            found["peak_mb"][side] = done.pop("peak_mb")
            found["seconds"] |= done.pop("seconds")
            found |= done
    return found


def _rows(source: duckdb.DuckDBPyConnection, rows: int, *, first: int, count: int, number: str) -> pa.Table:
    query = _ROW.format(months=MONTHS, rows=rows, first=first, count=count, number=number)
    return source.execute(query).to_arrow_table()


def _build(lake: Lake, rows: int) -> dict[str, float]:
    start = time.process_time()
    with duckdb.connect() as source:
        for first in range(0, rows, FILE_ROWS):
            part = _rows(source, rows, first=first, count=min(FILE_ROWS, rows - first), number=f"{first} + i")
            table = lake.ensure("silver", "orders", part.schema, key=["id"], partition_by=[("ordered_at", "month")])
            contents = Contents.of(table, table.metadata.current_snapshot_id)
            files = write_data(table, part, sort_by=["id"], prune_by=["id", "_sequence_number"])
            publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))
        expire(lake, table, older_than=timedelta(0))
    return {"build": time.process_time() - start}


def _merge(lake: Lake, table: Table, rows: int) -> dict[str, float]:
    """Merge micro-batches: of ten changes one is a new row, six are of the last month's rows, three of any."""
    old = f"CASE WHEN i % 10 < 7 THEN {rows} - 1 - hash(i + {{first}}) % {rows // MONTHS} "
    old += f"ELSE hash(i + {{first}}) % {rows} END::BIGINT"
    merges, compactions, waits = [], [], []
    with duckdb.connect() as source:
        for batch in range(BATCHES):
            first = rows + batch * CHANGES
            number = f"CASE WHEN i % 10 = 0 THEN {first} + i ELSE {old.format(first=first)} END"
            source.register("changes", _rows(source, rows, first=first, count=CHANGES, number=number))
            latest = source.execute("FROM changes QUALIFY row_number() OVER (PARTITION BY id) = 1").to_arrow_table()
            start = time.process_time()
            publish(lake, table, stage_merge(lake, table, latest, key=["id"]))
            merges.append(time.process_time() - start)
            start, began = time.process_time(), time.perf_counter()
            compact(lake, table, order_by=["_sequence_number"])
            compactions.append(time.process_time() - start)
            waits.append(time.perf_counter() - began)
    return {
        "merge: median": statistics.median(merges),
        "merge: longest": max(merges),
        "merge: compaction, a batch": statistics.mean(compactions),
        "merge: longest wait for a compaction": max(waits),
    }


def _scan(lake: Lake, table: Table) -> dict[str, float]:
    found = {}
    with lake.duckdb() as connection:
        for what, query in _SCANS.items():
            seconds = []
            for _ in range(REPEATS):
                start = time.process_time()
                connection.execute(query.format(rows=lake.scan_sql(table, None))).fetchall()
                seconds.append(time.process_time() - start)
            found[f"scan: {what}"] = statistics.median(seconds)
    return found


def main(side: str, folder: str, rows: int) -> dict[str, Any]:
    """Run one side, and return its seconds, its peak and what the table has."""
    with Lake.open(LakeSettings(warehouse=folder, catalog="sqlite", region="eu-central-1")) as lake:
        if side == "build":
            seconds = _build(lake, rows)
        else:
            table = lake.table("silver", "orders")
            seconds = _merge(lake, table, rows) if side == "merge" else _scan(lake, table)
        table = lake.table("silver", "orders")
        contents = Contents.of(table, table.metadata.current_snapshot_id)
        files = [*contents.data_files(), *contents.delete_files()]
        return {
            "seconds": seconds,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "files": len(files),
            "bytes": sum(file.file_size_in_bytes for file in files),
        }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
