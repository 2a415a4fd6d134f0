"""Items that the application marks as deleted, and rows that are kept after their item has expired."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion_assets.contracts.model import Contract
from medallion_assets.ledger.silver_contains import silver_contains
from medallion_assets.maintenance.tombstones import expire_tombstones
from medallion_assets.reconciliation.expected import expects_row
from medallion_assets.silver import batch
from medallion_assets.silver.membership import is_soft_deleted
from medallion_assets.silver.table import DELETED
from medallion_assets.simulation.judge.reference_decoder import soft_deleted
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract, record

COLUMNS = {"Id": "string", "Amount": {"type": "int", "rules": [{"required": True}]}}


def orders(**more: Any) -> Contract:
    return contract("Orders", COLUMNS, key="Id", drop=["Gone"], **more)


@pytest.fixture
def softly(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, orders(deleted_when="Gone is present")) as bench:
        yield bench


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, orders(on_expiry="keep")) as bench:
        yield bench


def change(number: int, key: str, amount: str | None, **more: Any) -> dict[str, Any]:
    """A change of an order; `amount` None deletes it."""
    new = None if amount is None else {"Amount": {"N": amount}, **more}
    return record("Orders", number, {"Id": {"S": key}}, new)


def expiry(number: int, key: str, amount: str) -> dict[str, Any]:
    """The deletion of an order by DynamoDB's time to live."""
    made = change(number, key, None)
    made["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    made["dynamodb"]["OldImage"] = {"Id": {"S": key}, "Amount": {"N": amount}}
    return made


def merge(bench: Bench, *changes: dict[str, Any]) -> batch.BatchResult:
    bench.put(*changes)
    (result,) = bench.merge_pending("orders")
    assert result.published
    return result


def amounts(bench: Bench) -> dict[str, int]:
    return {row["id"]: row["amount"] for row in bench.rows("orders")}


def deleted(bench: Bench) -> dict[str, str]:
    return {row["id"]: row["_deleted_by"] for row in bench.rows("orders", namespace=DELETED)}


GONE = {"Gone": {"S": "2026-03-01"}}


def test_a_soft_deleted_item_leaves_silver_is_listed_as_such_and_comes_back(softly: Bench) -> None:
    merge(softly, *(change(number, key, "1") for number, key in enumerate("abc", start=1)))
    result = merge(softly, change(11, "a", "1", **GONE), change(12, "b", None), change(13, "x", "no number", **GONE))
    assert (result.deleted, result.quarantined) == (3, 0), "of a soft-deleted item only the key must fit"
    assert (amounts(softly), deleted(softly)) == ({"c": 1}, {"a": "soft_delete", "b": "user", "x": "soft_delete"})
    (told,) = softly.domain.tables
    assert all(silver_contains(softly.lake, softly.store, told, name) for name in softly.store.list("Orders"))
    merge(softly, change(21, "a", "2", Gone={"NULL": True}), change(5, "b", "9"))
    assert (amounts(softly), deleted(softly)) == ({"a": 2, "c": 1}, {"b": "user", "x": "soft_delete"})
    merge(softly, change(22, "x", None))
    assert deleted(softly) == {"b": "user", "x": "user"}


def test_a_contract_that_learns_what_is_deleted_applies_it_to_a_day_that_is_merged_again(tmp_path: Path) -> None:
    with bench_on_files(tmp_path, orders()) as bench:
        merge(bench, change(1, "a", "1"), change(2, "b", "1", **GONE))
        assert amounts(bench) == {"a": 1, "b": 1}
        ordinary, bench.domain = (
            bench.domain,
            type(bench.domain)("tests", Path(), bench.domain.since, (orders(deleted_when="Gone is present"),)),
        )
        assert bench.remerge_day("orders")[0].deleted == 1
        assert (amounts(bench), deleted(bench)) == ({"a": 1}, {"b": "soft_delete"})
        bench.domain = ordinary
        assert bench.remerge_day("orders")[0].inserted == 1
        assert (amounts(bench), deleted(bench)) == ({"a": 1, "b": 1}, {})


def test_a_tombstone_of_the_very_change_that_silver_shows_is_tidied(
    softly: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(softly, change(1, "a", "1", **GONE))
    softly.domain = type(softly.domain)("tests", Path(), softly.domain.since, (orders(),))
    monkeypatch.setattr(batch, "forget_tombstones", lambda *given, **more: None)
    softly.remerge_day("orders")
    assert (amounts(softly), deleted(softly)) == ({"a": 1}, {"a": "soft_delete"})
    assert expire_tombstones(softly.lake, softly.store, orders(), run_id="tidy") == 1
    assert deleted(softly) == {}


def test_a_kept_row_is_the_item_as_it_was_last_with_the_time_of_its_expiry(keeping: Bench) -> None:
    merge(keeping, change(1, "a", "1"), change(2, "b", "1"))
    result = merge(keeping, expiry(11, "a", "7"), change(12, "b", None))
    assert (result.updated, result.deleted) == (1, 1)
    assert deleted(keeping) == {"b": "user"}, "a deletion by a user is one"
    (row,) = keeping.rows("orders")
    assert (row["id"], row["amount"], row["_expired_at"], row["_event_id"]) == ("a", 7, NOON, "Orders-11")
    merge(keeping, change(5, "a", "5"))
    assert amounts(keeping) == {"a": 7}, "an older update that arrives late changes nothing"
    merge(keeping, change(21, "a", "2"))
    assert [(row["amount"], row["_expired_at"]) for row in keeping.rows("orders")] == [(2, None)]


@pytest.mark.parametrize("kind", ["User", None])
def test_an_expiry_has_the_identity_of_the_service(keeping: Bench, kind: str | None) -> None:
    made = expiry(2, "a", "1")
    made["userIdentity"] = {"principalId": "dynamodb.amazonaws.com"} | ({"type": kind} if kind else {})
    merge(keeping, change(1, "a", "1"), made)
    assert (amounts(keeping), deleted(keeping)) == ({}, {"a": "user"})


def test_every_order_of_changes_gives_the_same_tables(tmp_path: Path) -> None:
    changes = [change(1, "a", "1"), change(2, "a", "2", **GONE), change(3, "a", "3"), expiry(4, "a", "3")]
    kept = orders(deleted_when="Gone is present", on_expiry="keep")
    seen = set()
    for at, order in enumerate(itertools.permutations(changes)):
        with bench_on_files(tmp_path / str(at), kept) as bench:
            for one in order:
                merge(bench, one)
            rows = [{**row, "_captured_at": None} for row in bench.rows("orders")]
            seen.add(repr((rows, bench.rows("orders", namespace=DELETED))))
    assert len(seen) == 1


VALUES: list[Any] = [
    None,
    {"NULL": True},
    {"S": ""},
    {"S": "true"},
    {"S": "é'\"/~ "},
    {"BOOL": True},
    {"BOOL": False},
    {"N": "1"},
    {"N": "10"},
    {"B": "dHJ1ZQ=="},
    {"L": []},
    {"M": {"S": {"S": "true"}, "NULL": {"BOOL": True}}},
    {"SS": ["true"]},
]
NAMES = ["Gone", "gone away", "a.b", 'q"x', "a/b", "~t", "é", "$x"]


def test_decode_reconciliation_and_judge_find_the_same_items_deleted() -> None:
    """Each of the three has code of its own; all attribute names and values in one statement each."""
    found = 0
    with duckdb.connect() as connection:
        for name, value in itertools.product(NAMES, [None, "true", "false", "1", "é'\"/~"]):
            written = f"{name} is present" if value is None else f"{name} = {value}"
            told = contract("Orders", {"Id": "string"}, key="Id", drop=[name], deleted_when=written)
            images = [{"Id": {"S": "a"}, "Other": {"S": "true"}} | ({name: one} if one else {}) for one in VALUES]
            connection.execute("CREATE OR REPLACE TABLE images (image VARCHAR)")
            connection.executemany("INSERT INTO images VALUES (?)", [[json.dumps(image)] for image in images])
            answers = connection.execute(
                f"SELECT {is_soft_deleted(told, 'image')}, NOT {expects_row(told, 'image')} FROM images"
            ).fetchall()
            expected = [soft_deleted(told, image) for image in images]
            assert answers == [(one, one) for one in expected], written
            found += sum(expected)
    assert found > len(NAMES)
