"""From a write to published Gold when every request on S3 and Glue takes its time, beside the same without a delay.

Both stacks run behind the shim, so that it costs both the same. Belongs here: the delay and the comparison. Does not
belong here: the traffic and how latency is read (freshness).
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medallion_assets_tests.bench.freshness import RATE, measured
from medallion_assets_tests.round_trips.shim import Weather, run_shim

DELAYED = Weather(delay_ms=30.0, jitter_ms=10.0)


def run() -> list[dict[str, Any]]:
    """Seconds until a change is in every mart over its table, with 30 ms, plus or minus 10, for each request."""
    delayed, quick = measured(_behind(DELAYED)), measured(_behind(Weather()))
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    found = [("p50", delayed.p50, quick.p50), ("p95", delayed.p95, quick.p95)]
    return [
        {
            "work": f"s3, {name} of {delayed.changes} changes at {RATE:.0f}/s, 30 ms a request",
            "ours": round(slow.total_seconds(), 1),
            "other": round(fast.total_seconds(), 1),
            "unit": "s from write to Gold",
            "ratio": round(fast.total_seconds() / slow.total_seconds(), 2),
            "peak_mb": peak_mb,
            "what_other_is": "the same without a delay, the shim in front, too; at least 0.71 (1.4 times) is asked for",
        }
        for name, slow, fast in found
        if slow is not None and fast is not None
    ]


def _behind(weather: Weather) -> Any:
    @contextmanager
    def through(endpoint: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as folder, run_shim(endpoint, folder=Path(folder)) as shim:
            shim.set(weather)
            yield shim.endpoint

    return through
