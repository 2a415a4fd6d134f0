"""From a write in DynamoDB to published Gold: the demo's own stack under steady traffic, every change counted.

What belongs here: the load, the rate and the length of the run. How latency is read from the tables is `local.latency`.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion_assets.capture.store import open_store
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.demo import Demo
from medallion_assets.local.latency import Latency, measure
from medallion_assets.local.stack import directly, run_stack

RATE, SECONDS = 50.0, 60.0
ZERO_ETL_SECONDS = 900
"""The shortest refresh interval AWS documents for DynamoDB zero-ETL into a lakehouse: 15 minutes. Not measured here."""


def run() -> list[dict[str, Any]]:
    """Seconds until a change is in every mart over its table, at 50 writes a second for a minute after the load."""
    latency = measured()
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return [
        {
            "work": f"freshness, {name} of {latency.changes} changes at {RATE:.0f}/s",
            "ours": round(value.total_seconds(), 1),
            "other": ZERO_ETL_SECONDS,
            "unit": "s from write to Gold",
            "ratio": round(ZERO_ETL_SECONDS / value.total_seconds(), 1),
            "peak_mb": peak_mb,
            "what_other_is": "AWS zero-ETL at its shortest documented interval (not measured); peak: largest process",
        }
        for name, value in (("p50", latency.p50), ("p95", latency.p95))
        if value is not None
    ]


def measured(through: Callable[[str], AbstractContextManager[str]] = directly, *, rate: float = RATE) -> Latency:
    """Return the latencies of a minute of traffic on a stack of its own; `through` as in `run_stack`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack("ecommerce", state=Path(folder), through=through) as stack,
        Lake.open(stack.settings.lake()) as lake,
    ):
        demo = Demo(stack, lake, seed=0)
        demo.load()
        for _ in demo.catch_up():
            pass
        since = datetime.now(UTC)
        for _ in demo.live(rate=rate, seconds=SECONDS):
            pass
        return measure(lake, open_store(stack.settings.bronze), stack.domain, load_marts(stack.domain), since=since)
