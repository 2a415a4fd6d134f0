"""Dagster's pages over ten years of daily partitions, beside the same pages over one year.

Belongs here: an instance in which every past day of every daily asset is materialized, and the queries of the pages
that show partitions, asked of Dagster's own webserver. SQLite, as on one machine.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.definitions import defs
from medallion_assets_tests.bench.webserver import ask, environment, webserver
from medallion_assets_tests.bench.week import Copier

YEARS: Final = (10, 1)
REPEATS: Final = 5

_QUERIES: Final = {
    "assets": """{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId timestamp }
        partitionStats { numMaterialized numFailed numPartitions } } }""",
    "an asset's partitions": """{ assetNodeOrError(assetKey: {path: ["silver", "orders"]}) { ... on AssetNode {
        assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
        partitionKeysByDimension { name partitionKeys } } } }""",
    "an asset's days": """{ assetNodeOrError(assetKey: {path: ["silver", "orders"]}) { ... on AssetNode {
        assetMaterializations(limit: 100) { runId timestamp partition metadataEntries { label } }
        latestMaterializationByPartition { partition timestamp } } } }""",
    "the lineage": """{ assetNodes { assetKey { path } dependencyKeys { path } dependedByKeys { path } isPartitioned
        partitionDefinition { description } } }""",
}


def run() -> Iterator[dict[str, Any]]:
    """Yield the times of the pages; the first answer and the median of the next ones."""
    found = {years: _ask(years) for years in YEARS}
    for page in _QUERIES:
        for which in ("first", "again"):
            ours, other = (found[years][page, which] for years in YEARS)
            yield {
                "work": f"{YEARS[0]} years of days: the page of {page}, {which}",
                "ours": round(ours, 3),
                "other": round(other, 3),
                "unit": "s",
                "ratio": round(ours / other, 2),
                "peak_mb": 0,
                "what_other_is": f"{YEARS[1]} year of days",
            }


def _ask(years: int) -> dict[tuple[str, str], float]:
    """Return the seconds of each page's first query, and the median of its next ones."""
    seconds: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dagster").mkdir()
        shutil.copy(Path(__file__).parents[2] / "dagster.yaml", folder / "dagster")
        domain = Path(shutil.copytree(domain_folder("ecommerce"), folder / "domain"))
        written = domain / "domain.yaml"
        since = datetime.now(UTC).date() - timedelta(days=365 * years)
        written.write_text(f"description: A shop of {years} years.\nsince: {since}\n")
        command = [sys.executable, "-m", "medallion_assets_tests.bench.decade"]
        subprocess.run(command, check=True, env=environment(folder, domain=str(domain)))
        with webserver(folder, domain=str(domain)) as url:
            for page, query in _QUERIES.items():
                times = []
                for _ in range(1 + REPEATS):
                    start = time.perf_counter()
                    ask(url, query)
                    times.append(time.perf_counter() - start)
                seconds[page, "first"], seconds[page, "again"] = times[0], statistics.median(times[1:])
    return seconds


def materialize_every_day() -> None:
    """Report the first day of every daily asset of the process's domain, and write these records for each past day."""
    definitions = defs()
    with dg.DagsterInstance.get() as instance:
        daily = {
            asset: partitions.get_partition_keys()
            for asset in definitions.resolve_asset_graph().materializable_asset_keys
            if (partitions := definitions.resolve_assets_def(asset).partitions_def) is not None
        }
        (first, *days) = max(daily.values(), key=len)
        for asset in daily:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=first))
        with closing(sqlite3.connect(Path(os.environ["DAGSTER_HOME"], "history", "runs", "index.db"))) as index:
            copier = Copier(index, "event_logs", "partition", first, ())
            for day in days:
                copier.write(day, datetime.now(UTC))
            index.commit()


if __name__ == "__main__":
    materialize_every_day()
