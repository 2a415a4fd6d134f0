"""A million items from the files of an export to published Silver, beside boto3's deserializer over the same files.

Belongs here: the backfill and the pipeline's merges in one process, and the reading that most scripts do. What is
reported in MB is the peak of that process.
"""

from __future__ import annotations

import gzip
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from boto3.dynamodb.types import TypeDeserializer

from medallion_assets.backfill.backfill import backfill, plan_from_export
from medallion_assets.backfill.export_files import open_export_files
from medallion_assets.backfill.local_export import write_export
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.capture.store import open_store
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.silver.batches import merge_pending
from medallion_assets_tests.bench.reconcile import ORDERS, Pages, write_pages
from medallion_assets_tests.silver.changes import domain

ITEMS = 1_000_000
DESERIALIZED = 100_000


def run() -> list[dict[str, Any]]:
    """Load the items; and deserialize a part of them, counted up."""
    with tempfile.TemporaryDirectory() as folder:
        write_pages(Path(folder) / "pages", ITEMS)
        now = datetime.now(UTC) - timedelta(minutes=1)
        arn = Pages(Path(folder) / "pages").describe().arn
        write_export(Pages(Path(folder) / "pages").scan(), Path(folder), table_arn=arn, at=now, export_id="01-bench")
        ours, other = _run("load", folder), _run("deserialize", folder)
    scaled = other["cpu_seconds"] * ITEMS / DESERIALIZED
    return [
        {
            "work": "backfill-export-1m",
            "ours": round(ITEMS / ours["cpu_seconds"]),
            "other": round(ITEMS / scaled),
            "unit": "items per second of CPU",
            "ratio": round(scaled / ours["cpu_seconds"], 2),
            "peak_mb": ours["peak_mb"],
            "what_other_is": f"boto3's deserializer over the same files, {DESERIALIZED:,} items counted up, nothing "
            f"checked or written; ours took {ours['seconds']:.1f} s by the clock",
        }
    ]


def _run(side: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.backfill", side, folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _load(folder: Path) -> None:
    store, shop, runs = open_store(str(folder / "bronze")), domain(ORDERS), itertools.count()
    about = replace(Pages(folder / "pages").describe(), items=ITEMS)
    now = datetime.now(UTC)
    heartbeat = PollerHeartbeat(
        table=ORDERS.table,
        stream_arn=str(about.stream_arn),
        started_at=now - timedelta(hours=1),
        written_at=now,
        read_up_to=now + timedelta(hours=1),
        shards=(),
    )
    write_heartbeat(store, heartbeat)
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)) as lake:

        def merge(_seconds: float) -> None:
            now = datetime.now(UTC)
            for result in merge_pending(lake, store, ORDERS, shop, day=now.date(), run_id=f"{next(runs)}", now=now):
                if not result.published:
                    raise RuntimeError(f"held: {result.checks}")

        files = open_export_files(str(folder / "AWSDynamoDB/01-bench"))
        plan = plan_from_export(lake, store, ORDERS, about, files=files, now=now)
        catch_up = CatchUp(capture_delay_seconds=0, wait=merge)
        done = backfill(lake, store, ORDERS, plan, catch_up=catch_up, merge_seconds=600)
    if not done.merged or done.items != ITEMS:
        raise RuntimeError(f"not all of {ITEMS} items were loaded: {done}")


def _deserialize(folder: Path) -> None:
    read, items = TypeDeserializer(), 0
    for path in sorted((folder / "AWSDynamoDB/01-bench/data").iterdir()):
        with gzip.open(path) as lines:
            for line in lines:
                _ = {name: read.deserialize(value) for name, value in orjson.loads(line)["Item"].items()}
                items += 1
                if items == DESERIALIZED:
                    return


def main() -> None:
    """Run one side and print what it cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    (_load if sys.argv[1] == "load" else _deserialize)(Path(sys.argv[2]))
    cost = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    json.dump(cost, sys.stdout)


if __name__ == "__main__":
    main()
