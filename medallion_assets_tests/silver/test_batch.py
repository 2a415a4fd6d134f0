"""One batch into Silver, on both kinds of lake: the gate, quarantine, bad objects, position, enrichment."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table.snapshots import Operation

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CommitConflict, CorruptObject, OlderDayPending
from medallion_assets.lake import retry
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import snapshot_summary
from medallion_assets.lake.maintenance import COMMITS_BETWEEN
from medallion_assets.lake.memory import TableMemory
from medallion_assets.lake.publish import publish
from medallion_assets.silver import batch as batch_module
from medallion_assets.silver.batch import BatchResult, Merger
from medallion_assets.silver.table import CAPTURE_DAY, DELETED, OBJECTS, POSITION, QUARANTINE, RUN_ID, SILVER
from medallion_assets_tests.silver.changes import (
    DAY,
    NOON,
    Bench,
    bench_on_files,
    bronze_bytes,
    contract,
    domain,
    record,
)

CUSTOMERS = contract("Customers", {"Id": "string", "Region": "string"}, key="Id")
STRICT = {"quarantine_share": {"max": 0}}


def orders(amount: Any = "int", **more: Any) -> Contract:
    return contract(
        "Orders",
        {"Id": "string", "Customer": "string", "Amount": amount},
        key="Id",
        enrich=[{"table": "customers", "on": "customer", "columns": {"region": "region"}}],
        **more,
    )


def customer(sequence: int, key: str, region: str | None) -> dict[str, Any]:
    return record("Customers", sequence, {"Id": {"S": key}}, None if region is None else {"Region": {"S": region}})


def order(sequence: int, key: str, amount: str | None, of: str = "c1") -> dict[str, Any]:
    new = None if amount is None else {"Customer": {"S": of}, "Amount": {"N": amount}}
    return record("Orders", sequence, {"Id": {"S": key}}, new)


@pytest.fixture
def either(lake: Lake, tmp_path: Path) -> Bench:
    """A Bench on both kinds of lake, one after the other."""
    return Bench(lake, open_store(str(tmp_path / "bronze")), domain(CUSTOMERS, orders()))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A Bench on files, for what does not depend on the kind of lake."""
    with bench_on_files(tmp_path, CUSTOMERS, orders()) as opened:
        yield opened


def with_orders(bench: Bench, **more: Any) -> None:
    bench.domain = domain(CUSTOMERS, orders(**more))


def amounts(bench: Bench) -> dict[str, Any]:
    return {row["id"]: row["amount"] for row in bench.rows("orders")}


def regions(bench: Bench) -> dict[str, Any]:
    return {row["id"]: row["region"] for row in bench.rows("orders")}


def test_a_batch_is_merged_once_and_its_snapshot_names_its_objects(either: Bench) -> None:
    either.put(order(1, "a", "1"), order(2, "b", "2"), order(3, "a", "3"))
    either.put(order(5, "b", None), order(4, "b", "4"))
    (result,) = either.merge_pending("orders")
    assert result.published
    assert result.counts | {"rows_in": 5, "merged": 2, "superseded": 3, "inserted": 1, "deleted": 1} == result.counts
    assert amounts(either) == {"a": 3}
    table = either.lake.table(SILVER, "orders")
    assert result.snapshot_id == table.metadata.current_snapshot_id
    assert result.snapshot_id is not None
    summary = snapshot_summary(table, result.snapshot_id)
    assert tuple(json.loads(summary[OBJECTS])) == result.objects
    assert len(result.objects) == 2
    assert (summary[RUN_ID], summary[CAPTURE_DAY]) == ("run-1", "2026-03-01")
    position = Position.from_json(table.properties[POSITION])
    assert position.pending(either.store, "Orders") == []
    assert either.merge_pending("orders") == []


def test_a_late_older_update_does_not_bring_a_deleted_row_back(bench: Bench) -> None:
    bench.put(order(100, "a", None))
    bench.merge_pending("orders")
    bench.put(order(99, "a", "1"))
    (result,) = bench.merge_pending("orders")
    assert (result.superseded, result.merged, result.published) == (1, 0, True)
    assert amounts(bench) == {}


def test_a_delivery_that_changes_nothing_moves_the_position_without_a_snapshot(either: Bench) -> None:
    either.put(order(1, "a", "1"))
    either.merge_pending("orders")
    either.put(order(1, "a", "1"))
    (result,) = either.merge_pending("orders")
    assert (result.unchanged, result.published) == (1, True)
    assert either.snapshots("orders") == 1
    assert either.merge_pending("orders") == []


def test_merging_nothing_and_referring_to_a_table_without_rows_create_no_table(bench: Bench) -> None:
    assert bench.merge_pending("customers") == [] == bench.merge_pending("orders")
    assert bench.lake.tables(SILVER) == []
    bench.put(order(1, "a", "1", of="c1"))
    bench.merge_pending("orders")
    assert bench.lake.tables(SILVER) == ["orders"]
    assert [row["region"] for row in bench.rows("orders")] == [None]


def test_an_older_day_comes_first(bench: Bench) -> None:
    yesterday = DAY - timedelta(days=1)
    bench.put(order(1, "a", "1"), day=yesterday)
    bench.put(order(2, "a", "2"))
    with pytest.raises(
        OlderDayPending, match=r"Orders: objects of 2026-02-28 are not merged yet.*Merge 2026-02-28 first"
    ):
        bench.merge_pending("orders")
    (first,) = bench.merge_pending("orders", day=yesterday)
    (second,) = bench.merge_pending("orders")
    assert len(first.objects) == len(second.objects) == 1
    assert amounts(bench) == {"a": 2}


def test_a_rerun_does_not_move_the_position_over_an_older_day(bench: Bench) -> None:
    yesterday = DAY - timedelta(days=1)
    bench.put(order(1, "a", "1"), day=yesterday)
    bench.put(order(2, "b", "2"))
    (result,) = bench.remerge_day("orders")
    assert result.published
    bench.merge_pending("orders", day=yesterday)
    assert amounts(bench) == {"a": 1, "b": 2}
    (again,) = bench.merge_pending("orders")
    assert (again.unchanged, again.merged) == (1, 0)


def test_a_rerun_merges_its_day_and_moves_the_position(bench: Bench) -> None:
    bench.put(order(1, "a", "1"))
    (result,) = bench.remerge_day("orders")
    assert (result.merged, result.published) == (1, True)
    assert bench.merge_pending("orders") == []
    (empty,) = bench.remerge_day("orders", day=DAY + timedelta(days=1))
    assert (empty.rows_in, empty.published) == (0, True)


def test_many_objects_are_merged_in_several_commits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.bronze.chunks.MAX_OBJECTS", 32)
    for number in range(40):
        bench.put(order(number + 1, f"o{number % 7}", str(number)))
    results = bench.merge_pending("orders")
    assert [len(result.objects) for result in results] == [32, 8]
    assert amounts(bench) == {f"o{number % 7}": number for number in range(40)}
    assert bench.merge_pending("orders") == []


def test_a_batch_has_as_many_chunks_as_its_decoded_rows_allow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.bronze.chunks.MAX_BYTES", 1)  # chunks of 16 objects
    for number in range(40):
        bench.put(order(number + 1, f"o{number % 7}", str(number)))
    bench.put(order(1, "o0", "0"), order(50, "o9", "9"))
    (whole,) = bench.merge_pending("orders")
    assert (len(whole.objects), whole.rows_in, whole.redelivered, whole.superseded) == (41, 42, 1, 33)
    assert amounts(bench) == {**{f"o{number % 7}": number for number in range(40)}, "o9": 9}
    monkeypatch.setattr("medallion_assets.silver.changes.MAX_DECODED_BYTES", 1)
    assert [len(result.objects) for result in bench.remerge_day("orders")] == [16, 16, 9]


def test_what_was_read_before_a_corrupt_object_is_merged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.bronze.chunks.MAX_BYTES", 1)
    for number in range(17):
        bench.put(order(number + 1, f"o{number}", str(number)))
    last = max(bench.store.list("Orders"))
    bench.store.put(last, bench.store.read(last)[:-9])
    with pytest.raises(CorruptObject, match=last):
        bench.merge_pending("orders")
    assert len(amounts(bench)) == 16


def test_of_large_batches_there_is_one_at_a_time_and_a_failed_one_gives_its_turn_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = threading.Lock()
    monkeypatch.setattr("medallion_assets.silver.changes._large_batches", turn)
    taken: list[bool] = []
    merge = Merger.merge

    def watched(*args: Any, **named: Any) -> BatchResult | None:
        taken.append(turn.locked())
        return merge(*args, **named)

    monkeypatch.setattr(Merger, "merge", watched)

    bench.put(order(1, "o1", "1"))
    bench.merge_pending("orders")
    monkeypatch.setattr("medallion_assets.silver.changes.SMALL_BYTES", 0)
    bench.put(order(2, "o2", "2"))
    bench.merge_pending("orders")
    assert taken == [False, True]
    assert not turn.locked()

    def fails(*_: object, **__: object) -> None:
        raise CommitConflict("another writer was faster")

    monkeypatch.setattr(Merger, "merge", fails)
    bench.put(order(3, "o3", "3"))
    with pytest.raises(CommitConflict):
        bench.merge_pending("orders")
    assert not turn.locked()


def test_a_run_that_remembers_older_customers_does_not_take_a_region_back(bench: Bench) -> None:
    bench.put(customer(1, "c1", "EU"), order(2, "a", "1"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    with Lake.open(bench.lake.settings) as remembering:
        remembering.remember_tables(TableMemory())
        remembering.table(SILVER, "customers")
        bench.put(customer(3, "c1", "US"))
        bench.merge_pending("customers")
        bench.merge_pending("orders")
        bench.put(order(4, "b", "2"))
        slow = Bench(remembering, bench.store, bench.domain)
        assert [result.published for result in slow.merge_pending("orders")] == [True]
    assert regions(bench) == {"a": "US", "b": "US"}


def test_an_order_has_its_customers_current_region_whenever_the_customer_arrives(either: Bench) -> None:
    either.put(order(1, "a", "1"), order(2, "b", "2", of="c2"))
    either.merge_pending("orders")
    assert regions(either) == {"a": None, "b": None}
    either.put(customer(10, "c1", "EU"))
    either.merge_pending("customers")
    (result,) = either.merge_pending("orders")
    assert (result.enriched, result.rows_in, result.published) == (1, 0, True)
    assert regions(either) == {"a": "EU", "b": None}
    either.put(customer(11, "c1", "US"), customer(12, "c2", "EU"))
    either.put(order(20, "b", "3", of="c1"), order(21, "c", "4", of="c2"))
    either.merge_pending("customers")
    (result,) = either.merge_pending("orders")
    assert (result.enriched, result.merged) == (1, 2)
    assert regions(either) == {"a": "US", "b": "US", "c": "EU"}
    either.put(customer(13, "c1", None))
    either.merge_pending("customers")
    either.merge_pending("orders")
    assert regions(either) == {"a": None, "b": None, "c": "EU"}
    assert either.merge_pending("orders") == []
    assert amounts(either) == {"a": 1, "b": 3, "c": 4}


def test_a_column_that_the_referenced_contract_just_got_can_be_copied_before_that_table_is_merged_again(
    bench: Bench,
) -> None:
    bench.domain = domain(CUSTOMERS, orders())
    bench.put(customer(1, "c1", "north"), order(2, "o1", "1"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    wider = contract("Customers", {"Id": "string", "Region": "string", "Segment": "string"}, key="Id")
    copied = {"table": "customers", "on": "customer", "columns": {"region": "region", "segment": "segment"}}
    bench.domain = domain(wider, contract("Orders", _columns(orders()), key="Id", enrich=[copied]))
    bench.put(order(3, "o1", "2"))
    (result,) = bench.merge_pending("orders")
    assert result.published
    (row,) = bench.rows("orders")
    assert (row["amount"], row["region"], row["segment"]) == (2, "north", None)


def test_a_column_that_is_copied_later_gets_its_values_in_every_row(bench: Bench) -> None:
    bench.put(customer(1, "c1", "north"), order(2, "o1", "1"), order(3, "o2", "1", of="c2"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    copied = {"table": "customers", "on": "customer", "columns": {"region": "region", "again": "region"}}
    bench.domain = domain(CUSTOMERS, contract("Orders", _columns(orders()), key="Id", enrich=[copied]))
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.enriched, result.rows_in) == (True, 1, 0)
    assert {row["id"]: row["again"] for row in bench.rows("orders")} == {"o1": "north", "o2": None}
    assert bench.merge_pending("orders") == []


def test_a_customer_that_changes_elsewhere_touches_no_order(bench: Bench) -> None:
    bench.put(order(1, "a", "1"), customer(2, "c1", "EU"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    snapshots = bench.snapshots("orders")
    bench.put(record("Customers", 3, {"Id": {"S": "c1"}}, {"Region": {"S": "EU"}, "Shoe": {"N": "43"}}))
    bench.merge_pending("customers")
    assert bench.merge_pending("orders") == []
    assert bench.snapshots("orders") == snapshots


@pytest.mark.slow
def test_a_customer_that_came_and_changed_elsewhere_on_both_sides_of_a_compaction_is_found(bench: Bench) -> None:
    bench.put(order(1, "a", "1", of="c1"), customer(2, "c2", "US"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    for number in range(COMMITS_BETWEEN):
        bench.put(customer(number + 3, "c1", "EU"))
        bench.merge_pending("customers")
    summaries = [snapshot.summary for snapshot in bench.lake.table(SILVER, "customers").metadata.snapshots]
    assert Operation.REPLACE in {summary.operation for summary in summaries if summary}
    bench.put(record("Customers", 99, {"Id": {"S": "c1"}}, {"Region": {"S": "EU"}, "Shoe": {"N": "43"}}))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    assert regions(bench) == {"a": "EU"}


def test_rows_that_break_the_contract_are_quarantined_and_the_others_are_merged(bench: Bench) -> None:
    bench.put(order(1, "a", "1"), order(2, "b", "1.5"))
    bench.put(order(2, "b", "1.5"))
    (result,) = bench.merge_pending("orders")
    assert result.published
    assert (result.rows_in, result.quarantined, result.redelivered, result.merged) == (3, 1, 1, 1)
    assert amounts(bench) == {"a": 1}
    (row,) = bench.rows("orders", namespace=QUARANTINE)
    assert (row["event_id"], row["column_name"], row["status"]) == ("Orders-2", "amount", "open")
    assert row["reason"] == 'expected int, saw {"N":"1.5"}'
    assert json.loads(row["new_image"])["Amount"] == {"N": "1.5"}
    assert (row["capture_day"], row["run_id"], row["object"]) == (DAY, "run-1", result.objects[0])
    snapshots = len(bench.lake.table(QUARANTINE, "orders").metadata.snapshots)
    bench.remerge_day("orders")
    assert len(bench.lake.table(QUARANTINE, "orders").metadata.snapshots) == snapshots


def test_a_blocked_batch_changes_nothing_until_the_contract_is_corrected(either: Bench) -> None:
    with_orders(either, rules=STRICT)
    either.put(order(1, "a", "1"))
    (first,) = either.merge_pending("orders")
    either.put(order(2, "a", "2"), order(3, "b", "2.5"))
    (blocked,) = either.merge_pending("orders")
    assert not blocked.published
    assert [check.name for check in blocked.checks if check.blocks_publish] == ["quarantine_rate"]
    assert blocked.snapshot_id == first.snapshot_id
    assert amounts(either) == {"a": 1}
    table = either.lake.table(SILVER, "orders")
    assert set(table.metadata.refs) == {"main"}
    assert Position.from_json(table.properties[POSITION]).pending(either.store, "Orders") == list(blocked.objects)
    (row,) = either.rows("orders", namespace=QUARANTINE)
    assert row["status"] == "open"

    with_orders(either, rules={"quarantine_share": {"max": 1}})
    (passed,) = either.remerge_day("orders")
    assert passed.published
    assert amounts(either) == {"a": 2}
    assert either.merge_pending("orders") == []


def _columns(table: Contract) -> dict[str, Any]:
    return {name: str(column.type) for name, column in table.columns.items()}


def test_a_corrected_rule_and_a_rerun_of_the_day_resolve_the_quarantine(either: Bench) -> None:
    with_orders(either, amount={"type": "int", "rules": [{"max": 10}]}, rules=STRICT)
    either.put(order(1, "a", "11"), order(2, "b", "2"))
    (blocked,) = either.merge_pending("orders")
    assert not blocked.published
    with_orders(either, amount={"type": "int", "rules": [{"max": 100}]}, rules=STRICT)
    (passed,) = either.remerge_day("orders", now=NOON + timedelta(hours=1))
    assert (passed.published, passed.resolved, passed.quarantined) == (True, 1, 0)
    assert amounts(either) == {"a": 11, "b": 2}
    (row,) = either.rows("orders", namespace=QUARANTINE)
    assert (row["status"], row["resolved_at"]) == ("resolved", NOON + timedelta(hours=1))
    assert either.merge_pending("orders") == []


def test_a_rerun_fills_a_column_that_was_declared_later(bench: Bench) -> None:
    bench.put(record("Orders", 1, {"Id": {"S": "a"}}, {"Amount": {"N": "1"}, "Note": {"S": "hi"}}))
    bench.merge_pending("orders")
    assert [json.loads(row["_extra"]) for row in bench.rows("orders")] == [{"Note": {"S": "hi"}}]
    later = contract(
        "Orders", {**_columns(orders()), "Note": "string"}, key="Id", enrich=orders().model_dump()["enrich"]
    )
    bench.domain = domain(CUSTOMERS, later)
    (result,) = bench.remerge_day("orders")
    assert (result.updated, result.published) == (1, True)
    assert [(row["note"], row["_extra"]) for row in bench.rows("orders")] == [("hi", None)]


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "columns", "json", "page"])
def test_an_object_that_cannot_be_read_stops_its_table_and_is_named(bench: Bench, damage: str) -> None:
    bench.put(order(1, "a", "1"))
    good = bronze_bytes(*(order(number, f"b{number}", "2") for number in range(2, 500)))
    table = pq.read_table(pa.BufferReader(good))
    data = {
        "truncated": good[:-20],
        "garbage": b"no parquet",
        "empty": b"",
        "columns": _parquet(table.drop_columns(["old_image"])),
        "json": _parquet(table.set_column(6, "new_image", pa.array(['{"Id":'] * table.num_rows))),
        "page": good[:200] + bytes(800) + good[1000:],
    }[damage]
    path = ObjectName("Orders", NOON + timedelta(minutes=1), 2, "0" * 16).path
    bench.store.put(path, data)
    bench.put(customer(3, "c1", "EU"))
    with pytest.raises(CorruptObject, match=path):
        bench.merge_pending("orders")
    assert bench.lake.find(SILVER, "orders") is None or bench.rows("orders") == []
    (other,) = bench.merge_pending("customers")
    assert other.published
    bench.store.put(path, good)
    (result,) = bench.merge_pending("orders")
    assert result.merged == 499


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def test_a_conflict_is_planned_again_on_the_new_state(either: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    either.put(order(1, "a", "1"))
    either.merge_pending("orders")
    either.put(order(5, "a", "5"), order(6, "b", "6"))
    other_results: list[BatchResult] = []

    def late(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(batch_module, "publish", publish)
        other_results.extend(Bench(either.lake, either.store, either.domain).merge_pending("orders"))
        publish(*args, **more)

    monkeypatch.setattr(batch_module, "publish", late)
    (result,) = either.merge_pending("orders")
    assert (result.published, result.unchanged, result.merged) == (True, 2, 0)
    assert [other.merged for other in other_results] == [2]
    assert amounts(either) == {"a": 5, "b": 6}


def test_a_commit_that_conflicts_every_time_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(order(1, "a", "1"))

    def lose(*args: Any, **more: Any) -> None:
        raise CommitConflict("somebody else")

    monkeypatch.setattr(batch_module, "publish", lose)
    monkeypatch.setattr(retry, "MAX_ATTEMPTS", 3)
    with pytest.raises(CommitConflict, match="somebody else"):
        bench.merge_pending("orders")
    monkeypatch.undo()
    (result,) = bench.merge_pending("orders")
    assert result.merged == 1


def test_after_a_crash_before_publishing_the_next_run_merges_everything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(order(1, "a", "1"), order(2, "b", "1.5"))

    def crash(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_module, "publish", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.merge_pending("orders")
    monkeypatch.undo()
    assert bench.rows("orders") == []
    (result,) = bench.merge_pending("orders")
    assert (result.merged, result.quarantined) == (1, 1)
    assert amounts(bench) == {"a": 1}
    assert len(bench.rows("orders", namespace=QUARANTINE)) == 1


@pytest.mark.parametrize(
    ("columns", "key", "keys"),
    [
        ({"K": "binary"}, "K", [{"K": {"B": "AA=="}}, {"K": {"B": "/w=="}}]),
        ({"K": "bigint"}, "K", [{"K": {"N": "9007199254740992"}}, {"K": {"N": "9007199254740993"}}]),
        ({"K": "decimal(38,0)"}, "K", [{"K": {"N": "1" * 38}}, {"K": {"N": "1" * 37 + "2"}}]),
        ({"H": "string", "R": "binary"}, ("H", "R"), [{"H": {"S": "x"}, "R": {"B": b}} for b in ("AA==", "AQ==")]),
        (
            {"H": "decimal(20,5)", "R": "string"},
            ("H", "R"),
            [{"H": {"N": n}, "R": {"S": ""}} for n in ("1.5", "1.50001")],
        ),
    ],
)
def test_every_key_type_dynamodb_has_is_a_key_here(
    bench: Bench, columns: dict[str, str], key: Any, keys: list[Any]
) -> None:
    bench.domain = domain(contract("Things", {**columns, "V": "int"}, key=key))
    bench.put(*(record("Things", at + 1, one, {"V": {"N": str(at)}}) for at, one in enumerate(keys)))
    bench.merge_pending("things")
    bench.put(record("Things", 10, keys[0], {"V": {"N": "10"}}), record("Things", 11, keys[1], None))
    (result,) = bench.merge_pending("things")
    assert (result.updated, result.inserted, result.deleted, result.published) == (1, 0, 1, True)
    assert [row["v"] for row in bench.rows("things")] == [10]
    assert len(bench.rows("things", namespace=DELETED)) == 1


def test_the_shipped_domain_is_merged(lake: Lake, tmp_path: Path) -> None:
    shop = load_domain("ecommerce")
    bench = Bench(lake, open_store(str(tmp_path / "bronze")), shop)
    bench.put(
        record(
            "Customers",
            1,
            {"CustomerID": {"S": "c"}},
            {"Name": {"S": "Ann"}, "Region": {"S": "EU"}, "Phone": {"S": "1"}},
        ),
        record(
            "Products",
            2,
            {"ProductID": {"S": "p"}},
            {"Name": {"S": "Pen"}, "Price": {"N": "79.99"}, "StockLevel": {"N": "3"}},
        ),
        record(
            "Orders",
            3,
            {"OrderID": {"S": "o"}},
            {
                "CustomerID": {"S": "c"},
                "ProductID": {"L": [{"S": "p"}, {"S": "p"}]},
                "OrderDate": {"S": "2026-01-26T10:30:00Z"},
                "TotalAmount": {"N": "79.99"},
                "Status": {"S": "shipped"},
                "Customer": {"M": {"Name": {"S": "old"}}},
            },
        ),
    )
    for table in shop.tables:
        (result,) = bench.merge_pending(table.lake_name)
        assert all(check.passed for check in result.checks)
    (row,) = bench.rows("orders")
    assert (row["customer_name"], row["customer_region"], row["product_ids"], row["_extra"]) == (
        "Ann",
        "EU",
        ["p", "p"],
        None,
    )
