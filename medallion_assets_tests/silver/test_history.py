"""The history of a table: every version of a key, in the order of the source, from any order of arrival.

The oracle folds the change log in plain Python.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from medallion_assets.contracts.model import Contract
from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.publish import publish
from medallion_assets.maintenance.history import shorten_history
from medallion_assets.repair.rebuild_history import rebuild_history
from medallion_assets.silver import batch
from medallion_assets.silver.table import DELETED, HISTORY
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, bench_on_files, contract, domain, record

COLUMNS = {"Id": "int", "Amount": "int", "Gone": "bool"}
ORDERS = contract("Orders", COLUMNS, key="Id", history=True, deleted_when="Gone = true")

TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}

Change = tuple[int, int, int, str]
"""Sequence number, key, second in which it was made, and what it does."""


class Death(Exception):
    """The process dies here."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, ORDERS) as opened:
        yield opened


def made(change: Change) -> dict[str, Any]:
    number, key, second, act = change
    item: dict[str, Any] = {"Amount": {"N": str(number)}, "Gone": {"BOOL": act == "soft_delete"}}
    one = record("Orders", number, {"Id": {"N": str(key)}}, None if act in {"remove", "expired"} else item)
    one["dynamodb"]["ApproximateCreationDateTime"] = NOON.timestamp() + second
    return one | ({"userIdentity": TTL} if act == "expired" else {})


def expected(log: list[Change]) -> list[tuple[Any, ...]]:
    """Key, amount, times in seconds and operation of every version."""
    rows: list[tuple[Any, ...]] = []
    for key, group in itertools.groupby(sorted(log, key=lambda one: (one[1], one[0])), key=lambda one: one[1]):
        versions = list(group)
        begins = [min(second for _, _, second, _ in versions[at:]) for at in range(len(versions))]
        exists = False
        for at, (number, _, _, act) in enumerate(versions):
            if act == "put":
                end = begins[at + 1] if at + 1 < len(versions) else None
                rows.append((key, number, begins[at], end, "modify" if exists else "insert"))
            else:
                rows.append((key, None, begins[at], begins[at], act))
            exists = act == "put"
    return rows


def actual(bench: Bench) -> list[tuple[Any, ...]]:
    def seconds(at: Any) -> int | None:
        return None if at is None else int((at - NOON).total_seconds())

    rows = sorted(bench.rows("orders", namespace=HISTORY), key=lambda row: (row["id"], row["_sequence_number"]))
    return [
        (row["id"], row["amount"], seconds(row["valid_from"]), seconds(row["valid_to"]), row["operation"])
        for row in rows
    ]


@st.composite
def change_logs(draw: st.DrawFn) -> list[Change]:
    """Changes in the order they happened, whose clock may go back by some seconds."""
    acts = st.sampled_from(["put", "put", "put", "remove", "expired", "soft_delete"])
    numbers = itertools.accumulate(draw(st.lists(st.integers(1, 40), min_size=1, max_size=12)))
    return [(number, draw(st.integers(1, 2)), number + draw(st.integers(-4, 4)), draw(acts)) for number in numbers]


def deliver(bench: Bench, log: list[Change], data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    """Deliver the log in any order, some of it twice, in any batches, with crashes before a publication and reruns."""
    copies = [change for change in log for _ in range(data.draw(st.sampled_from([1, 1, 2])))]
    shuffled = data.draw(st.permutations(copies))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        bench.put(*map(made, shuffled[:size]))
        shuffled = shuffled[size:]
        act = data.draw(st.sampled_from(["wait", "merge", "die before", "die after", "rerun"]))
        if act.startswith("die"):
            with patch.context() as dying, suppress(Death):
                dying.setattr(batch, "publish", die if act == "die before" else publish_and_die)
                bench.merge_pending("orders")
        elif act != "wait":
            bench.merge_pending("orders") if act == "merge" else bench.remerge_day("orders")
    bench.merge_pending("orders")


def die(*_: Any, **__: Any) -> None:
    raise Death


def publish_and_die(*args: Any, **named: Any) -> None:
    publish(*args, **named)
    raise Death


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order_duplicates_and_crashes_give_the_same_history(data: st.DataObject) -> None:
    check(data)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_orders_duplicates_and_crashes_give_the_same_history(data: st.DataObject) -> None:
    check(data)


def check(data: st.DataObject) -> None:
    log = data.draw(change_logs())
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        bench_on_files(Path(folder), ORDERS) as bench,
    ):
        deliver(bench, log, data, patch)
        assert actual(bench) == expected(log)
        assert_current_rows_are_silvers(bench)
        rebuild_history(bench.lake, bench.store, bench.domain, ORDERS, run_id="again", now=NOON)
        before = bench.lake.table(HISTORY, "orders").metadata.current_snapshot_id
        rebuild_history(bench.lake, bench.store, bench.domain, ORDERS, run_id="again", now=NOON)
        assert actual(bench) == expected(log)
        assert bench.lake.table(HISTORY, "orders").metadata.current_snapshot_id == before, "nothing differs any more"


def assert_current_rows_are_silvers(bench: Bench) -> None:
    current = [row for row in bench.rows("orders", namespace=HISTORY) if row["valid_to"] is None]
    assert {(row["id"], row["amount"]) for row in current} == {
        (row["id"], row["amount"]) for row in bench.rows("orders")
    }
    assert len(current) == len(bench.rows("orders"))


def test_a_clock_that_goes_back_leaves_no_moment_with_two_versions(bench: Bench) -> None:
    log: list[Change] = [(1, 1, 10, "put"), (2, 1, 7, "put"), (3, 1, 12, "remove"), (4, 1, 11, "put")]
    for change in (log[0], log[3], log[1], log[2]):
        bench.put(made(change))
        bench.merge_pending("orders")
    assert actual(bench) == expected(log)


def test_what_was_captured_to_the_end_of_a_day_is_that_days_snapshot(bench: Bench) -> None:
    """The snapshot of a day is the newest version of each key that was captured until then, unless it is a deletion."""
    days = [DAY + timedelta(days=number) for number in range(3)]
    logs: list[list[Change]] = [
        [(1, 1, 0, "put"), (2, 2, 0, "put"), (3, 1, 5, "put")],
        [(9, 1, 9, "put"), (6, 2, 8, "remove"), (5, 3, 7, "put")],
        [(7, 1, 8, "put"), (11, 2, 11, "put"), (12, 3, 12, "expired")],
    ]
    for day, log in zip(days, logs, strict=True):
        bench.put(*map(made, log), day=day)
        bench.merge_pending("orders", day=day)
        then = {(row["id"], row["amount"]) for row in bench.rows("orders")}
        assert newest_captured_until(bench, day) == then
    assert newest_captured_until(bench, days[0]) == {(1, 3), (2, 2)}


def newest_captured_until(bench: Bench, day: date) -> set[tuple[int, int]]:
    """Run the query of docs/howto/query.md."""
    with bench.lake.duckdb() as connection:
        scan = bench.lake.scan_sql(bench.lake.table(HISTORY, "orders"), None)
        rows = connection.execute(f"""
            SELECT id, amount FROM (
                SELECT *, row_number() OVER (PARTITION BY id ORDER BY _stream_created_at DESC, _sequence_number DESC)
                    AS newest FROM {scan} WHERE _captured_at < DATE '{day}' + INTERVAL 1 DAY)
            WHERE newest = 1 AND _deleted_by IS NULL""").fetchall()
    return set(rows)


def test_a_change_that_waits_in_quarantine_comes_to_its_place_when_it_is_replayed(bench: Bench) -> None:
    bad = made((2, 1, 2, "put"))
    bad["dynamodb"]["NewImage"]["Amount"] = {"S": "two"}
    bench.put(made((1, 1, 1, "put")), bad, made((3, 1, 3, "put")))
    bench.merge_pending("orders")
    assert actual(bench) == [(1, 1, 1, 3, "insert"), (1, 3, 3, None, "modify")]
    text = contract("Orders", COLUMNS | {"Amount": "string"}, key="Id", history=True, deleted_when="Gone = true")
    other = Bench(bench.lake, bench.store, domain(text))
    with pytest.raises(SchemaMismatch):
        other.merge_pending("orders")
    done = rebuild_history(bench.lake, bench.store, other.domain, text, run_id="again", now=NOON)
    assert done.removed == ("history.orders",)
    assert actual(bench) == [(1, "1", 1, 2, "insert"), (1, "two", 2, 3, "modify"), (1, "3", 3, None, "modify")]


def test_a_table_that_has_rows_before_its_history_gets_it_from_bronze(tmp_path: Path) -> None:
    without = contract("Orders", COLUMNS, key="Id", deleted_when="Gone = true")
    with bench_on_files(tmp_path, without) as bench:
        log: list[Change] = [(1, 1, 1, "put"), (2, 1, 2, "put"), (3, 2, 3, "soft_delete")]
        bench.put(*map(made, log))
        bench.merge_pending("orders")
        assert bench.lake.find(HISTORY, "orders") is None
        rebuild_history(bench.lake, bench.store, domain(ORDERS), ORDERS, run_id="first", now=NOON)
        assert actual(bench) == expected(log)


def test_a_version_stays_for_as_long_as_the_contract_says(bench: Bench) -> None:
    log: list[Change] = [(1, 1, 0, "put"), (2, 1, 10, "put"), (3, 1, 20, "put"), (4, 2, 5, "put"), (5, 2, 6, "remove")]
    bench.put(*map(made, log))
    bench.merge_pending("orders")
    later = NOON + timedelta(days=3, seconds=15)
    short = ORDERS.model_copy(update={"history": 3})
    assert shorten_history(bench.lake, ORDERS, now=later, run_id="maintenance") == 0
    assert shorten_history(bench.lake, short, now=later, run_id="maintenance") == 2
    gone = (2, None, 6, 6, "remove")
    assert actual(bench) == [(1, 2, 10, 20, "modify"), (1, 3, 20, None, "modify"), gone]
    bench.put(made((6, 1, 30, "put")))
    bench.merge_pending("orders")
    kept = [(1, 2, 10, 20, "modify"), (1, 3, 20, 30, "modify"), (1, 6, 30, None, "modify"), gone]
    assert actual(bench) == kept, "the oldest version that is left was a modification"


def test_a_deletion_stays_while_an_older_change_of_its_key_may_come(bench: Bench) -> None:
    log: list[Change] = [(1, 1, 0, "put"), (3, 1, 6, "remove"), (4, 2, 0, "put"), (5, 2, 6, "remove"), (7, 2, 8, "put")]
    bench.put(*map(made, log))
    bench.merge_pending("orders")
    short, later = ORDERS.model_copy(update={"history": 3}), NOON + timedelta(days=3)
    assert shorten_history(bench.lake, short, now=later + timedelta(seconds=7), run_id="maintenance") == 2
    bench.put(made((2, 1, 3, "put")), made((6, 2, 7, "put")))
    bench.merge_pending("orders")
    assert_current_rows_are_silvers(bench)
    assert actual(bench) == [
        (1, 2, 3, 6, "insert"),
        (1, None, 6, 6, "remove"),
        (2, None, 6, 6, "remove"),
        (2, 6, 7, 8, "insert"),
        (2, 7, 8, None, "modify"),
    ]
    assert shorten_history(bench.lake, short, now=later + timedelta(days=1), run_id="maintenance") == 3
    bench.lake.table(DELETED, "orders").delete()
    assert shorten_history(bench.lake, short, now=later + timedelta(days=1), run_id="maintenance") == 1
    assert actual(bench) == [(2, 7, 8, None, "modify")]


def test_an_added_and_a_renamed_column_follow_silver(bench: Bench) -> None:
    bench.put(made((1, 1, 1, "put")))
    bench.merge_pending("orders")
    columns: dict[str, Any] = {**COLUMNS, "Amount": {"type": "bigint", "rename": "total", "renamed_from": "amount"}}
    changed = contract("Orders", columns | {"More": "string"}, key="Id", history=True, deleted_when="Gone = true")
    other = Bench(bench.lake, bench.store, domain(changed))
    bench.put(made((2, 1, 2, "put")))
    other.merge_pending("orders", now=NOON)
    rows = sorted(bench.rows("orders", namespace=HISTORY), key=lambda row: row["_sequence_number"])
    assert [(row["total"], row["more"], row["operation"]) for row in rows] == [(1, None, "insert"), (2, None, "modify")]


def test_a_batch_that_closes_a_row_rewrites_no_data_file(bench: Bench) -> None:
    bench.put(*(made((number, number, number, "put")) for number in range(1, 200)))
    bench.merge_pending("orders")
    files = data_files(bench)
    bench.put(made((500, 7, 500, "put")))
    bench.merge_pending("orders")
    assert files < data_files(bench)


def data_files(bench: Bench) -> set[str]:
    files = bench.lake.table(HISTORY, "orders").inspect.data_files().to_pylist()
    return {one["file_path"] for one in files}


def test_a_contract_with_a_column_of_the_historys_name_is_refused() -> None:
    columns = {"Id": "int", "valid_to": "timestamp"}
    with pytest.raises(ValidationError, match="columns of its own with the names"):
        contract("Orders", columns, key="Id", history=True)
    assert isinstance(contract("Orders", columns, key="Id"), Contract)
