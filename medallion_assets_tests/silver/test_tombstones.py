"""Deleted keys, and tables that were created again: the rows of Silver, the listed keys, and what a crash leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.bronze.chunks import read_object
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.sequence import stream_created_at
from medallion_assets.capture.store import open_store
from medallion_assets.maintenance.tombstones import expire_tombstones
from medallion_assets.silver import batch
from medallion_assets.silver.changes import Changes
from medallion_assets.silver.decode import decode
from medallion_assets.silver.table import DELETED, SILVER
from medallion_assets.silver.tombstones import find_tombstones
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, bench_on_files, contract, record

ORDERS = contract(
    "Orders",
    {"Id": "string", "Amount": {"type": "int", "rules": [{"required": True}]}, "Note": "string"},
    key="Id",
)
FIRST, SECOND = "2026-03-01T00:00:00.000", "2026-03-01T06:00:00.000"


class Death(Exception):
    """The process dies here."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, ORDERS) as opened:
        yield opened


def order(number: int, key: str, amount: int | None, *, stream: str = FIRST, by: str | None = None) -> dict[str, Any]:
    """A change of an order; `amount` None deletes it, `by` is the principal that did."""
    made = record("Orders", number, {"Id": {"S": key}}, None if amount is None else {"Amount": {"N": str(amount)}})
    made["eventSourceARN"] = made["eventSourceARN"].rpartition("/")[0] + f"/{stream}"
    made["eventID"] += stream
    return made | ({"userIdentity": {"type": "Service", "principalId": by}} if by else {})


def merge(bench: Bench, *changes: dict[str, Any]) -> batch.BatchResult:
    bench.put(*changes)
    (result,) = bench.merge_pending("orders")
    assert result.published
    return result


def amounts(bench: Bench) -> dict[str, int]:
    return {row["id"]: row["amount"] for row in bench.rows("orders")}


def deleted(bench: Bench) -> dict[str, str]:
    return {row["id"]: row["_deleted_by"] for row in bench.rows("orders", namespace=DELETED)}


def test_a_deleted_key_leaves_silver_and_is_listed_with_who_deleted_it(bench: Bench) -> None:
    merge(bench, *(order(number, key, number) for number, key in enumerate("abc", start=1)))
    assert bench.lake.find(DELETED, "orders") is None, "nothing was deleted yet"
    result = merge(bench, order(11, "a", None), order(12, "b", None, by="dynamodb.amazonaws.com"), order(13, "x", None))
    assert (result.merged, result.deleted, result.inserted, result.updated) == (3, 3, 0, 0)
    assert amounts(bench) == {"c": 3}
    assert deleted(bench) == {"a": "user", "b": "ttl", "x": "user"}
    (row,) = [row for row in bench.rows("orders", namespace=DELETED) if row["id"] == "a"]
    assert row == {
        "id": "a",
        "_stream_created_at": datetime.fromisoformat(f"{FIRST}+00:00"),
        "_sequence_number": "11".zfill(40),
        "_event_id": f"Orders-11{FIRST}",
        "_changed_at": NOON,
        "_captured_at": row["_captured_at"],
        "_deleted_by": "user",
    }


def test_a_key_that_is_written_again_is_no_longer_listed(bench: Bench) -> None:
    merge(bench, order(1, "a", 1), order(2, "a", None))
    assert (amounts(bench), deleted(bench)) == ({}, {"a": "user"})
    assert merge(bench, order(3, "a", 3)).inserted == 1
    assert (amounts(bench), deleted(bench)) == ({"a": 3}, {})
    merge(bench, order(2, "a", None), order(1, "a", 1))
    assert (amounts(bench), deleted(bench)) == ({"a": 3}, {})


def test_after_a_crash_before_silver_the_row_is_as_before_and_an_older_update_is_superseded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(bench, order(1, "a", 1))
    with monkeypatch.context() as dying:
        dying.setattr(batch, "publish", died)
        bench.put(order(9, "a", None))
        with pytest.raises(Death):
            bench.merge_pending("orders")
    assert (amounts(bench), deleted(bench)) == ({"a": 1}, {"a": "user"})
    bench.put(order(5, "a", 5))
    (result,) = bench.merge_pending("orders")
    assert (amounts(bench), deleted(bench)) == ({}, {"a": "user"})
    assert (result.published, result.rows_in, result.superseded + result.unchanged) == (True, 2, 2)


def test_an_older_update_that_was_planned_before_a_deletion_does_not_win(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay by hand runs next to the sensor's run. The deleted key has no row, so removing it changes no row."""
    merge(bench, order(1, "other", 1))
    bench.put(order(5, "a", 5))
    real: Callable[..., Any] = find_tombstones
    raced: list[bool] = []

    def find(*given: Any) -> Any:
        found = real(*given)
        if not raced:
            raced.append(True)
            other = Bench(bench.lake, open_store(str(Path(bench.store.uri("")).parent / "other")), bench.domain)
            other.put(order(9, "a", None))
            rows = read_object(other.store, next(iter(other.store.list("Orders"))))
            with bench.lake.duckdb() as connection:
                decoded = decode(connection, rows, ORDERS)
            merger = batch.Merger(bench.lake, ORDERS, bench.domain, DAY, "other", NOON, whole=False)
            done = merger.merge(Changes.of_replay(decoded), advance=lambda position: position)
            assert done is not None and done.published and done.deleted == 1
        return found

    monkeypatch.setattr(batch, "find_tombstones", find)
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.superseded) == (True, 1)
    assert (amounts(bench), deleted(bench)) == ({"other": 1}, {"a": "user"})


def test_a_death_before_a_tombstone_a_crash_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(bench, order(1, "a", None), order(2, "b", None))
    with monkeypatch.context() as dying:
        dying.setattr(batch, "forget_tombstones", died)
        bench.put(order(3, "a", 3))
        with pytest.raises(Death):
            bench.merge_pending("orders")
    assert (amounts(bench), deleted(bench)) == ({"a": 3}, {"a": "user", "b": "user"})
    assert expire_tombstones(bench.lake, bench.store, ORDERS, run_id="tidy") == 1
    assert (amounts(bench), deleted(bench)) == ({"a": 3}, {"b": "user"})
    assert expire_tombstones(bench.lake, bench.store, ORDERS, run_id="tidy") == 0


def died(*given: Any, **more: Any) -> None:
    raise Death


def test_a_batch_that_its_audit_blocks_publishes_no_tombstone(bench: Bench) -> None:
    merge(bench, order(1, "a", 1))
    bad = [record("Orders", number, {"Id": {"S": f"bad-{number}"}}, {}) for number in range(20, 40)]
    bench.put(order(9, "a", None), *bad)
    (result,) = bench.merge_pending("orders")
    assert not result.published
    assert (amounts(bench), deleted(bench)) == ({"a": 1}, {})


def test_a_tombstone_is_removed_when_no_older_change_can_be_read_any_more(bench: Bench) -> None:
    merge(bench, order(1, "a", None))
    later = DAY + timedelta(days=14)
    for day, removed in ((later, 0), (later + timedelta(days=3), 1)):
        forget_bronze(bench, before=day)
        bench.put(order(100 + day.day, "b", 1), day=day)
        bench.merge_pending("orders", day=day)
        assert expire_tombstones(bench.lake, bench.store, ORDERS, run_id="tidy") == removed
    assert deleted(bench) == {}


def test_a_tombstone_stays_while_an_older_change_is_in_quarantine(bench: Bench) -> None:
    bench.put(record("Orders", 1, {"Id": {"S": "a"}}, {}), order(9, "a", None))
    assert bench.merge_pending("orders")[0].quarantined == 1
    day = DAY + timedelta(days=30)
    forget_bronze(bench, before=day)
    bench.put(order(100, "b", 1), day=day)
    bench.merge_pending("orders", day=day)
    assert expire_tombstones(bench.lake, bench.store, ORDERS, run_id="tidy") == 0
    assert bench.replay("orders").superseded == 1
    assert expire_tombstones(bench.lake, bench.store, ORDERS, run_id="tidy") == 1


def forget_bronze(bench: Bench, *, before: date) -> None:
    """Let Bronze expire, as a lifecycle rule does."""
    folder = Path(bench.store.uri(""))
    for name in bench.store.list("Orders"):
        if ObjectName.parse(name).captured_at.date() < before:
            (folder / name).unlink()


def test_a_table_that_was_created_again_continues_with_lower_numbers(bench: Bench) -> None:
    merge(bench, order(10**24, "a", 1), order(10**24 + 1, "b", 1), order(10**24 + 2, "c", None))
    result = merge(bench, *(order(number, key, 2, stream=SECOND) for number, key in enumerate("acd", start=1)))
    assert (result.merged, result.superseded) == (3, 0)
    assert (amounts(bench), deleted(bench)) == ({"a": 2, "b": 1, "c": 2, "d": 2}, {})
    late = merge(bench, order(10**24 + 3, "a", 9), order(10**24 + 4, "d", None), order(10**24 + 5, "b", 3))
    assert (late.superseded, late.updated) == (2, 1)
    assert amounts(bench) == {"a": 2, "b": 3, "c": 2, "d": 2}
    merge(bench, order(4, "b", None, stream=SECOND))
    assert (bench.remerge_day("orders")[0].merged, amounts(bench), deleted(bench)) == (
        0,
        {"a": 2, "c": 2, "d": 2},
        {"b": "user"},
    )


def test_the_later_stream_is_newer_also_within_one_batch(bench: Bench) -> None:
    merge(bench, order(1, "a", 2, stream=SECOND), order(10**30, "a", 1))
    assert amounts(bench) == {"a": 2}


def test_what_is_in_quarantine_is_superseded_by_a_later_stream_only(bench: Bench) -> None:
    bad = order(5, "a", 1, stream=SECOND)
    bad["dynamodb"]["NewImage"]["Amount"] = {"S": "five"}
    bench.put(order(10**24, "a", 1), bad)
    assert bench.merge_pending("orders")[0].quarantined == 1
    assert bench.replay("orders").still_open == 1, "Silver has only a change of the old stream"
    merge(bench, order(6, "a", 6, stream=SECOND))
    assert bench.replay("orders").superseded == 1


@pytest.mark.parametrize("label", ["latest", "x", "2026-03-01T99:99:99.000", "2026"])
def test_a_stream_whose_label_is_no_time_comes_before_all_others(bench: Bench, label: str) -> None:
    merge(bench, order(5, "a", 5, stream=label), order(9, "a", 9, stream=label), order(10, "b", 10, stream=label))
    assert amounts(bench) == {"a": 9, "b": 10}
    merge(bench, order(1, "a", 1), order(7, "b", 7, stream=label))
    assert amounts(bench) == {"a": 1, "b": 10}


@pytest.mark.parametrize("label", ["06:00:00.000", "06:00:00.000Z", "06:00:00.000000123+00:00", "06:00:00"])
def test_a_label_is_a_time_however_it_is_written(bench: Bench, label: str) -> None:
    stream = f"2026-03-01T{label}"
    merge(bench, order(1, "a", 1, stream=stream))
    (row,) = bench.rows("orders")
    arn = f"arn:aws:dynamodb:eu-central-1:123456789012:table/Orders/stream/{stream}"
    assert row["_stream_created_at"] == stream_created_at(arn) == datetime(2026, 3, 1, 6, tzinfo=UTC)


def test_required_columns_are_required_in_iceberg_until_the_contract_no_longer_does(bench: Bench) -> None:
    def required() -> set[str]:
        return {field.name for field in bench.lake.table(SILVER, "orders").schema().fields if field.required}

    merge(bench, order(1, "a", 1))
    ours = {"_stream_created_at", "_sequence_number", "_event_id", "_captured_at"}
    assert required() == {"id", "amount", *ours}
    relaxed = {**json.loads(ORDERS.model_dump_json()), "columns": {"Id": "string", "Amount": "int", "Note": "string"}}
    bench.domain = type(bench.domain)(
        name="tests", folder=Path(), since=DAY, tables=(type(ORDERS).model_validate(relaxed),)
    )
    merge(bench, record("Orders", 2, {"Id": {"S": "b"}}, {}))
    assert (required(), amounts(bench)) == ({"id", *ours}, {"a": 1, "b": None})
    bench.domain = type(bench.domain)(name="tests", folder=Path(), since=DAY, tables=(ORDERS,))
    assert merge(bench, order(3, "c", 3)).published, "older rows may be null, so the column stays optional"
