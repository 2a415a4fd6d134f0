"""Our poller and our Lambda function, unchanged, on the simulation: whatever goes wrong, every change is in Bronze."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from medallion_assets.capture.dead_letter import list_dead_letters, read_dead_letter
from medallion_assets.capture.gap_marker import read_gap_markers
from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard, list_shards
from medallion_assets.capture.store import BronzeStore
from medallion_assets.reconciliation.scan import DynamoTable
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import MappingSettings
from medallion_assets.simulation.faults import Died, Fault, Rates
from medallion_assets.simulation.harness.capture import PollerProcess, lambda_handler
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets.simulation.streams import StreamRecord
from medallion_assets.simulation.table import Table

ROUGH = {
    "": Rates(before=0.02, after=0.02, delay=0.02, death=0.004, outage=0.002, odd=0.1),
    "checkpoint": Rates(death=0.004),
}
SLOW = PollerSettings(window_seconds=60, idle_seconds=60, discover_seconds=300)
"""Minutes where our poller looks every quarter of a second: days of virtual time, a second of ours."""


def rows(store: BronzeStore, table: str = "Orders") -> Iterator[dict[str, Any]]:
    for path in store.list(table):
        yield from pq.read_table(io.BytesIO(store.read(path))).to_pylist()


def numbers(store: BronzeStore) -> list[str]:
    return [row["sequence_number"] for row in rows(store)]


def traffic(cloud: Cloud, table: Table, writes: int) -> Iterator[StreamRecord]:
    """Some five minutes between two writes."""
    dice = cloud.dice("traffic")
    for n in range(writes):
        record = table.put({"id": {"S": f"i-{dice.randrange(9)}"}, "n": {"N": str(n)}, "b": {"B": b"\xff"}})
        assert record is not None
        yield record
        cloud.scheduler.run(until=cloud.clock() + timedelta(seconds=dice.randrange(600)))


def poller(cloud: Cloud, **changes: Any) -> PollerProcess:
    parts: dict[str, Any] = {
        "store": cloud.store(),
        "settings": SLOW,
    }
    return PollerProcess(cloud, ["Orders"], **{**parts, **changes})


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_poller_dies_and_starts_again_and_every_change_is_in_bronze(seed: int) -> None:
    """Eighteen hours of shards that roll and split, faults at every call and deaths of the process."""
    cloud = Cloud(seed, rates=ROUGH)
    table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.1)
    process = poller(cloud)
    process.start()
    written = list(traffic(cloud, table, 220))
    cloud.faults.calm()
    cloud.scheduler.run(until=cloud.clock() + timedelta(hours=1))
    store = process._store.inner  # type: ignore[attr-defined]
    assert process.gaps == {}
    assert set(numbers(store)) == {record.sequence_number for record in written}
    by_number = {row["sequence_number"]: row for row in rows(store)}
    last = written[-1]
    assert json.loads(by_number[last.sequence_number]["new_image"]) == last.for_lambda()["dynamodb"]["NewImage"]
    for path in store.list("Orders"):
        name = ObjectName.parse(path)
        assert cloud.clock() - timedelta(days=10) < name.captured_at <= cloud.clock()


@pytest.mark.slow
@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_what_the_marker_says_is_read_is_in_bronze(seed: int) -> None:
    """At any moment, with shards that split and show late, answers that hold records back, faults and deaths."""
    cloud = Cloud(seed, rates=ROUGH)
    table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.3)
    process = poller(cloud, settings=replace(SLOW, empty_answers=8))
    process.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medallion_assets.capture.poller.table.list_shards", listed_late(cloud))
        _check_markers(cloud, table, process)


def listed_late(cloud: Cloud) -> Callable[..., list[Shard]]:
    """DescribeStream that shows a child half an hour after it was first there."""
    seen: dict[str, datetime] = {}

    def listed(*arguments: Any) -> list[Shard]:
        shards, now = list_shards(*arguments), cloud.clock()
        age = {shard.shard_id: now - seen.setdefault(shard.shard_id, now) for shard in shards}
        return [shard for shard in shards if not shard.parent_id or age[shard.shard_id] > timedelta(minutes=30)]

    return listed


def _check_markers(cloud: Cloud, table: Table, process: PollerProcess) -> None:
    store = process._store.inner  # type: ignore[attr-defined]
    written: list[StreamRecord] = []
    told: list[datetime] = []
    for record in traffic(cloud, table, 80):
        written.append(record)
        marker = read_heartbeat(store, "Orders", now=cloud.clock())
        if marker is not None and marker.read_up_to is not None and marker.read_up_to not in told:
            told.append(marker.read_up_to)
            there = set(numbers(store))
            assert all(one.sequence_number in there for one in written if one.at < marker.read_up_to)
    assert len(told) > 10
    assert told == sorted(told)
    cloud.faults.calm()
    quiet = cloud.clock()
    cloud.scheduler.run(until=quiet + timedelta(minutes=30))
    marker = read_heartbeat(store, "Orders", now=cloud.clock())
    assert marker is not None
    assert marker.read_up_to is None or marker.read_up_to > quiet, "None: shards have just rolled"


def test_the_same_seed_gives_the_same_bronze() -> None:
    def story() -> dict[str, bytes]:
        cloud = Cloud(4, rates=ROUGH)
        table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.3)
        process = poller(cloud)
        process.start()
        list(traffic(cloud, table, 150))
        assert process.deaths > 0
        store = process._store.inner  # type: ignore[attr-defined]
        return {path: store.read(path) for path in store.list("Orders")}

    assert story() == story()


def test_each_call_of_the_poller_fails_once_before_and_after_and_at_its_death() -> None:
    """Every fault point of a short run, one at a time: the run without faults says which there are."""
    quick = PollerSettings(window_seconds=1, idle_seconds=1, discover_seconds=5)

    def story(script: list[Fault]) -> tuple[Cloud, PollerProcess, list[StreamRecord]]:
        cloud = Cloud(2, script=script)
        table = cloud.create_table("Orders", {"id": "S"})
        process = poller(cloud, settings=quick)
        process.start()
        written = []
        for n in range(3):
            written.append(table.put({"id": {"S": "a"}, "n": {"N": str(n)}}))
            cloud.scheduler.run(until=cloud.clock() + timedelta(seconds=2))
            if n == 1:
                table.split()
        cloud.scheduler.run(until=cloud.clock() + timedelta(seconds=60))
        return cloud, process, [record for record in written if record is not None]

    calm, _, _ = story([])
    points = {point: count for point, count in calm.faults.reached.items() if "/" not in point}
    assert points.keys() >= {"bronze.put", "streams.get_records", "streams.describe_stream", "checkpoint.advance"}
    for point, count in points.items():
        kinds = ["death before", "death after"]
        if not point.startswith("checkpoint."):  # the poller ends when its disk fails
            kinds += ["error before", "error after", "outage"]
        for kind in kinds:
            for nth in range(min(count, 3)):
                cloud, process, written = story([Fault(point, nth, kind, 30)])
                assert cloud.faults.happened, (point, nth, kind)
                found = numbers(process._store)
                assert set(found) == {record.sequence_number for record in written}, (point, nth, kind)
                assert process.deaths == kind.startswith("death")


def test_a_poller_that_was_away_for_a_day_says_that_changes_were_lost() -> None:
    cloud = Cloud(1)
    table = cloud.create_table("Orders", {"id": "S"})
    process = poller(cloud)
    process.start()
    list(traffic(cloud, table, 3))
    process.kill()
    assert not process.running
    table.put({"id": {"S": "lost"}})
    cloud.clock.advance(29 * 3_600)
    table.put({"id": {"S": "there"}})
    process.start()
    cloud.scheduler.run(until=cloud.clock() + timedelta(hours=1))
    assert "trimmed" in process.gaps["Orders"]
    store = process._store
    assert [gap.table for gap in read_gap_markers(store, "Orders")] == ["Orders"]
    process.start(resume_after_gap=["Orders"])
    cloud.scheduler.run(until=cloud.clock() + timedelta(hours=1))
    assert process.gaps == {}
    keys = [json.loads(row["keys"])["id"]["S"] for row in rows(store)]
    assert ("there" in keys, "lost" in keys) == (True, False)


def test_a_stream_made_anew_is_a_gap_after_the_old_one_was_read() -> None:
    cloud = Cloud(1)
    table = cloud.create_table("Orders", {"id": "S"})
    process = poller(cloud)
    process.start()
    cloud.scheduler.run(until=cloud.clock() + timedelta(seconds=1))
    table.put({"id": {"S": "old"}})
    table.disable_stream()
    table.enable_stream()
    table.put({"id": {"S": "new"}})
    cloud.scheduler.run(until=cloud.clock() + timedelta(hours=1))
    assert "is the table's stream now" in process.gaps["Orders"]
    assert [json.loads(row["keys"])["id"]["S"] for row in rows(process._store)] == ["old"]


def test_the_poller_sets_a_poison_record_aside() -> None:
    cloud = Cloud(1)
    table = cloud.create_table("Orders", {"id": "S"})
    process = poller(cloud)
    process.start()
    table.put({"id": {"S": "a"}})
    bad = table.put({"id": {"S": "b"}, "note": {"S": "\ud800"}})
    table.put({"id": {"S": "c"}})
    cloud.scheduler.run(until=cloud.clock() + timedelta(hours=1))
    assert [json.loads(row["keys"])["id"]["S"] for row in rows(process._store)] == ["a", "c"]
    ((path,),) = list_dead_letters(process._store).values()
    assert bad is not None
    assert read_dead_letter(process._store, path).record == bad.for_lambda()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), factor=st.integers(1, 3))
def test_the_lambda_function_writes_every_change_whatever_the_mapping_and_bronze_do(seed: int, factor: int) -> None:
    cloud = Cloud(
        seed,
        rates={"": Rates(before=0.05, after=0.05, delay=0.05, death=0.02, outage=0.01, odd=0.1)},
    )
    table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.3)
    given_up = MemoryStore()
    store = cloud.store()
    with lambda_handler(store, cloud.clock) as handler:
        chosen = MappingSettings.deployed(parallelization_factor=factor, window_s=60, poll_s=60)
        mapping = cloud.mapping(table, handler, chosen, on_failure=given_up)
        cloud.scheduler.spawn("mapping", mapping.run())
        written = list(traffic(cloud, table, 150))
        bad = table.put({"id": {"S": "b"}, "note": {"S": "\ud800"}})
        mapping.drain()
    assert set(numbers(store.inner)) == {record.sequence_number for record in written}
    assert bad is not None
    (paths,) = list_dead_letters(store.inner).values()
    assert {read_dead_letter(store.inner, path).record["eventID"] for path in paths} == {bad.for_lambda()["eventID"]}
    assert list(given_up.list("aws", suffix="")) == []
    # Names carry virtual time: nothing asked the wall clock.
    assert all(ObjectName.parse(path).captured_at <= cloud.clock() for path in store.inner.list("Orders"))


def test_the_source_is_read_by_the_code_of_verify_with_its_faults() -> None:
    cloud = Cloud(3, rates={"dynamodb.batch_get_item": Rates(odd=0.2)})
    table = cloud.create_table("Orders", {"id": "S", "n": "N"})
    items: list[Any] = [{"id": {"S": f"i-{n % 9}"}, "n": {"N": str(n)}, "b": {"B": b"\xff"}} for n in range(250)]
    for item in items:
        table.put(item)
    source = DynamoTable(cloud.dynamodb, "Orders")
    assert source.describe().key_tags == {"id": "S", "n": "N"}
    scanned = [item for page in source.scan() for item in json.loads(page)["Items"]]
    assert sorted(int(item["n"]["N"]) for item in scanned) == list(range(250))
    assert scanned[0]["b"] == {"B": "/w=="}
    keys: Any = [{"id": item["id"], "n": item["n"]} for item in items]
    got = [item for page in source.get(keys) for item in json.loads(page)["Items"]]
    assert sorted(int(item["n"]["N"]) for item in got) == list(range(250))
    assert cloud.faults.by_kind()["unprocessed"] > 0
    dying = Cloud(3, script=[Fault("dynamodb.scan", 1, "death before")])
    dying.create_table("Orders", {"id": "S"})
    with pytest.raises(Died):
        list(DynamoTable(dying.dynamodb, "Orders").scan())


def test_the_handler_gets_its_own_clock_and_store_back() -> None:
    from medallion_assets.capture import handler as module

    real = (module._store, vars(module)["datetime"])
    cloud = Cloud(1)
    with pytest.raises(RuntimeError), lambda_handler(cloud.store(), cloud.clock):
        raise RuntimeError
    assert (module._store, vars(module)["datetime"]) == real
