"""Once on the emulator with our poller: written, polled, merged, recorded; then an object is deleted in the bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import boto3
import pytest

from medallion_assets.capture.dead_letter import write_dead_letter
from medallion_assets.capture.gap_marker import write_gap_marker
from medallion_assets.capture.heartbeat import write_heartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gap import ShardKey
from medallion_assets.ledger.ranges import union
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.status import LedgerStatus
from medallion_assets.ledger.update import inspect_all, update_ledger
from medallion_assets_tests.capture.poller.conftest import FAST
from medallion_assets_tests.fixtures.fleet_lake import Fleet, fleet

__all__ = ["fleet"]

TABLES = ("fleet-Vehicles", "fleet-Trips")


@contextmanager
def polling(fleet: Fleet, folder: Path) -> Iterator[None]:
    """Our poller on both tables, as a process runs it."""
    store = open_store(fleet.settings.bronze)
    halt, ready = threading.Event(), threading.Event()
    with Checkpoint.open(folder / "checkpoint.sqlite") as checkpoint:
        pollers = [
            TablePoller(
                table,
                dynamodb=boto3.client("dynamodb"),
                streams=boto3.client("dynamodbstreams"),
                write=partial(write_bronze, store=store),
                on_dead_letter=partial(write_dead_letter, store),
                on_gap=partial(write_gap_marker, store),
                on_heartbeat=partial(write_heartbeat, store),
                checkpoint=checkpoint,
                settings=replace(FAST, heartbeat_seconds=0.1),
                clock=lambda: datetime.now(UTC),
            )
            for table in TABLES
        ]
        thread = threading.Thread(target=poll, args=(pollers,), kwargs={"halt": halt, "ready": ready.set})
        thread.start()
        try:
            assert ready.wait(20)
            yield
        finally:
            halt.set()
            thread.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 30 s"
        time.sleep(0.1)


@pytest.mark.both_lakes
@pytest.mark.parametrize("fleet", ["glue"], indirect=True)
def test_what_is_written_is_complete_in_the_lake_and_a_deleted_object_is_named(fleet: Fleet, tmp_path: Path) -> None:
    domain, store = load_domain(fleet.settings.domain), open_store(fleet.settings.bronze)
    with polling(fleet, tmp_path), Lake.open(fleet.settings.lake()) as lake:
        fleet.write(20)
        wrote = datetime.now(UTC)

        def inspect() -> dict[str, LedgerStatus]:
            return inspect_all(lake, store, domain, now=datetime.now(UTC))

        def complete() -> bool:
            fleet.publish()
            found = inspect()
            assert all(state.gaps == () for state in found.values())
            return all(state.complete_to is not None and state.complete_to >= wrote for state in found.values())

        until(complete)
        recorded = update_ledger(lake, store, domain, run_id="ledger-1", now=datetime.now(UTC))
        assert all(not state.needs_backfill for state in recorded.statuses.values())
        with LedgerReader.open(lake) as ledger:
            for contract in domain.tables:
                names = set(store.list(contract.table))
                rows = ledger.named(contract.lake_name, names)
                assert rows.keys() == names
                (shard,) = {ShardKey(row["stream_arn"], row["shard_id"]) for row in rows.values() if row["shard_id"]}
                assert len(union(ledger.covered_ranges(contract.lake_name, shard))) == 1, "no range is missing"
        lost = next(store.list("fleet-Trips"))
        bucket, _, prefix = fleet.settings.bronze.removeprefix("s3://").partition("/")
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}/{lost}")
        found = inspect()
    (gap,) = found["trips"].gaps
    assert gap.kind == "missing_object" and lost in gap.reason
    assert found["vehicles"].gaps == ()
