"""How long a merge takes and how much memory, beside pyiceberg's Table.upsert on the same table with the same changes.

Each side runs in a process of its own, so that the peak is its own. The tables are on files; keys are hashes, so every
file can hold every key and nothing is won by clustering.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data

CHANGES = 100_000
NEW_SHARE = 0.15
COMPOSITE_CHANGES = 20_000
# pyiceberg builds one expression per key pair: 5,000 pairs took 34 s, 20,000 over six minutes.
COMPOSITE_UPSERTS = 2_000
REPEATS = 3
FILE_ROWS = 1_000_000

_ROW = """
    SELECT md5(({number})::VARCHAR) AS id, 'L' || ({number}) % 10 AS line, 'C' || ({number}) % 50000 AS customer,
           (({number}) % 100000 / 100)::DECIMAL(18, 2) AS amount, ['new', 'paid', 'sent'][1 + ({number}) % 3] AS status,
           TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(({number}) % 8000000) AS changed_at,
           lpad(({sequence})::VARCHAR, 40, '0') AS _sequence_number, false AS _deleted
"""


def merge_10m() -> list[dict[str, Any]]:
    """100,000 changes, 85 % of them updates, into 10 million rows; and the same beside a table of 1 million."""
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, 10_000_000)
        line = _compare(folder, "merge-10m", 10_000_000)
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, 1_000_000)
        small = _ours(folder, 1_000_000)["seconds"]
    growth = {
        **line,
        "work": "merge-10m-over-1m",
        "other": round(small, 3),
        "ratio": round(small / line["ours"], 2),
        "what_other_is": "our own merge of as many changes into 1 million rows; a ratio of at least 0.33 is asked for",
    }
    return [line, growth]


def merge_1m() -> list[dict[str, Any]]:
    """100,000 changes, 85 % of them updates, into 1 million rows."""
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, 1_000_000)
        return [_compare(folder, "merge-1m", 1_000_000)]


def merge_composite() -> list[dict[str, Any]]:
    """20,000 changes on a key of two columns into 1 million rows."""
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, 1_000_000)
        line = _compare(folder, "merge-composite", 1_000_000)
    line["what_other_is"] = f"pyiceberg Table.upsert with {COMPOSITE_UPSERTS:,} of the {COMPOSITE_CHANGES:,} changes"
    return [line]


def _compare(folder: str, work: str, size: int) -> dict[str, Any]:
    composite = work == "merge-composite"
    ours = _ours(folder, size, composite=composite)
    upsert = _run("upsert-composite" if composite else "upsert", folder, size)
    return {
        "work": work,
        "ours": round(ours["seconds"], 3),
        "other": round(upsert["seconds"], 3),
        "unit": "s",
        "ratio": round(upsert["seconds"] / ours["seconds"], 1),
        "peak_mb": ours["peak_mb"],
        "what_other_is": f"pyiceberg Table.upsert of the same changes, peak {upsert['peak_mb']} MB",
    }


def _ours(folder: str, size: int, *, composite: bool = False) -> dict[str, Any]:
    """The median of several runs, each on the table as it was built."""
    runs = [_run("merge-composite" if composite else "merge", folder, size) for _ in range(REPEATS)]
    return sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2]


def _run(side: str, folder: str, size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.merge", side, folder, str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _build(lake: Lake, size: int) -> None:
    """Files of a million rows each, as that many loads would leave them."""
    with duckdb.connect() as source:
        for start in range(0, size, FILE_ROWS):
            numbers = f"FROM range({start}, {min(start + FILE_ROWS, size)}) r(i)"
            rows = source.execute(_ROW.format(number="i", sequence="i + 1") + numbers).to_arrow_table()
            table = lake.ensure("silver", "orders", rows.schema)
            _append(lake, table, rows)


def _append(lake: Lake, table: Table, rows: pa.Table) -> None:
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    files = write_data(table, rows, sort_by=["id"], prune_by=["id", "_sequence_number"])
    publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))


def _changes(size: int, count: int) -> pa.Table:
    """Updates spread over all rows, and new rows."""
    updates = int(count * (1 - NEW_SHARE))
    step = size // updates
    number = f"CASE WHEN i < {updates} THEN i * {step} ELSE {size} + i END"
    with duckdb.connect() as source:
        query = _ROW.format(number=number, sequence=f"{size} + i + 1") + f"FROM range({count}) r(i)"
        return source.execute(query).to_arrow_table()


def _side(side: str, folder: str, size: int) -> dict[str, Any]:
    with Lake.open(LakeSettings(warehouse=folder, catalog="sqlite", region="eu-west-1")) as lake:
        if side == "build":
            _build(lake, size)
            return {}
        table = lake.table("silver", "orders")
        base = table.metadata.current_snapshot_id
        composite = side.endswith("composite")
        key = ["id", "line"] if composite else ["id"]
        if side.startswith("merge"):
            rows = _changes(size, COMPOSITE_CHANGES if composite else CHANGES)
            start = time.perf_counter()
            staged = stage_merge(lake, table, rows, key=key)
            publish(lake, table, staged)
            seconds = time.perf_counter() - start
            changed = (staged.inserted, staged.updated)
        else:
            rows = _changes(size, COMPOSITE_UPSERTS if composite else CHANGES).cast(table.schema().as_arrow())
            start = time.perf_counter()
            result = table.upsert(rows, join_cols=key)
            seconds = time.perf_counter() - start
            changed = (result.rows_inserted, result.rows_updated)
        if sum(changed) != rows.num_rows:
            raise RuntimeError(f"{side} inserted and updated {changed}, not {rows.num_rows} rows")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        table.refresh()
        table.manage_snapshots().set_current_snapshot(snapshot_id=base).commit()
        return {"seconds": seconds, "peak_mb": peak_mb}


if __name__ == "__main__":
    json.dump(_side(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
