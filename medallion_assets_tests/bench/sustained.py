"""3,000 changes a second for ten minutes: from a Bronze object to published Gold, on the demo's own stack.

Belongs here: the arrival, and how long each change took. The local AWS is one Python process and takes some hundred
writes a second, so the changes do not pass DynamoDB: they are put as Bronze objects, as capture does, of 700 changes.
Everything after that is the stack's: sensor, runs, audits, marts.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from medallion_assets.capture.envelope import Row, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.demo import Demo
from medallion_assets.local.latency import gold_times
from medallion_assets.local.stack import Stack, directly, run_stack
from medallion_assets_tests.bench.throughput import SHARES, changes_of

RATE, SECONDS = 3_000, 600
OBJECT_ROWS: Final = 700
PATIENCE_SECONDS: Final = 600.0


@dataclass(frozen=True)
class _Arrival:
    """An object, whose changes all happened at `at`."""

    table: str
    path: str
    at: datetime


def run() -> list[dict[str, Any]]:
    """Let the changes arrive, wait until Gold has them all, and give the latencies of all and of the second half."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack("ecommerce", state=Path(folder), through=directly) as stack,
        Lake.open(stack.settings.lake()) as lake,
    ):
        demo = Demo(stack, lake, seed=0)
        demo.load()  # so that every table and every mart exists
        for _ in demo.catch_up():
            pass
        arrivals = _arrive(open_store(stack.settings.bronze))
        ended = time.monotonic()
        latencies = _wait(stack, lake, arrivals)
        behind = time.monotonic() - ended
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    figures = []
    for name, share in (("p50", 0.50), ("p95", 0.95)):
        whole, second = (_percentile(part, share) for part in (latencies, latencies[len(latencies) // 2 :]))
        figures.append(
            {
                "work": f"sustained, {name} of {len(arrivals) * OBJECT_ROWS:,} changes at {RATE:,}/s",
                "ours": round(whole, 1),
                "other": round(second, 1),
                "unit": "s from Bronze to Gold",
                "ratio": round(second / whole, 2),
                "peak_mb": peak_mb,
                "what_other_is": f"the same of the second half; all was in Gold {behind:.0f} s after the last change; "
                f"the changes arrived in {(arrivals[-1].at - arrivals[0].at).total_seconds():.0f} s",
            }
        )
    return figures


def _arrive(store: BronzeStore) -> list[_Arrival]:
    """Put the changes of each second when the second is over."""
    arrivals = []
    with duckdb.connect() as source:
        keys = {table: RATE * SECONDS * share // 100 // 2 for table, share in SHARES.items()}
        coming = {table: changes_of(source, table, count, keys, rows=OBJECT_ROWS) for table, count in keys.items()}
        begun, due = time.monotonic(), dict.fromkeys(SHARES, 0)
        for second in range(1, SECONDS + 1):
            time.sleep(max(0.0, begun + second - time.monotonic()))
            for table, share in SHARES.items():
                due[table] += RATE * share // 100
                while due[table] >= OBJECT_ROWS:
                    due[table] -= OBJECT_ROWS
                    arrivals.append(_put(store, table, next(coming[table])))
    return arrivals


def _put(store: BronzeStore, table: str, rows: list[Row]) -> _Arrival:
    now = datetime.now(UTC)
    first = int(rows[0].sequence_number)
    created = int(now.timestamp() * 1_000_000)
    rows = [row._replace(approximate_creation_us=created) for row in rows]
    path = ObjectName(table, now, first, f"{first % 16**16:016x}").path
    store.put(path, to_parquet(rows, captured_at=now))
    return _Arrival(table, path, now)


def _wait(stack: Stack, lake: Lake, arrivals: list[_Arrival]) -> list[float]:
    """Return how many seconds each object took to be in every mart over its table, once all are."""
    marts, until = load_marts(stack.domain), time.monotonic() + PATIENCE_SECONDS
    while True:
        reached: dict[str, datetime] = {}
        read: set[str] = set()
        for contract in stack.domain.tables:
            readers = [mart for mart in marts if contract.lake_name in mart.tables]
            if readers:
                reached |= gold_times(lake, contract, readers)
                read.add(contract.table)
        # Changes of a table that no mart reads reach Gold only as enrichment of other rows.
        counted = [one for one in arrivals if one.table in read]
        waiting = sum(one.path not in reached for one in counted)
        if not waiting:
            return [(reached[one.path] - one.at).total_seconds() for one in counted]
        stack.check()
        if time.monotonic() > until:
            raise RuntimeError(f"{waiting} objects are not in Gold {PATIENCE_SECONDS:.0f} s after the last change")
        time.sleep(5)


def _percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * (len(seconds) - 1))]
