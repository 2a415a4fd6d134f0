"""Quarantined changes: replay, a rerun of their day, drop; and how many bad rows block a batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import AuditFailed, CommitConflict, MartError
from medallion_assets.lake import retry
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.silver import batch as batch_module
from medallion_assets.silver import quarantine as quarantine_module
from medallion_assets.silver import replay as replay_module
from medallion_assets.silver.quarantine import ClosedRows, open_rows
from medallion_assets.silver.table import QUARANTINE, SILVER
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract, domain, record

CUSTOMERS = contract("Customers", {"Id": "string", "Region": "string"}, key="Id")
LATER = NOON + timedelta(hours=1)
ANY_SHARE = {"quarantine_share": {"max": 1}}


def orders(most: int = 10, *, rules: Any = ANY_SHARE, customer: Any = "string") -> Contract:
    """Return the contract of orders whose amount is at most `most`."""
    return contract(
        "Orders",
        {"Id": "string", "Customer": customer, "Amount": {"type": "int", "rules": [{"max": most}]}},
        key="Id",
        enrich=[{"table": "customers", "on": "customer", "columns": {"region": "region"}}],
        rules=rules,
    )


def order(sequence: int, key: str, amount: str | None, of: str = "c1") -> dict[str, Any]:
    new = None if amount is None else {"Customer": {"S": of}, "Amount": {"N": amount}}
    return record("Orders", sequence, {"Id": {"S": key}}, new)


def customer(sequence: int, key: str, region: str) -> dict[str, Any]:
    return record("Customers", sequence, {"Id": {"S": key}}, {"Region": {"S": region}})


def correct(bench: Bench, most: int = 100, **more: Any) -> None:
    bench.domain = domain(CUSTOMERS, orders(most, **more))


def amounts(bench: Bench) -> dict[str, Any]:
    return {row["id"]: row["amount"] for row in bench.rows("orders")}


def statuses(bench: Bench) -> dict[str, str]:
    """The status of every change in quarantine, by sequence number."""
    return {str(int(row["sequence_number"])): row["status"] for row in bench.rows("orders", namespace=QUARANTINE)}


def quarantined(bench: Bench, sequence: int) -> dict[str, Any]:
    (row,) = (r for r in bench.rows("orders", namespace=QUARANTINE) if int(r["sequence_number"]) == sequence)
    return row


def snapshots(bench: Bench) -> tuple[int | None, int | None]:
    return tuple(  # type: ignore[return-value]
        bench.lake.table(namespace, "orders").metadata.current_snapshot_id for namespace in (SILVER, QUARANTINE)
    )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, CUSTOMERS, orders()) as opened:
        yield opened


def test_what_is_open_is_replayed_from_its_own_images_as_if_it_had_been_valid_from_the_start(
    bench: Bench, tmp_path: Path
) -> None:
    bench.put(customer(1, "c1", "EU"), order(2, "a", "11"), order(3, "b", "2"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    with bench_on_files(tmp_path / "other", CUSTOMERS, orders(100)) as other:
        shutil.copytree(tmp_path / "bronze", tmp_path / "other" / "bronze", dirs_exist_ok=True)
        other.merge_pending("customers")
        other.merge_pending("orders")
        expected = other.rows("orders")
    shutil.rmtree(tmp_path / "bronze" / "Orders")
    correct(bench)
    done = bench.replay("orders", now=LATER)
    assert (done.taken, done.resolved, done.superseded, done.still_open) == (1, 1, 0, 0)
    assert done.snapshot_id == snapshots(bench)[0]
    assert sorted(bench.rows("orders"), key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
    row = quarantined(bench, 2)
    assert (row["status"], row["resolved_at"], row["quarantined_at"]) == ("resolved", LATER, NOON)
    assert row["sequence_number"] == "2".zfill(40)


@pytest.mark.both_lakes
def test_both_kinds_of_lake_replay(lake: Lake, tmp_path: Path) -> None:
    bench = Bench(lake, open_store(str(tmp_path / "bronze")), domain(CUSTOMERS, orders()))
    bench.put(order(1, "a", "11"), order(2, "b", "11"), order(4, "c", "500"))
    bench.merge_pending("orders")
    bench.put(order(3, "b", None))
    bench.merge_pending("orders")
    correct(bench)
    done = bench.replay("orders", where="capture_day = DATE '2026-03-01' AND column_name = 'amount'")
    assert (done.taken, done.resolved, done.superseded, done.still_open) == (3, 1, 1, 1)
    assert amounts(bench) == {"a": 11}
    assert bench.drop("orders", where="json_extract_scalar(keys, '$.Id.S') = 'c'").dropped == 1
    assert statuses(bench) == {"1": "resolved", "2": "superseded", "4": "dropped"}


def test_a_change_older_than_the_row_or_tombstone_in_silver_is_superseded_valid_or_not(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "12"), order(3, "c", "500"), order(4, "d", "13"), order(5, "e", "500"))
    bench.merge_pending("orders")
    bench.put(order(6, "a", "6"), order(7, "b", None), order(8, "c", "8"))
    bench.merge_pending("orders")
    assert amounts(bench) == {"a": 6, "c": 8}, "later valid changes go on as usual"
    assert set(statuses(bench).values()) == {"open"}
    correct(bench)
    done = bench.replay("orders")
    assert (done.taken, done.resolved, done.superseded, done.still_open) == (5, 1, 3, 1)
    assert amounts(bench) == {"a": 6, "c": 8, "d": 13}
    assert statuses(bench) == {"1": "superseded", "2": "superseded", "3": "superseded", "4": "resolved", "5": "open"}
    before = snapshots(bench)
    again = bench.replay("orders")
    assert (again.taken, again.still_open, again.snapshot_id) == (1, 1, None)
    assert snapshots(bench) == before


def test_an_open_change_never_replaces_a_newer_open_one(bench: Bench) -> None:
    bench.put(order(9, "a", "19"), order(5, "a", "15"), order(2, "a", "2"))
    bench.merge_pending("orders")
    correct(bench)
    bench.replay("orders", where="sequence_number LIKE '%9'")
    bench.replay("orders")
    assert amounts(bench) == {"a": 19}
    assert statuses(bench) == {"9": "resolved", "5": "superseded"}


def test_an_amendment_is_newer_than_what_it_amends_and_older_than_what_follows(bench: Bench) -> None:
    bench.put(order(5, "a", "15"), order(5, "b", "15") | {"eventID": "other"}, order(1, "c", "1"))
    bench.merge_pending("orders")
    table = bench.lake.table(SILVER, "orders")
    with bench.lake.duckdb() as connection:
        base = f"SELECT * FROM {bench.lake.scan_sql(table, None)}"
        amended = connection.execute(f"""
            SELECT * REPLACE ('a' AS id, lpad('5', 40, '0') || '+1772366400000000' AS _sequence_number) FROM ({base})
            UNION ALL
            SELECT * REPLACE ('b' AS id, lpad('4', 40, '0') || '+1772366400000000' AS _sequence_number) FROM ({base})
        """).to_arrow_table()
    publish(bench.lake, table, stage_merge(bench.lake, table, amended, key=["id"]))
    correct(bench)
    done = bench.replay("orders")
    assert (done.resolved, done.superseded) == (1, 1)
    assert amounts(bench) == {"a": 1, "b": 15, "c": 1}


def test_what_still_breaks_the_contract_stays_open_and_says_the_new_reason(bench: Bench) -> None:
    bench.put(order(1, "a", "50"))
    bench.merge_pending("orders")
    assert quarantined(bench, 1)["reason"] == "breaks the rule max 10"
    correct(bench, 20)
    done = bench.replay("orders", now=LATER)
    assert (done.taken, done.still_open, done.snapshot_id) == (1, 1, None)
    row = quarantined(bench, 1)
    assert (row["reason"], row["status"], row["quarantined_at"], row["resolved_at"]) == (
        "breaks the rule max 20",
        "open",
        NOON,
        None,
    )


def test_a_change_whose_key_does_not_fit_stays_open(bench: Bench) -> None:
    bench.put(record("Orders", 1, {"Id": {"N": "1"}}, {"Amount": {"N": "11"}}), order(2, "x", "11"))
    bench.put(record("Orders", 3, {"Id": {"B": "AA=="}}, {"Amount": {"N": "1"}}))
    bench.merge_pending("orders")
    correct(bench)
    done = bench.replay("orders")
    assert (done.resolved, done.still_open) == (2, 1)
    assert statuses(bench)["3"] == "open"


@pytest.mark.slow
def test_many_changes_are_replayed_in_commits_of_bounded_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(*(order(number, f"o{number % 40}", "11") for number in range(1, 101)))
    bench.merge_pending("orders")
    correct(bench)
    monkeypatch.setattr(quarantine_module, "_BATCH_ROWS", 32)
    monkeypatch.setattr(replay_module, "MAX_BYTES", 1)
    before = bench.snapshots("orders")
    done = bench.replay("orders")
    assert bench.snapshots("orders") - before > 1
    assert (done.taken, done.resolved + done.superseded, done.still_open) == (100, 100, 0)
    newest = {row["id"]: int(row["_sequence_number"]) for row in bench.rows("orders")}
    assert newest == {f"o{number % 40}": number for number in range(61, 101)}


class Died(BaseException):
    """The process ends here."""


def _die(*_: Any, **__: Any) -> ClosedRows:
    raise Died


@pytest.mark.parametrize("dies_in", ["batch publish", "replay close_rows", "quarantine publish"])
def test_a_replay_that_dies_is_finished_by_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "12"))
    bench.merge_pending("orders")
    bench.put(order(3, "b", "3"))
    bench.merge_pending("orders")
    correct(bench)
    named, _, call = dies_in.partition(" ")
    module = {"batch": batch_module, "replay": replay_module, "quarantine": quarantine_module}[named]
    with monkeypatch.context() as dying:
        dying.setattr(module, call, _die)
        with pytest.raises(Died):
            bench.replay("orders")
    assert set(statuses(bench).values()) == {"open"}
    before = bench.snapshots("orders")
    bench.replay("orders")
    assert amounts(bench) == {"a": 11, "b": 3}
    assert statuses(bench) == {"1": "resolved", "2": "superseded"}
    assert bench.snapshots("orders") - before == (1 if dies_in == "batch publish" else 0)
    table = bench.lake.table(QUARANTINE, "orders")
    assert bench.replay("orders").taken == 0
    assert bench.lake.table(QUARANTINE, "orders").metadata.current_snapshot_id == table.metadata.current_snapshot_id


def test_a_change_that_came_in_after_the_crash_does_not_hide_that_it_is_superseded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(order(1, "a", "11"))
    bench.merge_pending("orders")
    correct(bench)
    with monkeypatch.context() as dying, pytest.raises(Died):
        dying.setattr(replay_module, "close_rows", _die)
        bench.replay("orders")
    bench.put(order(2, "a", "2"))
    bench.merge_pending("orders")
    bench.replay("orders")
    assert amounts(bench) == {"a": 2}
    assert statuses(bench) == {"1": "superseded"}


def test_a_blocking_check_leaves_everything_as_it_is(bench: Bench) -> None:
    bench.put(order(1, "a", "11", of="nobody"), order(2, "b", "500"))
    bench.merge_pending("orders")
    strict = {"type": "string", "rules": [{"references": "customers"}]}
    correct(bench, customer=strict)
    before, rows = snapshots(bench), bench.rows("orders", namespace=QUARANTINE)
    with pytest.raises(AuditFailed, match=r"stopped the replay of orders.*references.*customer without customers 1"):
        bench.replay("orders", now=LATER)
    assert snapshots(bench) == before
    assert bench.rows("orders", namespace=QUARANTINE) == rows
    assert set(bench.lake.table(SILVER, "orders").metadata.refs) <= {"main"}
    bench.put(customer(3, "nobody", "EU"))
    bench.merge_pending("customers")
    assert bench.replay("orders", now=LATER).resolved == 1
    assert [row["region"] for row in bench.rows("orders")] == ["EU"]


def test_what_stays_bad_does_not_stop_a_replay_by_its_share(bench: Bench) -> None:
    bench.put(*(order(number, f"bad-{number}", "500") for number in range(1, 200)), order(200, "a", "11"))
    bench.merge_pending("orders")
    correct(bench, rules={"quarantine_share": {"max": 0}})
    done = bench.replay("orders")
    assert (done.resolved, done.still_open) == (1, 199)
    assert amounts(bench) == {"a": 11}


def test_a_replay_takes_the_current_values_of_the_referenced_row(bench: Bench) -> None:
    bench.put(customer(1, "c1", "EU"), order(2, "a", "11"))
    bench.merge_pending("customers")
    bench.merge_pending("orders")
    bench.put(customer(3, "c1", "US"))
    bench.merge_pending("customers")
    correct(bench)
    bench.replay("orders")
    assert [row["region"] for row in bench.rows("orders")] == ["US"]


def test_a_replay_does_not_move_the_position(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "1"))
    correct(bench, 10, rules={"quarantine_share": {"max": 0}})
    assert not bench.merge_pending("orders")[0].published
    correct(bench)
    bench.replay("orders")
    assert amounts(bench) == {"a": 11}
    (waiting,) = bench.merge_pending("orders")
    assert (waiting.merged, waiting.unchanged) == (1, 1)
    assert amounts(bench) == {"a": 11, "b": 1}


def test_a_replay_is_planned_again_after_a_merge_by_another_writer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(order(1, "a", "11"))
    bench.merge_pending("orders")
    bench.put(order(2, "a", "2"))
    correct(bench)

    def late(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(batch_module, "publish", publish)
        Bench(bench.lake, bench.store, bench.domain).merge_pending("orders")
        publish(*args, **more)

    monkeypatch.setattr(batch_module, "publish", late)
    done = bench.replay("orders")
    assert (done.superseded, done.snapshot_id) == (1, None)
    assert amounts(bench) == {"a": 2}


def test_without_open_changes_a_replay_does_nothing(bench: Bench) -> None:
    assert bench.replay("orders").taken == 0
    assert bench.lake.find(SILVER, "orders") is None
    bench.put(order(1, "a", "1"))
    bench.merge_pending("orders")
    assert bench.replay("orders").taken == 0
    assert bench.drop("orders", where="TRUE").dropped == 0


def test_a_rerun_of_the_day_resolves_and_supersedes_what_it_reads_again(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "12"), order(3, "b", "3"), order(4, "c", "500"), order(5, "c", "5"))
    bench.put(order(6, "d", "500"))
    bench.merge_pending("orders")
    bench.put(order(7, "d", "7"))
    bench.merge_pending("orders")
    assert statuses(bench) == dict.fromkeys("1246", "open")
    correct(bench)
    (again,) = bench.remerge_day("orders", now=LATER)
    assert again.resolved == 1
    assert statuses(bench) == {"1": "resolved", "2": "superseded", "4": "superseded", "6": "superseded"}
    before = snapshots(bench)
    bench.remerge_day("orders")
    assert snapshots(bench) == before


def test_a_superseded_change_that_is_delivered_again_stays_so(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "a", "2"))
    bench.merge_pending("orders")
    assert bench.replay("orders").superseded == 1
    before = snapshots(bench)[1]
    bench.put(order(1, "a", "11"))
    (result,) = bench.merge_pending("orders")
    assert (result.quarantined, result.redelivered, statuses(bench)) == (0, 1, {"1": "superseded"})
    assert snapshots(bench)[1] == before


def test_a_resolved_change_that_a_stricter_contract_rejects_is_open_again(bench: Bench) -> None:
    bench.put(order(1, "a", "11"))
    bench.merge_pending("orders")
    correct(bench)
    bench.replay("orders")
    correct(bench, 5)
    bench.remerge_day("orders")
    assert statuses(bench) == {"1": "open"}
    assert amounts(bench) == {"a": 11}, "Silver keeps what it published"
    correct(bench)
    assert bench.replay("orders").resolved == 1


def test_dropping_is_recorded_and_neither_reruns_nor_replays_bring_the_change_back(bench: Bench) -> None:
    bench.put(order(1, "a", "1"), order(2, "a", "11"), order(3, "b", "12"))
    bench.merge_pending("orders")
    done = bench.drop("orders", where="event_id = 'Orders-2'", reason="load test", now=LATER)
    assert (done.dropped, done.superseded, done.others) == (1, 0, {})
    row = quarantined(bench, 2)
    assert (row["status"], row["note"], row["resolved_at"]) == ("dropped", "load test", LATER)
    assert json.loads(row["new_image"])["Amount"] == {"N": "11"}
    correct(bench)
    assert bench.replay("orders").taken == 1
    (again,) = bench.remerge_day("orders")
    assert (again.published, again.dropped, again.rows_in) == (True, 1, 3)
    bench.put(order(2, "a", "11"))
    (twice,) = bench.merge_pending("orders")
    assert (twice.published, twice.dropped, twice.rows_in) == (True, 1, 1)
    assert amounts(bench) == {"a": 1, "b": 12}
    assert statuses(bench) == {"2": "dropped", "3": "resolved"}
    assert bench.drop("orders", where="TRUE").others == {"dropped": 1, "resolved": 1}
    assert quarantined(bench, 2)["note"] == "load test"


def test_a_dropped_change_is_replayed_if_the_condition_names_its_status(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "500"))
    bench.merge_pending("orders")
    bench.drop("orders", where="TRUE")
    correct(bench)
    assert bench.replay("orders").taken == 0
    done = bench.replay("orders", where="status = 'dropped'")
    assert (done.taken, done.resolved, done.still_open) == (2, 1, 1)
    assert statuses(bench) == {"1": "resolved", "2": "open"}
    assert amounts(bench) == {"a": 11}


def test_there_is_nothing_to_drop_where_silver_is_newer(bench: Bench) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "11"))
    bench.merge_pending("orders")
    bench.put(order(3, "a", None))
    bench.merge_pending("orders")
    done = bench.drop("orders", where="column_name = 'amount'")
    assert (done.dropped, done.superseded) == (1, 1)
    assert statuses(bench) == {"1": "superseded", "2": "dropped"}
    assert quarantined(bench, 1)["note"] is None


def test_a_batch_blocked_by_its_share_is_merged_after_its_bad_rows_were_dropped(bench: Bench) -> None:
    correct(bench, 10, rules={"quarantine_share": {"max": 0}})
    bench.put(order(1, "a", "1"), order(2, "b", "500"), order(3, "c", "500"))
    assert not bench.merge_pending("orders")[0].published
    bench.drop("orders", where="event_id = 'Orders-2'")
    assert not bench.merge_pending("orders")[0].published, "one is left"
    bench.drop("orders", where="event_id = 'Orders-3'")
    (passed,) = bench.merge_pending("orders")
    assert (passed.published, passed.merged, passed.quarantined, passed.dropped) == (True, 1, 0, 2)
    assert amounts(bench) == {"a": 1}


@pytest.mark.parametrize("call", ["stage_merge", "publish"])
def test_a_drop_and_a_mark_at_the_same_time_both_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    bench.put(order(1, "a", "11"), order(2, "b", "500"))
    bench.merge_pending("orders")
    correct(bench, 50)  # the second is open for another reason then: a mark of its own
    real = getattr(quarantine_module, call)

    def late(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(quarantine_module, call, real)
        Bench(bench.lake, bench.store, bench.domain).drop("orders", where="sequence_number LIKE '%2'")
        return real(*args, **more)

    monkeypatch.setattr(quarantine_module, call, late)
    bench.replay("orders", where="sequence_number LIKE '%1' OR sequence_number LIKE '%2'")
    assert statuses(bench) == {"1": "resolved", "2": "dropped"}


def test_a_commit_that_conflicts_every_time_is_an_error_and_the_next_replay_marks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(order(1, "a", "11"))
    bench.merge_pending("orders")
    correct(bench)

    def lose(*_: Any, **__: Any) -> None:
        raise CommitConflict("somebody else")

    with monkeypatch.context() as losing, pytest.raises(CommitConflict, match="somebody else"):
        losing.setattr(quarantine_module, "publish", lose)
        losing.setattr(retry, "MAX_ATTEMPTS", 3)
        bench.replay("orders")
    assert bench.replay("orders").resolved == 1


def test_text_that_is_no_condition_is_refused_before_anything_is_done(bench: Bench) -> None:
    bench.put(order(1, "a", "11"))
    bench.merge_pending("orders")
    correct(bench)
    before = snapshots(bench)
    for where, said in [
        ("colum = 'a'", "no column colum; expected one of event_id"),
        ("TRUE; DROP TABLE x", "not one condition"),
        ("quarantined_at > 'yesterday'", "cannot be run"),
    ]:
        with pytest.raises(MartError, match=said):
            bench.replay("orders", where=where)
        with pytest.raises(MartError, match=said):
            bench.drop("orders", where=where)
    assert snapshots(bench) == before


def test_a_condition_chooses_by_column_reason_day_and_key(bench: Bench) -> None:
    odd = record("Orders", 3, {"Id": {"S": "it's"}}, {"Customer": {"N": "1"}, "Amount": {"N": "1"}})
    bench.put(order(1, "a", "11"), order(2, "b", "1.5"), odd)
    correct(bench, 10, customer={"type": "string", "rules": [{"pattern": "c.*"}]})
    bench.merge_pending("orders")
    for where, expected in [
        ("column_name = 'amount'", {1, 2}),
        ("reason LIKE 'breaks the rule%'", {1, 3}),
        ("capture_day < DATE '2026-03-02'", {1, 2, 3}),
        ("capture_day > DATE '2026-03-01' OR event_name = 'REMOVE'", set()),
        ("json_extract_scalar(keys, '$.Id.S') IN ('b', 'it''s')", {2, 3}),
        ("event_id = 'Orders-3'", {3}),
        ("quarantined_at <= TIMESTAMP '2026-03-01 12:00:00 UTC' AND NOT column_name = 'amount'", {3}),
        ("column_name IS NULL", set()),
        (None, {1, 2, 3}),
    ]:
        parts = open_rows(bench.lake, bench.domain.by_name["orders"], where)
        assert {int(one) for part in parts for one in part["sequence_number"].to_pylist()} == expected, where


@pytest.mark.parametrize(
    ("share", "rows", "bad", "published"),
    [
        ("0.05", 1, 1, True),
        ("0.05", 10, 5, True),
        ("0.05", 10, 6, False),
        ("0.5", 120, 60, True),
        ("0.5", 120, 61, False),
        ("0", 120, 1, False),
    ],
)
def test_one_bad_row_does_not_stop_a_table_and_more_than_its_contract_allows_do(
    bench: Bench, share: str, rows: int, bad: int, published: bool
) -> None:
    correct(bench, 10, rules={"quarantine_share": {"max": share}})
    bench.put(*(order(number, f"o{number}", "11" if number <= bad else "1") for number in range(1, rows + 1)))
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.quarantined) == (published, bad)
    assert len(bench.rows("orders")) == (rows - bad if published else 0)
    assert len(statuses(bench)) == bad, "what is set aside is kept either way"


MANY = 60


def many(first: int, amount: str) -> list[dict[str, Any]]:
    """Changes of sixty orders, numbered from `first`."""
    return [order(number, f"o{number}", amount) for number in range(first, first + MANY)]


def test_a_bad_change_that_is_delivered_twice_in_a_batch_counts_once(bench: Bench) -> None:
    correct(bench, 10, rules={"quarantine_share": {"max": "0.5"}})
    bad, good = many(1, "11"), many(101, "1")
    bench.put(*bad)
    bench.put(*good)
    bench.put(*bad)
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.rows_in, result.redelivered) == (True, 3 * MANY, MANY)
    assert (result.quarantined, result.merged) == (MANY, MANY)
    share = next(check for check in result.checks if check.name == "quarantine_rate")
    expected = {
        "changes": 2 * MANY,
        "quarantined": MANY,
        "share": Decimal("0.5"),
        "amount: breaks the rule max 10": MANY,
    }
    assert share.numbers == expected


@pytest.mark.parametrize("status", ["open", "dropped", "resolved", "superseded"])
def test_a_bad_change_that_is_in_quarantine_already_is_not_counted_again(bench: Bench, status: str) -> None:
    bench.put(*many(1, "11"))
    bench.merge_pending("orders")
    match status:
        case "dropped":
            bench.drop("orders", where="TRUE")
        case "superseded":
            bench.put(*(order(number + 100, f"o{number}", None) for number in range(1, MANY + 1)))
            bench.merge_pending("orders")
            bench.replay("orders")
        case "resolved":
            correct(bench)
            bench.replay("orders")
    assert set(statuses(bench).values()) == {status}
    correct(bench, 10, rules={"quarantine_share": {"max": 0}})
    bench.put(*many(1, "11"), order(999, "new", "1"))
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.merged, result.quarantined) == (True, 1, 0)
    assert (result.redelivered, result.dropped) == ((0, MANY) if status == "dropped" else (MANY, 0))


def test_a_change_that_was_merged_before_the_contract_became_stricter_is_not_counted(bench: Bench) -> None:
    correct(bench)
    bench.put(*many(1, "11"))
    bench.merge_pending("orders")
    correct(bench, 10, rules={"quarantine_share": {"max": 0}})
    bench.put(*many(1, "11"), order(999, "new", "1"))
    (result,) = bench.merge_pending("orders")
    assert (result.published, result.merged, result.quarantined, result.redelivered) == (True, 1, 0, MANY)
    assert len(amounts(bench)) == MANY + 1


def test_a_batch_that_its_share_stopped_is_stopped_at_every_attempt_and_when_it_is_delivered_again(
    bench: Bench,
) -> None:
    correct(bench, 10, rules={"quarantine_share": {"max": "0.5"}})
    bench.put(*many(1, "11"))
    for _ in range(3):
        (result,) = bench.merge_pending("orders")
        assert (result.published, result.quarantined) == (False, MANY), "its own changes in quarantine still count"
        bench.put(*many(1, "11"))
    (again,) = bench.remerge_day("orders")
    assert (again.published, again.quarantined, again.redelivered) == (False, MANY, 3 * MANY)


def test_a_valid_change_that_is_delivered_twice_in_a_batch_is_merged_once_as_it_came_first(bench: Bench) -> None:
    bench.put(order(1, "a", "1"), order(2, "b", "2"))
    bench.put(order(2, "b", "2"), order(3, "c", "3"))
    (result,) = bench.merge_pending("orders")
    assert (result.rows_in, result.redelivered, result.merged, result.superseded) == (4, 1, 3, 0)
    captured = {row["id"]: row["_captured_at"] for row in bench.rows("orders")}
    assert captured["a"] == captured["b"] < captured["c"]
