"""Milliseconds (p95) of `medallion serve`: a saved query for 32 callers at once, a SELECT over a million Silver rows.

Beside each: the same SELECT by DuckDB in this process, and a plain scan with pyiceberg for every request. The server is
a process of its own; the callers are threads of this one, so on a machine of two cores both share them.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from medallion_assets.engines.embedded import Embedded
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.local.processes import free_port, port_is_open
from medallion_assets.silver.table import VERSION, ensure_silver_table, silver_schema
from medallion_assets_tests.bench.webserver import environment
from medallion_assets_tests.gold.shop import DOMAIN, NOW, Shop

CALLERS, CALLS, ROWS, TURNS = 32, 100, 1_000_000, 40
_SAVED: Final = "/v1/queries/sales_by_region?since=2026-01-01"
_SAVED_SQL: Final = """SELECT region, SUM(order_count) AS orders, SUM(total_revenue) AS revenue
    FROM gold.daily_sales_by_region WHERE order_date >= DATE '2026-01-01' GROUP BY region ORDER BY region"""
_AD_HOC: Final = """SELECT customer_region, count(*) AS orders, sum(total_amount) AS revenue FROM silver.orders
    WHERE status = 'pending' GROUP BY customer_region ORDER BY customer_region"""


def run() -> Iterator[dict[str, Any]]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-central-1")
        with Lake.open(settings) as lake:
            _fill(lake)
            with _server(folder) as (port, process):
                saved = _p95(_callers(port))
                ad_hoc = _p95(_asked(port))
                peak_mb = _peak_mb(process.pid)
            in_process = _p95(_timed(lambda: _embedded(lake, _SAVED_SQL)))
            yield _figure(
                f"serve: saved query, {CALLERS} callers", saved, in_process, peak_mb, "DuckDB in process, one"
            )
            for other, what in (
                (_timed(lambda: _embedded(lake, _AD_HOC)), "DuckDB in process, one"),
                (_timed(lambda: _scan(lake)), "a scan with pyiceberg, one"),
            ):
                yield _figure("serve: SELECT over 1 million rows", ad_hoc, _p95(other), peak_mb, what)


def _fill(lake: Lake) -> None:
    """Write a million orders of 300 days and four regions, and the mart over them."""
    contract = DOMAIN.by_name["orders"]
    table = ensure_silver_table(lake, contract, schema := silver_schema(contract, DOMAIN))
    with lake.duckdb() as connection:
        rows = connection.execute(
            f"""
            SELECT 'o' || i AS order_id, 'c' || i % 5000 AS customer_id, ['p' || i % 100] AS product_ids,
                TIMESTAMPTZ '2025-05-01 12:00:00+00' + to_days((i % 300)::INT) AS order_date,
                ((i % 9000) / 100)::DECIMAL(12, 2) AS total_amount,
                ['pending', 'shipped', 'cancelled'][i % 3 + 1] AS status, 'Customer' AS customer_name,
                ['North', 'East', 'South', 'West'][i % 4 + 1] AS customer_region,
                ? AS _stream_created_at, lpad(i::VARCHAR, 40, '0') AS _sequence_number, 'e' || i AS _event_id,
                ? AS _changed_at, ? AS _captured_at
            FROM range({ROWS}) t (i)""",
            [NOW, NOW, NOW],
        ).to_arrow_table()
    missing = {field.name: pa.nulls(ROWS, field.type) for field in schema if field.name not in rows.column_names}
    for name, nulls in missing.items():
        rows = rows.append_column(name, nulls)
    none = pa.schema([schema.field(one) for one in ("order_id", *VERSION)]).empty_table()
    rows = rows.select(schema.names).cast(schema)
    publish(lake, table, stage_merge(lake, table, rows, removals=none, key=["order_id"], order_by=VERSION))
    Shop(lake).refresh("daily_sales_by_region")


@contextmanager
def _server(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "medallion_assets.serving", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log)
        try:
            while not port_is_open(port):
                if process.poll() is not None:
                    raise RuntimeError((folder / "serve.log").read_text())
                time.sleep(0.1)
            yield port, process
        finally:
            process.terminate()
            process.wait(60)


def _callers(port: int) -> list[float]:
    """Return the milliseconds of every call of callers who all ask at once, again and again."""
    found: list[float] = []

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        _timed_request(connection, "GET", _SAVED)
        found.extend([_timed_request(connection, "GET", _SAVED) for _ in range(CALLS)])

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _asked(port: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"sql": _AD_HOC})
    return [_timed_request(connection, "POST", "/v1/sql", body) for _ in range(TURNS)]


def _timed_request(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> float:
    began = time.perf_counter()
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status} {content.decode()}")
    return (time.perf_counter() - began) * 1000


def _timed(act: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(TURNS):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _embedded(lake: Lake, sql: str) -> object:
    with Embedded(lake) as session:
        return session.run_published(sql, today=date(2026, 3, 15))


def _scan(lake: Lake) -> object:
    columns = ("customer_region", "total_amount")
    rows = lake.table("silver", "orders").scan(row_filter="status = 'pending'", selected_fields=columns).to_arrow()
    return rows.group_by("customer_region").aggregate([("total_amount", "sum"), ("total_amount", "count")])


def _p95(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=20)[18]


def _peak_mb(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    raise RuntimeError("no VmHWM")


def _figure(work: str, ours: float, other: float, peak_mb: int, what: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 1),
        "other": round(other, 1),
        "unit": "ms (p95)",
        "ratio": round(other / ours, 2),
        "peak_mb": peak_mb,
        "what_other_is": what,
    }
