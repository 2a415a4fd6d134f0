"""The plan of faults: what each kind does, that a seed decides, that a script repeats, that counts are true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.file_store import FileStore
from medallion_assets.capture.poller.reader import is_transient
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject, LakeUnavailable
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.faults import Died, Fault, Faults, Rates
from medallion_assets.simulation.inline_threads import one_thread
from medallion_assets.simulation.objects import FaultyStore, MemoryStore
from medallion_assets.simulation.scheduler import Scheduler


class Trouble(Exception):
    pass


def faults(*script: Fault) -> Faults:
    return Faults(1, Clock(), script=script)


def attempt(plan: Faults, point: str = "disk.write") -> tuple[str, bool]:
    """How a call ended, and whether it was done."""
    done: list[int] = []
    try:
        plan.call(point, lambda: done.append(1), error=Trouble)
    except (Trouble, Died) as error:
        return f"{type(error).__name__} {error}", bool(done)
    return "returned", bool(done)


@pytest.mark.parametrize(
    ("kind", "ends", "done"),
    [
        ("error before", "Trouble error before", False),
        ("error after", "Trouble error after", True),
        ("latency", "returned", True),
        ("death before", "Died disk.write", False),
        ("death after", "Died disk.write", True),
        ("outage", "Trouble outage", False),
    ],
)
def test_what_each_kind_does(kind: str, ends: str, done: bool) -> None:
    plan = faults(Fault("disk.write", 1, kind, 3))
    assert attempt(plan) == ("returned", True)
    assert attempt(plan) == (ends, done)
    assert plan.by_kind() == {kind: 1}
    assert plan.happened == [Fault("disk.write", 1, kind, 3)]
    assert plan.reached == {"disk.write": 2}


def test_latency_passes_on_the_clock() -> None:
    clock = Clock()
    began = clock()
    plan = Faults(1, clock, script=[Fault("disk.write", 0, "latency", 3.5)])
    attempt(plan)
    assert clock() - began == timedelta(seconds=3.5)


def test_an_outage_takes_its_whole_service_for_a_time() -> None:
    clock = Clock()
    plan = Faults(1, clock, script=[Fault("s3.put", 0, "outage", 10)])
    assert [attempt(plan, point)[1] for point in ("s3.put", "s3.get", "sqs.send")] == [False, False, True]
    clock.advance(9.9)
    assert attempt(plan, "s3.get")[1] is False
    clock.advance(0.1)
    assert attempt(plan, "s3.get")[1] is True
    assert plan.counts == {("s3.put", "outage"): 1, ("s3.get", "outage"): 2}


def test_the_dead_do_nothing_until_they_are_started_again() -> None:
    plan = faults(Fault("disk.write", 0, "death before"))
    assert attempt(plan) == ("Died disk.write", False)
    assert plan.dead
    assert attempt(plan, "disk.read") == ("Died disk.read", False)
    plan.restart()
    assert attempt(plan, "disk.read") == ("returned", True)


def test_nobody_who_catches_exceptions_catches_a_death() -> None:
    assert not issubclass(Died, Exception)


RATES = Rates(before=0.1, after=0.1, delay=0.1, death=0.1, outage=0.1, odd=0.2)


def story(seed: int, points: list[str], script: list[Fault] | None = None) -> Faults:
    plan = Faults(seed, Clock(), RATES, script=script)
    for point in points:
        plan.restart()
        attempt(plan, point)
        plan.draw(point, "odd page")
    return plan


def test_a_seed_decides_and_a_script_repeats() -> None:
    points = ["a.x", "b.y", "a.x", "a.z"] * 50
    first = story(1, points)
    assert story(1, points).happened == first.happened
    assert story(2, points).happened != first.happened
    again = story(9, points, script=first.happened)
    assert again.happened == first.happened
    assert again.counts == first.counts
    some = [fault for fault in first.happened if fault.kind == "error after"]
    assert story(9, points, script=some).happened == some


def test_a_call_meets_the_same_fault_whatever_is_called_elsewhere() -> None:
    alone = [fault for fault in story(1, ["a.x"] * 200).happened if fault.point.startswith("a.x")]
    among = [fault for fault in story(1, ["a.x", "b.y"] * 200).happened if fault.point.startswith("a.x")]
    assert alone == among


def test_rates_are_shares() -> None:
    kinds = Counter(fault.kind for fault in story(1, ["a.x"] * 4_000).happened)
    for kind, share in {
        "error before": 0.1,
        "error after": 0.1,
        "latency": 0.1,
        "outage": 0.1,
        "odd page": 0.2,
    }.items():
        assert abs(kinds[kind] / 4_000 - share) < 0.02, kind
    assert abs((kinds["death before"] + kinds["death after"]) / 4_000 - 0.1) < 0.02


def test_the_closest_name_says_how_often() -> None:
    plan = Faults(1, Clock(), {"a.x": Rates(), "a": Rates(before=1), "": Rates(after=1)})
    assert [attempt(plan, point)[0] for point in ("a.x", "a.y", "b.z")] == [
        "returned",
        "Trouble error before",
        "Trouble error after",
    ]


def test_calm_ends_outages_and_faults() -> None:
    plan = Faults(1, Clock(), Rates(outage=1, odd=1))
    assert attempt(plan)[1] is False
    plan.calm()
    assert attempt(plan)[1] is True
    assert not plan.draw("disk.write", "odd")


def test_errors_of_the_clients_are_botocores_and_pass() -> None:
    """Every one of them is one that our poller waits for."""
    seen = set()
    for seed in range(5):
        cloud = Cloud(seed, rates=Rates(before=0.4, after=0.4))
        cloud.create_table("Orders", {"id": "S"})
        queue = cloud.create_queue("failed")
        calls: list[Any] = [
            lambda cloud=cloud: cloud.dynamodb.describe_table(TableName="Orders"),
            lambda cloud=cloud: cloud.streams.list_streams(),
            lambda cloud=cloud, queue=queue: cloud.sqs.send_message(QueueUrl=queue.url, MessageBody="x"),
        ]
        for act in calls * 40:
            try:
                act()
            except (ClientError, BotoCoreError) as error:
                seen.add(error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__)
                assert is_transient(error) or "RequestThrottled" in str(error)
    assert seen >= {
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "InternalServerError",
        "ServiceUnavailable",
        "ReadTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
    }


def test_after_an_error_after_a_write_was_made() -> None:
    cloud = Cloud(1, script=[Fault("dynamodb.put_item", 0, "error after")])
    table = cloud.create_table("Orders", {"id": "S"})
    with pytest.raises((ClientError, BotoCoreError)):
        cloud.dynamodb.put_item(TableName="Orders", Item={"id": {"S": "a"}})
    assert len(table) == 1


@pytest.fixture(params=["memory", "directory", "faulty"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BronzeStore]:
    stores: dict[str, BronzeStore] = {
        "memory": MemoryStore(),
        "directory": FileStore(tmp_path),
        "faulty": FaultyStore(MemoryStore(), faults()),
    }
    yield stores[request.param]


def test_a_store_in_memory_is_a_store(store: BronzeStore) -> None:
    paths = [f"Orders/year=2026/month=01/day={day:02d}/{n}.parquet" for day in (1, 2) for n in range(3)]
    for path in [*reversed(paths), "Orders2/year=2026/month=01/day=01/0.parquet", "_gaps/Orders/1.json"]:
        store.put(path, path.encode())
    assert list(store.list("Orders")) == paths
    assert list(store.list("Orders", after=paths[1])) == paths[2:]
    assert list(store.list("Orders", day=date(2026, 1, 2))) == paths[3:]
    assert list(store.list("_gaps/Orders", suffix=".json")) == ["_gaps/Orders/1.json"]
    assert list(store.list("Nothing")) == []
    assert store.read(paths[0]) == paths[0].encode()
    with pytest.raises(CorruptObject, match="missing"):
        store.read("Orders/none.parquet")
    assert store.uri(paths[0]).endswith(paths[0])
    (before, *_) = store.entries("Orders")
    store.put(paths[0], b"other")
    (after, *_) = store.entries("Orders")
    assert (before.path, before.bytes, after.bytes) == (paths[0], len(paths[0]), 5)
    assert before.tag != after.tag


def test_a_store_that_fails_before_after_and_half_way_through_a_listing() -> None:
    inner = MemoryStore()
    store = FaultyStore(
        inner,
        faults(
            Fault("bronze.put", 0, "error before"),
            Fault("bronze.put", 1, "error after"),
            Fault("bronze.list", 0, "error after"),
            Fault("bronze.read", 0, "error before"),
        ),
    )
    with pytest.raises(LakeUnavailable):
        store.put("Orders/1.parquet", b"1")
    assert list(inner.list("Orders")) == []
    with pytest.raises(LakeUnavailable):
        store.put("Orders/1.parquet", b"1")
    store.put("Orders/2.parquet", b"2")
    assert list(inner.list("Orders")) == ["Orders/1.parquet", "Orders/2.parquet"]
    listed: list[str] = []
    with pytest.raises(LakeUnavailable):
        for path in store.list("Orders"):
            listed.append(path)
    assert listed == ["Orders/1.parquet"]
    assert list(store.list("Orders")) == ["Orders/1.parquet", "Orders/2.parquet"]
    with pytest.raises(LakeUnavailable):
        store.read("Orders/1.parquet")


def test_tasks_run_in_the_order_of_their_time() -> None:
    clock = Clock()
    scheduler = Scheduler(clock, Cloud(1).dice("x"))
    began = clock()
    seen: list[tuple[str, float]] = []

    def work(name: str, *waits: float) -> Any:
        for wait in waits:
            seen.append((name, (clock() - began).total_seconds()))
            yield wait
        return name

    slow, quick = scheduler.spawn("slow", work("slow", 5, 5)), scheduler.spawn("quick", work("quick", 2, 2))
    scheduler.run(until=began + timedelta(seconds=4.5))
    assert sorted(seen) == [("quick", 0.0), ("quick", 2.0), ("slow", 0.0)]
    assert (clock() - began).total_seconds() == 4.5
    assert (quick.done(), quick.result(), slow.done()) == (True, "quick", False)
    scheduler.run()
    assert (slow.result(), clock() - began) == ("slow", timedelta(seconds=10))


def test_a_task_that_raises_stops_the_run_and_the_others_go_on() -> None:
    clock = Clock()
    scheduler = Scheduler(clock, Cloud(1).dice("x"))

    def bad() -> Any:
        yield 1
        raise Trouble("bad")

    def good() -> Any:
        yield 2

    failed, fine = scheduler.spawn("bad", bad()), scheduler.spawn("good", good())
    with pytest.raises(Trouble):
        scheduler.run()
    scheduler.run()
    assert fine.done()
    with pytest.raises(Trouble):
        failed.result()


def test_killed_tasks_end_where_they_wait() -> None:
    scheduler = Scheduler(Clock(), Cloud(1).dice("x"))
    closed: list[str] = []

    def work() -> Any:
        try:
            yield 1
        finally:
            closed.append("closed")

    task = scheduler.spawn("work", work())
    scheduler.run(until=lambda: scheduler.next_due != Clock()())
    scheduler.kill()
    scheduler.run()
    assert (task.done(), task.result(), closed) == (True, None, ["closed"])


def test_pools_run_in_one_thread_and_in_order() -> None:
    import threading

    seen: list[int] = []

    def act(n: int) -> int:
        assert threading.current_thread() is threading.main_thread()
        seen.append(n)
        if n == 3:
            raise Died("n")
        return n

    with one_thread():
        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(act, n) for n in range(5)]
            assert list(pool.map(act, [7, 8])) == [7, 8]
        with pytest.raises(Died):
            results[3].result()
    assert seen == [0, 1, 2, 3, 4, 7, 8]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threading.current_thread).result() is not threading.main_thread()


def test_a_module_is_shown_the_clock_and_its_datetimes_stay_datetimes() -> None:
    from medallion_assets.capture import naming

    clock = Clock()
    real = vars(naming)["datetime"]
    with clock.shown_to(naming):
        shown: Any = vars(naming)["datetime"]
        assert shown.now(UTC) == clock()
        assert shown.now() == shown.today() == clock().replace(tzinfo=None)
        assert isinstance(datetime(2026, 1, 1, tzinfo=UTC), shown)
        assert type(shown(2026, 1, 1)) is datetime
        assert type(shown.fromisoformat("2026-01-01")) is datetime
    assert vars(naming)["datetime"] is real
