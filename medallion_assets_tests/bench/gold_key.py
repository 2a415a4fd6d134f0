"""A refresh by key beside the full recompute of the same mart: some keys of a million, in a lake on files.

Each side runs in a process of its own, so that processor time and peak are its own. Both refresh after the same number
of changed orders, which are of customers all over the table. Time is the processor's, of all threads: what else the
machine does does not count. Belongs here: the refresh, from its plan to the published rows.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold import refresh as refresh_module
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import Mart, load_mart
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data
from medallion_assets.silver.table import VERSION, ensure_silver_table, silver_schema

KEYS, ORDERS = 1_000_000, 2_000_000
FEW, MANY = 100, 250_000
"""A quarter is the most that a refresh computes by keys (MOST_KEYS)."""
REPEATS = 3
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DOMAIN = load_domain("ecommerce")
CONTRACT = DOMAIN.by_name["orders"]

_SQL = """SELECT customer_id, COUNT(*) AS orders, SUM(total_amount) AS revenue, MAX(order_date) AS latest
FROM silver.orders GROUP BY customer_id"""
_MART = """owner: team:bench
grain: [customer_id]
partition: {column: customer_id, table: orders, key_of: customer_id}
columns: {customer_id: string, orders: bigint, revenue: 'decimal(38,2)', latest: timestamp}
"""
# An order's customer and its values, by the number `i` of the order and of its version.
_ORDER = """
    SELECT md5(i::VARCHAR) AS order_id, md5((i % {keys})::VARCHAR || 'c') AS customer_id, ['p1'] AS product_ids,
           TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(i % 5000000) AS order_date,
           ((i * 7 + {version}) % 100000 / 100)::DECIMAL(12, 2) AS total_amount, 'pending' AS status,
           'Customer' AS customer_name, 'north' AS customer_region, NULL::VARCHAR AS _extra,
           TIMESTAMPTZ '2026-01-01 00:00:00+00' AS _stream_created_at,
           lpad(({version} * 10000000 + i)::VARCHAR, 40, '0') AS _sequence_number, md5(i::VARCHAR) AS _event_id,
           TIMESTAMPTZ '2026-01-01 00:00:00+00' AS _changed_at, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS _captured_at
"""


def run() -> list[dict[str, Any]]:
    """Refresh 100 of a million keys, and as many as are still refreshed by keys."""
    return [_figure("gold-key", FEW), _figure("gold-key-quarter", MANY)]


def _figure(work: str, affected: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, 0)
        # In turn, so that both meet the same load of the machine.
        runs = [[_run(side, folder, affected) for side in ("keys", "whole")] for _ in range(REPEATS)]
    ours, whole = (sorted(one, key=lambda run: float(run["seconds"]))[REPEATS // 2] for one in zip(*runs, strict=True))
    return {
        "work": work,
        "ours": round(ours["seconds"], 3),
        "other": round(whole["seconds"], 3),
        "unit": "processor s",
        "ratio": round(whole["seconds"] / ours["seconds"], 2),
        "peak_mb": ours["peak_mb"],
        "what_other_is": f"the full recompute of the mart of {KEYS:,} keys; ours computes {affected:,} of them; "
        f"peak {whole['peak_mb']} MB",
    }


def _run(side: str, folder: str, affected: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.gold_key", side, folder, str(affected)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _orders(numbers: str, version: int) -> pa.Table:
    with duckdb.connect() as source:
        rows = source.execute(_ORDER.format(keys=KEYS, version=version) + f"FROM {numbers} r(i)").to_arrow_table()
    return rows.select(silver_schema(CONTRACT, DOMAIN).names).cast(silver_schema(CONTRACT, DOMAIN))


def _build(lake: Lake, mart: Mart) -> None:
    """Two orders of each customer, as a large load leaves them, and the mart computed for the first time."""
    table = ensure_silver_table(lake, CONTRACT, silver_schema(CONTRACT, DOMAIN))
    files = write_data(table, _orders(f"range({ORDERS})", 0), sort_by=CONTRACT.key_names, prune_by=CONTRACT.key_names)
    contents = Contents.of(table, None)
    publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))
    refresh(lake, mart, today=NOW.date(), now=NOW, run_id="build")


def _change(lake: Lake, table: Table, affected: int) -> None:
    """Give one order of each of some customers all over the table another amount."""
    version = 1 + len(table.snapshots())
    step = KEYS // affected
    rows = _orders(f"(SELECT {version % step} + {step} * n FROM range({affected}) numbers(n))", version)
    staged = stage_merge(lake, table, rows, key=CONTRACT.key_names, order_by=VERSION)
    publish(lake, table, staged)


def _side(side: str, folder: Path, affected: int) -> dict[str, Any]:
    (folder / "mart").mkdir(exist_ok=True)
    (folder / "mart" / "mart.yaml").write_text(_MART)
    (folder / "mart" / "query.sql").write_text(_SQL)
    mart = load_mart(folder / "mart", DOMAIN)
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-west-1")) as lake:
        if side == "build":
            _build(lake, mart)
            return {}
        _change(lake, lake.table("silver", "orders"), affected)
        start = time.process_time()
        with patch.object(refresh_module, "MOST_KEYS", 0.0 if side == "whole" else refresh_module.MOST_KEYS):
            result = refresh(lake, mart, today=NOW.date(), now=NOW, run_id=side)
        seconds = time.process_time() - start
        if result.keys != (KEYS if side == "whole" else affected) or not result.published:
            raise RuntimeError(f"expected the refresh of {affected} keys or of all, saw {result.keys}")
        return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


if __name__ == "__main__":
    json.dump(_side(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
