from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from medallion_assets.errors import TableMissing
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import changed_rows, last_change, snapshot_summary
from medallion_assets.lake.maintenance import COMMITS_BETWEEN, compact, expire
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows

COLUMNS = ["id", "amount"]


def changes(lake: Lake, table: Table, since: int | None, until: int | None, columns: list[str] = COLUMNS) -> Any:
    assert until is not None
    found = changed_rows(lake, table, since=since, until=until, columns=columns)
    return None if found is None else sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)


@pytest.mark.both_lakes
def test_an_update_is_an_old_and_a_new_row(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    one = merge(
        lake, table, rows(ORDERS, order("a", 1, amount=Decimal(1)), order("b", 1, amount=Decimal(1)))
    ).snapshot_id
    two = merge(lake, table, rows(ORDERS, order("a", 2, amount=Decimal(2)), order("c", 1))).snapshot_id
    assert changes(lake, table, one, two) == [
        ("a", Decimal("1.00"), "old"),
        ("a", Decimal("2.00"), "new"),
        ("c", None, "new"),
    ]
    assert changes(lake, table, two, two) == []


def test_versions_that_came_and_went_in_between_are_not_seen(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    ids = [merge(lake, table, rows(ORDERS, order("a", n, amount=Decimal(n)))).snapshot_id for n in range(1, 6)]
    assert changes(lake, table, ids[0], ids[4]) == [("a", Decimal("1.00"), "old"), ("a", Decimal("5.00"), "new")]
    assert changes(lake, table, ids[1], ids[3]) == [("a", Decimal("2.00"), "old"), ("a", Decimal("4.00"), "new")]


def test_a_replaced_day_is_old_and_new_rows(lake: Lake) -> None:
    schema = pa.schema([("day", pa.date32()), ("n", pa.int64())])
    table = lake.ensure("gold", "sales", schema, partition_by=[("day", "day")])
    days = [dt.date(2026, 1, n) for n in (1, 2)]
    ids = []
    for n in (10, 20):
        new = pa.table({"day": days[: n // 10], "n": [n] * (n // 10)}, schema=schema)
        staged = stage_replace(lake, table, new, only=("day", pa.array(days[: n // 10])))
        publish(lake, table, staged)
        ids.append(staged.snapshot_id)
    assert changes(lake, table, ids[0], ids[1], ["day", "n"]) == [
        (days[0], 10, "old"),
        (days[0], 20, "new"),
        (days[1], 20, "new"),
    ]


def test_a_column_added_between_is_null_in_the_old_rows(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    one = merge(lake, table, rows(ORDERS, order("a", 1))).snapshot_id
    wider = ORDERS.append(pa.field("note", pa.string()))
    table = lake.ensure("silver", "orders", wider, key=["id"])
    two = merge(lake, table, rows(wider, order("a", 2, note="x"))).snapshot_id
    assert changes(lake, table, one, two, ["id", "note"]) == [("a", "x", "new"), ("a", None, "old")]


def test_what_is_not_in_the_lineage_is_for_the_caller_to_recompute(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    one = merge(lake, table, rows(ORDERS, order("a", 1))).snapshot_id
    two = merge(lake, table, rows(ORDERS, order("b", 1))).snapshot_id
    assert changes(lake, table, None, two) is None
    assert changes(lake, table, 4711, two) is None, "expired"
    assert changes(lake, table, two, one) is None, "not an ancestor"
    with pytest.raises(TableMissing, match="4711"):
        changes(lake, table, one, 4711)


def test_changes_are_the_exact_difference_of_two_states(lake: Lake) -> None:
    """Any two snapshots: what was there, minus the old rows, plus the new rows, is what is there."""
    random.seed(1)
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[("id", "bucket[2]")])
    states: list[tuple[int | None, Counter[Any]]] = []
    for number in range(1, 9):
        keys = random.sample("abcdefgh", random.randint(1, 6))
        batch = rows(ORDERS, *(order(k, random.randint(1, 9), amount=Decimal(number)) for k in keys))
        states.append((merge(lake, table, batch).snapshot_id, Counter(read(lake, table, COLUMNS))))
    for i, (since, before) in enumerate(states):
        for until, after in states[i:]:
            found = changes(lake, table, since, until)
            old = Counter(row[:-1] for row in found if row[-1] == "old")
            new = Counter(row[:-1] for row in found if row[-1] == "new")
            assert old == before - after
            assert new == after - before


def test_a_summary_holds_what_was_staged(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    staged = merge(lake, table, rows(ORDERS, order("a", 1)), properties={"medallion.run-id": "r1"})
    assert staged.snapshot_id is not None
    summary = snapshot_summary(table, staged.snapshot_id)
    assert summary["medallion.run-id"] == "r1"
    assert summary["added-records"] == "1"
    with pytest.raises(TableMissing):
        snapshot_summary(table, 4711)


def test_the_last_change_is_the_newest_snapshot_that_is_no_compaction(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    assert last_change(table) is None
    for number in range(1, COMMITS_BETWEEN + 1):
        changed = merge(lake, table, rows(ORDERS, order("a", number))).snapshot_id
    compacted = compact(lake, table)
    assert compacted is not None
    table.refresh()
    found = last_change(table)
    assert found is not None
    assert (found.snapshot_id, table.metadata.current_snapshot_id) == (changed, compacted.snapshot_id)
    expire(lake, table, older_than=dt.timedelta(minutes=-1))
    table.refresh()
    assert last_change(table) is None
