"""3,000 changes a second for ten minutes: from a Bronze object to published Gold, on the demo's own stack.

Belongs here: the arrival, and how long each change took. The local AWS is one Python process and takes some hundred
writes a second, so the changes do not pass DynamoDB: they are put as Bronze objects, as capture does, of 700 changes.
Everything after that is the stack's: sensor, runs, audits, marts.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from medallion_assets.capture.envelope import to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.demo import Demo
from medallion_assets.local.latency import Latency, measure
from medallion_assets.local.stack import Stack, directly, run_stack
from medallion_assets_tests.bench.throughput import SHARES, changes_of

RATE, SECONDS = 3_000, 600
OBJECT_ROWS: Final = 700
PATIENCE_SECONDS: Final = 600.0


def run() -> list[dict[str, Any]]:
    """Let the changes arrive, wait until Gold has them all, and give the latencies of both halves of the time."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack("ecommerce", state=Path(folder), through=directly) as stack,
        Lake.open(stack.settings.lake()) as lake,
    ):
        demo = Demo(stack, lake, seed=0)
        demo.load()  # so that every table and every mart exists
        for _ in demo.catch_up():
            pass
        since = datetime.now(UTC)
        _arrive(open_store(stack.settings.bronze))
        half, ended = since + timedelta(seconds=SECONDS / 2), time.monotonic()
        whole = _wait(stack, lake, since)
        behind = time.monotonic() - ended
        second = _measure(stack, lake, half)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return [
        {
            "work": f"sustained, {name} of {whole.changes:,} changes at {RATE:,}/s",
            "ours": round(latency.total_seconds(), 1),
            "other": round(later.total_seconds(), 1),
            "unit": "s from change to Gold",
            "ratio": round(later / latency, 2),
            "peak_mb": peak_mb,
            "what_other_is": f"the same of the second half; all was in Gold {behind:.0f} s after the last change",
        }
        for name, latency, later in (("p50", whole.p50, second.p50), ("p95", whole.p95, second.p95))
        if latency is not None and later is not None
    ]


def _arrive(store: BronzeStore) -> None:
    """Put the changes of each second when the second is over."""
    with duckdb.connect() as source:
        keys = {table: RATE * SECONDS * share // 100 // 2 for table, share in SHARES.items()}
        arriving = {table: changes_of(source, table, count, keys, rows=OBJECT_ROWS) for table, count in keys.items()}
        begun, due = time.monotonic(), dict.fromkeys(SHARES, 0)
        for second in range(1, SECONDS + 1):
            time.sleep(max(0.0, begun + second - time.monotonic()))
            for table, share in SHARES.items():
                due[table] += RATE * share // 100
                due[table] -= sum(_put(store, table, arriving[table], due[table]))


def _put(store: BronzeStore, table: str, arriving: Iterator[Any], due: int) -> Iterator[int]:
    """Put whole objects while at least one is due, and yield the number of changes of each."""
    while due >= OBJECT_ROWS:
        rows, now = next(arriving), datetime.now(UTC)
        created = int(now.timestamp() * 1_000_000)
        rows = [row._replace(approximate_creation_us=created) for row in rows]
        name = ObjectName(table, now, int(rows[0].sequence_number), f"{int(rows[0].sequence_number) % 16**16:016x}")
        store.put(name.path, to_parquet(rows, captured_at=now))
        due -= len(rows)
        yield len(rows)


def _wait(stack: Stack, lake: Lake, since: datetime) -> Latency:
    until = time.monotonic() + PATIENCE_SECONDS
    while (latency := _measure(stack, lake, since)).waiting:
        stack.check()
        if time.monotonic() > until:
            raise RuntimeError(
                f"{latency.waiting:,} changes are not in Gold {PATIENCE_SECONDS:.0f} s after the last one"
            )
        time.sleep(10)
    return latency


def _measure(stack: Stack, lake: Lake, since: datetime) -> Latency:
    return measure(lake, open_store(stack.settings.bronze), stack.domain, load_marts(stack.domain), since=since)
