"""Eight processes that do nothing but commit to one table: none may fail, and no row may be lost.

What belongs here: the writers, on either lake, and counting what became of their commits.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from medallion_assets.errors import CommitConflict
from medallion_assets.lake import retry
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.local.emulator import REGION, run_emulator
from medallion_assets_tests.lake.tables import ORDERS, order, rows

WRITERS, COMMITS = 8, 200


@dataclass(frozen=True)
class Written:
    """What all writers did. `tries` holds, sorted, how often each commit was planned."""

    failed: list[str]
    lost: int
    tries: list[int]
    seconds: float


def race(kind: Literal["files", "glue"], *, writers: int = WRITERS, commits: int = COMMITS) -> Written:
    """Each of `writers` processes commits a row of its own and one that all write, `commits` times."""
    with tempfile.TemporaryDirectory() as folder, _lake(kind, Path(folder)) as settings:
        with Lake.open(settings) as lake:
            lake.ensure("silver", "orders", ORDERS, key=["id"])
        began = time.monotonic()
        with get_context("spawn").Pool(writers) as pool:
            done = pool.starmap(write, [(settings, number, writers, commits) for number in range(writers)])
            pool.close()  # they end by themselves; told to by SIGTERM they might not, where a parent ignores it
            pool.join()
        seconds = time.monotonic() - began
        with Lake.open(settings) as lake, lake.duckdb() as connection:
            table = lake.table("silver", "orders")
            found = dict(
                connection.execute(f"SELECT id, _sequence_number FROM {lake.scan_sql(table, None)}").fetchall()
            )
    expected = {f"w{writer}-{commit}" for writer in range(writers) for commit in range(commits)}
    newest = f"{writers * commits:040}"
    return Written(
        failed=[failure for _, failures in done for failure in failures],
        lost=len(expected - found.keys()) + (found.get("hot") != newest),
        tries=sorted(count for tries, _ in done for count in tries),
        seconds=seconds,
    )


def write(settings: LakeSettings, writer: int, writers: int, commits: int) -> tuple[list[int], list[str]]:
    """One writer: how often it planned each commit, and what failed."""
    tries, failures = [], []
    with Lake.open(settings) as lake:
        table = lake.table("silver", "orders")
        for commit in range(commits):
            changes = rows(ORDERS, order(f"w{writer}-{commit}", 1), order("hot", commit * writers + writer + 1))
            planned = 0

            def once() -> None:
                nonlocal planned
                planned += 1
                staged = stage_merge(lake, table, changes, key=["id"])  # noqa: B023
                publish(lake, table, staged)

            try:
                retry.retry_on_conflict(once, what=f"writer {writer}")
            except Exception as failed:  # noqa: BLE001 - told by the report, which fails
                failures.append(f"{type(failed).__name__}: {failed}")
            tries.append(planned)
            with contextlib.suppress(CommitConflict):  # as after every batch of Silver: the next one does it
                compact(lake, table)
    return tries, failures


@contextmanager
def _lake(kind: Literal["files", "glue"], folder: Path) -> Iterator[LakeSettings]:
    if kind == "files":
        yield LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)
        return
    import boto3

    with run_emulator(folder / "aws") as aws:
        before = dict(os.environ)
        os.environ.update(aws.client_env())
        try:
            boto3.client("s3").create_bucket(Bucket="writers")
            yield LakeSettings(
                warehouse="s3://writers/lake",
                catalog="glue",
                region=REGION,
                s3_endpoint=aws.endpoint,
                glue_endpoint=aws.endpoint,
            )
        finally:
            os.environ.clear()
            os.environ.update(before)
