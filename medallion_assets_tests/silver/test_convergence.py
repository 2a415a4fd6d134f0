"""Silver converges: the same changes in any order, any number of times, cut into any batches, give the same tables.

The oracle folds the change log in plain Python. `_captured_at` is left out: it is when the delivery that was merged
first was captured, and the same change may be delivered twice.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import parse_type
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.table import DELETED, SILVER
from medallion_assets.simulation.judge.reference_decoder import Misfit, parsed, read
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record
from medallion_assets_tests.silver.values import fitting

TYPES = {
    "S": "string",
    "I": "int",
    "D": "decimal(12,2)",
    "At": "timestamp",
    "Bin": "binary",
    "Tags": "set<string>",
    "M": "map<list<int>>",
    "St": "struct<A:int,B:string>",
    "J": "json",
}
CUSTOMERS = contract("Customers", {"Id": "int", "Name": "string", "Region": "string"}, key="Id")
ORDERS = contract(
    "Orders",
    {"H": "binary", "R": "decimal(38,0)", "Customer": "int", **TYPES},
    key=("H", "R"),
    enrich=[{"table": "customers", "on": "customer", "columns": {"customer_name": "name", "region": "region"}}],
    # The oracle has no gate: every batch is published, whatever share of it is quarantined.
    rules={"quarantine_share": {"max": 1}},
)

DAY_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)

Change = tuple[str, int, dict[str, Any], dict[str, Any] | None]

customer_keys = st.integers(1, 3).map(lambda number: {"Id": {"N": str(number)}})
order_keys = st.tuples(st.sampled_from(["AA==", "AQ=="]), st.sampled_from(["1", "2", "1E+30"])).map(
    lambda pair: {"H": {"B": pair[0]}, "R": {"N": pair[1]}}
)
customer_images = st.fixed_dictionaries(
    {},
    optional={
        "Name": st.sampled_from([{"S": "Ann"}, {"S": "Bob"}]),
        "Region": st.sampled_from([{"S": "EU"}, {"S": "US"}]),
    },
)
order_images = st.fixed_dictionaries(
    {"Customer": st.integers(1, 4).map(lambda number: {"N": str(number)})},
    optional={name: fitting(parse_type(kind)) for name, kind in TYPES.items()} | {"More": st.just({"N": "1.10"})},
)


@st.composite
def change_logs(draw: st.DrawFn) -> list[Change]:
    """Changes in the order they happened; sequence numbers of widths that order differently as text."""
    log: list[Change] = []
    sequence = draw(st.sampled_from([1, 95, 10**20 - 3, 10**39]))
    for _ in range(draw(st.integers(1, 12))):
        sequence += draw(st.integers(1, 5))
        if draw(st.booleans()):
            log.append(("Customers", sequence, draw(customer_keys), draw(st.one_of(st.none(), customer_images))))
        else:
            log.append(("Orders", sequence, draw(order_keys), draw(st.one_of(st.none(), order_images, order_images))))
    return log


@st.composite
def deliveries(draw: st.DrawFn, log: list[Change]) -> list[list[Change] | str]:
    """The log in any order, some of it twice, cut into captured batches, with runs of a table in between."""
    copies = [change for change in log for _ in range(draw(st.sampled_from([1, 1, 2])))]
    shuffled = draw(st.permutations(copies))
    steps: list[list[Change] | str] = []
    while shuffled:
        size = draw(st.integers(1, len(shuffled)))
        steps.append(shuffled[:size])
        steps += draw(st.lists(st.sampled_from(["customers", "orders", "rerun orders"]), max_size=2))
        shuffled = shuffled[size:]
    return [*steps, "customers", "orders"]


def expected(log: list[Change]) -> list[dict[Any, Any]]:
    """Customers, deleted customers, orders and deleted orders after the log: key -> row without `_captured_at`."""
    (customers, *gone), (orders, *cancelled) = fold(CUSTOMERS, log), fold(ORDERS, log)
    for row in orders.values():
        customer = customers.get((row["customer"],), {})
        row["customer_name"], row["region"] = customer.get("name"), customer.get("region")
    return [customers, *gone, orders, *cancelled]


def fold(table: Contract, log: list[Change]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The live rows and the deleted keys of one table."""
    live: dict[Any, Any] = {}
    deleted: dict[Any, Any] = {}
    for name, sequence, keys, image in sorted(log, key=lambda change: change[1]):
        if name != table.table:
            continue
        item = keys if image is None else {**image, **keys}
        try:
            row = {
                column.name: read(column.type, item[attribute]) if attribute in item else None
                for attribute, column in table.columns.items()
            }
        except Misfit:
            continue
        undeclared = {attribute: value for attribute, value in item.items() if attribute not in table.columns}
        if isinstance(item.get("St", {}).get("M"), dict) and set(item["St"]["M"]) - {"A", "B"}:
            undeclared["St"] = item["St"]
        meta = {"_stream_created_at": DAY_BEGAN, "_sequence_number": sequence, "_event_id": f"{name}-{sequence}"}
        key = tuple(row[one] for one in table.key_names)
        live.pop(key, None)
        deleted.pop(key, None)
        if image is None:
            deleted[key] = {one: row[one] for one in table.key_names} | meta | {"_deleted_by": "user"}
        else:
            live[key] = row | {"_extra": undeclared or None} | meta
    return live, deleted


def actual(bench: Bench, table: Contract, namespace: str) -> dict[Any, Any]:
    rows = {}
    for row in bench.rows(table.lake_name, namespace=namespace):
        row.pop("_captured_at")
        row.pop("_changed_at")
        row["_sequence_number"] = int(row["_sequence_number"])
        if row.get("_extra") is not None:
            row["_extra"] = parsed(row["_extra"])
        if row.get("j") is not None:
            row["j"] = parsed(row["j"])
        key = tuple(row[name] for name in table.key_names)
        assert key not in rows
        rows[key] = row
    return rows


def deliver(bench: Bench, steps: list[list[Change] | str]) -> None:
    for step in steps:
        if isinstance(step, list):
            bench.put(*[record(*change) for change in step])
            continue
        table = step.removeprefix("rerun ")
        results = bench.remerge_day(table) if table != step else bench.merge_pending(table)
        for result in results:
            assert result.published
            assert result.rows_in == (
                result.redelivered + result.merged + result.superseded + result.unchanged + result.quarantined
            )
            assert result.merged == result.inserted + result.updated + result.deleted


def check(bench: Bench, log: list[Change]) -> None:
    assert [
        actual(bench, table, namespace) for table in (CUSTOMERS, ORDERS) for namespace in (SILVER, DELETED)
    ] == expected(log)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order_duplication_and_batching_gives_the_same_tables(data: st.DataObject) -> None:
    log = data.draw(change_logs())
    with tempfile.TemporaryDirectory() as folder, bench_on_files(Path(folder), CUSTOMERS, ORDERS) as bench:
        deliver(bench, data.draw(deliveries(log)))
        check(bench, log)
        before = bench.snapshots("orders"), bench.snapshots("customers")
        deliver(bench, ["rerun customers", "rerun orders", "customers", "orders"])
        deliver(bench, ["rerun customers", "rerun orders", "customers", "orders"])
        after = bench.snapshots("orders"), bench.snapshots("customers")
        # The first rerun may set `_captured_at` to the earliest delivery; after that, a rerun commits nothing.
        assert [now - then <= 1 for then, now in zip(before, after, strict=True)] == [True, True]
        check(bench, log)


@pytest.mark.both_lakes
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_both_kinds_of_lake_converge(lake: Lake, tmp_path: Path, data: st.DataObject) -> None:
    """Each example has tables of its own: the lake fixture is one for all of them."""
    log = data.draw(change_logs())
    for name in ("orders", "customers"):
        for namespace in (SILVER, DELETED):
            if lake.find(namespace, name) is not None:
                lake._catalog.drop_table((namespace, name))
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        bench = Bench(lake, open_store(folder), domain(CUSTOMERS, ORDERS))
        deliver(bench, data.draw(deliveries(log)))
        check(bench, log)
