"""The lake with faults: each of its calls fails once in each way, and a merge that is run again comes to the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import LakeUnavailable
from medallion_assets.silver.batches import merge_pending
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.faults import (
    AFTER,
    BEFORE,
    DEATH_AFTER,
    DEATH_BEFORE,
    NEVER,
    Died,
    Fault,
    Faults,
    Rates,
)
from medallion_assets.simulation.harness.lake import SECOND_WRITER, Warehouse, quick_avro
from medallion_assets.simulation.inline_threads import one_thread
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets_tests.silver.changes import DAY, contract, domain, record

ORDERS = contract("Orders", {"Id": "string", "Amount": "int"}, key="Id")
SHOP = domain(ORDERS)
NOON = datetime.combine(DAY, datetime.min.time(), UTC)


def order(sequence: int, key: str, amount: int | None) -> dict[str, object]:
    return record("Orders", sequence, {"Id": {"S": key}}, None if amount is None else {"Amount": {"N": str(amount)}})


class Bench:
    """A warehouse with one merge published, and objects for a second one."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(NOON)
        self.store = MemoryStore()
        self.warehouse = Warehouse(folder, self.plan())
        self.put(order(10, "a", 1), order(11, "b", 1))
        self.merge()
        self.put(order(20, "a", 2), order(21, "b", None), order(22, "c", 3))

    def plan(self, *script: Fault) -> Faults:
        return Faults(0, self.clock, NEVER, script=script)

    def put(self, *records: dict[str, object]) -> None:
        self.clock.advance(1)
        assert write_bronze(records, store=self.store, captured_at=self.clock()) == []

    def merge(self) -> None:
        with self.warehouse.open() as lake:
            for result in merge_pending(lake, self.store, ORDERS, SHOP, day=DAY, run_id="run", now=self.clock()):
                assert result.published

    def rows(self) -> set[tuple[str, int | None]]:
        with self.warehouse.open() as lake, lake.duckdb() as connection:
            table = lake.table("silver", "orders")
            return set(connection.execute(f"SELECT id, amount FROM {lake.scan_sql(table, None)}").fetchall())


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread(), quick_avro():
        yield


@pytest.mark.slow
def test_a_merge_survives_a_fault_at_each_call_that_changes_something(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "calm")
    bench.warehouse.faults = bench.plan()
    bench.merge()
    reached = bench.warehouse.faults.reached
    assert {"catalog.load", "catalog.commit", "file.create", "file.write", "file.close", "file.read"} <= reached.keys()
    after = bench.rows()
    assert after == {("a", 2), ("c", 3)}
    points = [(point, nth) for point in ("catalog.commit", "file.close") for nth in range(reached[point])]
    points += [(point, reached[point] // 2) for point in ("catalog.load", "file.create", "file.write", "query.read")]
    for number, (point, nth) in enumerate(points):
        for kind in (BEFORE, AFTER, DEATH_BEFORE, DEATH_AFTER):
            bench = Bench(tmp_path / f"{number}-{kind}")
            before = bench.rows()
            bench.warehouse.faults = bench.plan(Fault(point, nth, kind))
            try:
                bench.merge()
            except (Died, LakeUnavailable) as failed:
                assert isinstance(failed, Died) == kind.startswith("death"), (point, nth, kind)
            bench.warehouse.faults = bench.plan()
            assert bench.rows() in (before, after), "readers see all of it or nothing"
            bench.merge()
            assert bench.rows() == after, (point, nth, kind)


def test_somebody_else_may_commit_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    names = []

    def somebody(name: tuple[str, ...]) -> None:
        names.append(name)
        if name != ("silver", "orders"):
            return
        bench.warehouse.contention = 0.0
        with bench.warehouse.open() as lake:
            table = lake.table(*name)
            with table.transaction() as change:
                change.set_properties({"who": "somebody"})

    bench.warehouse.second_writer, bench.warehouse.contention = somebody, 1.0
    bench.warehouse.faults = Faults(0, bench.clock)
    bench.merge()
    assert names[-1] == ("silver", "orders")
    assert bench.warehouse.faults.by_kind() == {SECOND_WRITER: len(names)}
    assert bench.rows() == {("a", 2), ("c", 3)}
    with bench.warehouse.open() as lake:
        assert lake.table("silver", "orders").properties["who"] == "somebody"


def test_what_is_committed_is_told_also_when_its_maker_does_not_get_to_know(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    told: list[str] = []
    bench.warehouse.committed = lambda name, metadata, location: told.append(location)
    bench.warehouse.faults = bench.plan(Fault("catalog.commit", 0, DEATH_BEFORE))
    with pytest.raises(Died):
        bench.merge()
    assert not told
    bench.warehouse.faults = bench.plan(Fault("catalog.commit", 0, DEATH_AFTER))
    with pytest.raises(Died):
        bench.merge()
    assert len(told) == 1


def test_latency_passes_on_the_virtual_clock(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.warehouse.faults = Faults(1, bench.clock, Rates(delay=1.0, delay_max_s=60))
    before = bench.clock()
    bench.merge()
    assert (bench.clock() - before).total_seconds() > 600
