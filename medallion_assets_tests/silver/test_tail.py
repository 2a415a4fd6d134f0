"""The tail of a table: with what Bronze has it is what the next merge publishes, whatever order changes arrive in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.errors import NotCaughtUp
from medallion_assets.silver.tail import Tail, fresh_sql
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

ORDERS = contract(
    "Orders", {"Id": "string", "Amount": {"type": "int", "rules": [{"required": True}]}, "Note": "string"}, key="Id"
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, ORDERS) as opened:
        yield opened


def order(number: int, key: str, amount: int | str | None) -> dict[str, Any]:
    """A change of an order; `amount` None deletes it, a text breaks the contract."""
    value = {"S": amount} if isinstance(amount, str) else {"N": str(amount)}
    return record("Orders", number, {"Id": {"S": key}}, None if amount is None else {"Amount": value})


def fresh(bench: Bench, tail: Tail) -> dict[str, int]:
    table = bench.lake.table("silver", "orders")
    rows = tail.read(table).rows
    with bench.lake.duckdb() as connection:
        connection.register("tail", rows)
        found = connection.execute(fresh_sql(tail.contract, bench.lake.scan_sql(table, None), "tail"))
        return {row["id"]: row["amount"] for row in found.to_arrow_table().to_pylist()}


def test_a_late_change_does_not_win_over_a_newer_one_of_silver(bench: Bench) -> None:
    tail = Tail(bench.lake, bench.store, bench.domain.by_name["orders"], bench.domain)
    bench.put(order(100, "updated", 1), order(101, "kept", 2), order(102, "broken", 3), order(103, "gone", 4))
    bench.put(order(104, "gone", None))
    bench.merge_pending("orders")
    assert fresh(bench, tail) == {"updated": 1, "kept": 2, "broken": 3}

    bench.put(order(50, "updated", 7), order(51, "kept", None), order(52, "gone", 9), order(105, "broken", "no number"))
    expected = {"updated": 1, "kept": 2, "broken": 3}
    assert fresh(bench, tail) == expected
    bench.put(order(106, "updated", 8), order(60, "new", 5))
    assert fresh(bench, tail) == expected | {"updated": 8, "new": 5}
    bench.merge_pending("orders")
    assert fresh(bench, tail) == expected | {"updated": 8, "new": 5}
    assert {row["id"]: row["amount"] for row in bench.rows("orders")} == expected | {"updated": 8, "new": 5}


def test_a_column_that_no_merge_has_renamed_yet_is_not_answered_in_two_parts(bench: Bench) -> None:
    bench.put(order(100, "old", 1))
    bench.merge_pending("orders")
    renamed = contract(
        "Orders", {"Id": "string", "Amount": {"type": "int", "rename": "total", "renamed_from": "amount"}}, key="Id"
    )
    tail = Tail(bench.lake, bench.store, renamed, domain(renamed))
    with pytest.raises(NotCaughtUp, match="no merge has renamed its columns total yet"):
        tail.read(bench.lake.table("silver", "orders"))


def test_rows_that_no_merge_has_filled_yet_are_not_beside_those_that_have_the_new_column(bench: Bench) -> None:
    change = order(100, "old", 1)
    change["dynamodb"]["NewImage"]["New"] = {"S": "x"}
    bench.put(change)
    bench.merge_pending("orders")
    declared = contract("Orders", {"Id": "string", "Amount": "int", "Note": "string", "New": "string"}, key="Id")
    tail = Tail(bench.lake, bench.store, declared, domain(declared))
    table = bench.lake.table("silver", "orders")
    assert tail.read(table).rows.num_rows == 0, "fresh is what is published"
    bench.put(order(101, "new", 2))
    with pytest.raises(NotCaughtUp, match="no merge has filled the columns"):
        tail.read(table)
