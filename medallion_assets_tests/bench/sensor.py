"""What a sensor tick costs when one table has 200,000 Bronze objects in S3.

What belongs here: `run`. The objects are laid out on the emulator's disk before it starts (200,000 puts would take ten
minutes); they are listed through S3's API. One object a second is what a table with one shard makes at most.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.s3_store import S3Store
from medallion_assets.local.emulator import DEMO_ACCOUNT, REGION, run_emulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECTS, NEW, TICKS = 200_000, 60, 5
NEWEST = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run() -> list[dict[str, Any]]:
    """Measure a tick with 60 new objects, and a listing of the whole prefix instead."""
    names = [
        ObjectName("Orders", NEWEST - timedelta(seconds=age), OBJECTS - age, f"{age:016x}").path
        for age in range(OBJECTS - 1, -1, -1)
    ]
    with _s3(names) as client:
        store = S3Store("bench", "bronze", client=client)
        calls: list[str] = []
        client.meta.events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))
        cursor = Position.start().advance(names[:-NEW]).to_json()

        def tick() -> list[str]:
            position = Position.from_json(cursor)
            arrived = position.pending(store, "Orders")
            position.advance(arrived).to_json()
            return arrived

        seen = frozenset(names[:-NEW])
        # The emulator reads its disk on the first request.
        client.list_objects_v2(Bucket="bench", MaxKeys=1)
        calls.clear()

        def whole() -> list[str]:
            return [name for name in store.list("Orders") if name not in seen]

        ours = statistics.median(_seconds(tick, names[-NEW:]) for _ in range(TICKS))
        listings = len(calls) // TICKS
        tracemalloc.start()
        tick()
        peak_mb = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
        tracemalloc.stop()
        calls.clear()
        other = _seconds(whole, names[-NEW:])
        all_listings = len(calls)
    return [
        {
            "work": "sensor",
            "ours": round(ours, 3),
            "other": round(other, 3),
            "unit": "s",
            "ratio": round(other / ours, 1),
            "peak_mb": peak_mb,
            "what_other_is": f"listing the whole prefix: {all_listings} list calls where a tick makes {listings}",
        }
    ]


def _seconds(act: Callable[[], list[str]], expected: list[str]) -> float:
    start = time.perf_counter()
    found = act()
    seconds = time.perf_counter() - start
    if found != expected:
        raise AssertionError(f"found {len(found)} new objects, expected {len(expected)}")
    return seconds


@contextmanager
def _s3(names: list[str]) -> Iterator[S3Client]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "s3_data_dir" / DEMO_ACCOUNT / "bench" / "bronze"
        for name in names:
            path = root / name
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
            path.touch()
        os.environ["S3_PERSIST"] = "1"
        try:
            with run_emulator(Path(folder)) as emulator:
                yield boto3.client(
                    "s3",
                    endpoint_url=emulator.endpoint,
                    region_name=REGION,
                    aws_access_key_id=DEMO_ACCOUNT,
                    aws_secret_access_key="local",
                )
        finally:
            del os.environ["S3_PERSIST"]
