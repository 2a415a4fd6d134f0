"""With exactly the settings that are deployed, nothing is given up that the stream still has."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from medallion_assets.capture.dead_letter import list_dead_letters
from medallion_assets.capture.store import BronzeStore
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import MappingSettings
from medallion_assets.simulation.harness.capture import lambda_handler
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets.simulation.table import Table

LIMITED = {"max_retries": 10, "max_record_age_s": 6 * 3_600.0, "report_item_failures": True}


def bronze(store: BronzeStore) -> set[str]:
    files = [pq.read_table(io.BytesIO(store.read(path))) for path in store.list("Orders")]
    return {number for file in files for number in file["sequence_number"].to_pylist()}


def write(table: Table, count: int) -> set[str]:
    written = [table.put({"id": {"S": f"i-{n % 7}"}, "n": {"N": str(n)}}) for n in range(count)]
    return {record.sequence_number for record in written if record is not None}


def fail_for(minutes: int, **changes: Any) -> tuple[int, int]:
    """3,000 records on a shard while the function fails that long; return how many are in Bronze and how many not."""
    cloud, given_up = Cloud(1), MemoryStore()
    table = cloud.create_table("Orders", {"id": "S"})
    works_at = cloud.clock() + timedelta(minutes=minutes)
    written = write(table, 3_000)
    store = cloud.store()
    with lambda_handler(store, cloud.clock) as handler:

        def function(event: dict[str, Any], context: Any) -> Any:
            if cloud.clock() < works_at:
                raise RuntimeError("a release that does not start")
            return handler(event, context)

        mapping = cloud.mapping(table, function, MappingSettings.deployed(**changes), on_failure=given_up)
        mapping.drain()
    captured = bronze(store.inner)
    assert captured <= written
    return len(captured), mapping.counts["given up"]


@pytest.mark.parametrize("minutes", [10, 30, 60, 180, 420])
def test_a_function_that_fails_for_hours_gives_up_nothing(minutes: int) -> None:
    assert fail_for(minutes) == (3_000, 0)


def test_limits_of_retries_and_age_would_give_up_what_the_stream_has() -> None:
    captured, given_up = fail_for(60, **LIMITED)
    assert given_up > 0 and captured == 3_000 - given_up
    assert fail_for(420, **LIMITED) == (0, 3_000)


def test_a_first_deployment_on_a_stream_of_twenty_hours_captures_all_of_it() -> None:
    cloud, given_up = Cloud(1), MemoryStore()
    table = cloud.create_table("Orders", {"id": "S"})
    written: set[str] = set()
    for _ in range(20):
        written |= write(table, 50)
        cloud.clock.advance(3_600)
    store = cloud.store()
    with lambda_handler(store, cloud.clock) as handler:
        cloud.mapping(table, handler, MappingSettings.deployed(), on_failure=given_up).drain()
    assert (bronze(store.inner), list(given_up.list("aws", suffix=""))) == (written, [])


def test_a_poison_record_blocks_nobody_and_what_the_function_cannot_see_leaves_with_its_bytes() -> None:
    """One record that capture cannot write, and one that kills the function until the stream drops it."""
    cloud, given_up = Cloud(1), MemoryStore()
    table = cloud.create_table("Orders", {"id": "S"})
    table.put({"id": {"S": "poison"}, "note": {"S": "\ud800"}})
    deadly = table.put({"id": {"S": "deadly"}})
    assert deadly is not None
    store = cloud.store()
    with lambda_handler(store, cloud.clock) as handler:

        def function(event: dict[str, Any], context: Any) -> Any:
            if any(record["dynamodb"]["Keys"]["id"]["S"] == "deadly" for record in event["Records"]):
                raise RuntimeError("out of memory")
            return handler(event, context)

        mapping = cloud.mapping(table, function, MappingSettings.deployed(), on_failure=given_up)
        cloud.scheduler.spawn("mapping", mapping.run())
        cloud.scheduler.run(until=cloud.clock() + timedelta(hours=23))
        assert len(list_dead_letters(store.inner)["Orders"]) == 1, "set aside at once"
        behind = table.put({"id": {"S": "behind"}})
        assert behind is not None
        cloud.scheduler.run(until=cloud.clock() + timedelta(hours=2))
    assert bronze(store.inner) == {behind.sequence_number}
    (path,) = given_up.list("aws", suffix="")
    assert deadly.sequence_number in given_up.read(path).decode()
