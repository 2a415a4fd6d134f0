"""Dead letters and batches that Lambda gave up become Bronze objects: in order, once, and what fails stays."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from medallion_assets.capture.dead_letter import DeadLetter, list_dead_letters, read_dead_letter, write_dead_letter
from medallion_assets.capture.redrive import Redriven, redrive
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.errors import LakeUnavailable
from medallion_assets_tests.capture.events import ARN, as_boto3, poison
from medallion_assets_tests.capture.events import change as any_change

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = "aws/lambda/14e0db71-5d35-4eb5-b481-8945cf9d10c2/shardId-1/2026/02/03/2026-02-03T04.05.{:02d}-6f1c"


def change(number: int, *, table: str = "Orders", created: float = NOW.timestamp()) -> dict[str, Any]:
    return any_change(number, table=table, created=created)


@pytest.fixture
def store(tmp_path: Path) -> BronzeStore:
    return open_store(str(tmp_path / "bronze"))


@pytest.fixture
def given_up(tmp_path: Path) -> BronzeStore:
    return open_store(str(tmp_path / "given-up"))


def park(store: BronzeStore, *records: dict[str, Any]) -> list[str]:
    return [
        write_dead_letter(store, DeadLetter(failed_at=NOW + timedelta(seconds=at), reason="a bug", record=record))
        for at, record in enumerate(records)
    ]


def give_up(given_up: BronzeStore, at: int, *records: dict[str, Any]) -> str:
    """An object as the Lambda developer guide shows it."""
    document = {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1},
        "version": "1.0",
        "DDBStreamBatchInfo": {"shardId": "shardId-1", "batchSize": len(records), "streamArn": ARN.format("Orders")},
        "payload": json.dumps({"Records": records}),
    }
    given_up.put(KEY.format(at), json.dumps(document).encode())
    return KEY.format(at)


def numbers(store: BronzeStore, table: str = "Orders") -> list[str]:
    rows = [row for path in store.list(table) for row in pq.read_table(io.BytesIO(store.read(path))).to_pylist()]
    return [row["sequence_number"] for row in rows]


def run(store: BronzeStore, given_up: BronzeStore | None = None, *tables: str) -> Redriven:
    return redrive(store, tables or ("Orders", "Customers"), given_up=given_up, now=lambda: NOW + timedelta(hours=1))


def test_letters_and_given_up_batches_are_rows_in_source_order_and_twice_is_once(
    store: BronzeStore, given_up: BronzeStore
) -> None:
    old = {**change(900), "eventSourceARN": ARN.format("Orders").replace("2026-01-01", "2025-01-01")}
    park(store, as_boto3(change(10)), change(9), old, change(1, table="Customers"))
    give_up(given_up, 1, change(3), change(4))
    give_up(given_up, 2, change(100))
    assert run(store, given_up) == Redriven(records=7, removed=6, left={})
    assert numbers(store) == ["900", "3", "4", "9", "10", "100"], "the older stream first, then by number, not as text"
    assert numbers(store, "Customers") == ["1"]
    assert (list_dead_letters(store), list(given_up.list("aws", suffix=""))) == ({}, [])
    assert run(store, given_up) == Redriven(records=0, removed=0, left={})
    assert len(numbers(store)) == 6


def test_what_still_fails_stays_with_its_reason(store: BronzeStore, given_up: BronzeStore) -> None:
    _, bad, _ = park(store, change(1), poison(2), change(3))
    give_up(given_up, 1, change(4), poison(5), change(6))
    done = run(store, given_up)
    assert (done.records, done.removed) == (4, 3)
    assert numbers(store) == ["1", "3", "4", "6"]
    first, second = sorted(done.left)
    assert first == store.uri(bad)
    assert all("not valid UTF-8" in why for why in done.left.values())
    (paths,) = list_dead_letters(store).values()
    assert [store.uri(path) for path in paths] == [first, second]
    assert read_dead_letter(store, paths[1]).record["dynamodb"]["SequenceNumber"] == "5", "the batch could go"
    assert list(given_up.list("aws", suffix="")) == []


def test_an_object_that_is_none_of_ours_or_has_no_records_stays(store: BronzeStore, given_up: BronzeStore) -> None:
    store.put("_dead_letters/Orders/x.json", b"{}")
    given_up.put(KEY.format(1), json.dumps({"DDBStreamBatchInfo": {"startSequenceNumber": "7"}}).encode())
    given_up.put(KEY.format(2), b"not JSON")
    done = run(store, given_up)
    assert (done.records, done.removed, len(done.left)) == (0, 0, 3)
    assert "not a dead letter" in done.left[store.uri("_dead_letters/Orders/x.json")]
    assert "'startSequenceNumber': '7'" in done.left[given_up.uri(KEY.format(1))]


def test_a_change_that_may_bring_a_deleted_row_back_is_left_to_a_repair(
    store: BronzeStore, given_up: BronzeStore
) -> None:
    park(store, change(1, created=(NOW - timedelta(days=16)).timestamp()), change(2, created=NOW.timestamp()))
    give_up(given_up, 1, change(3, created=(NOW - timedelta(days=16)).timestamp()), change(4, created=NOW.timestamp()))
    done = run(store, given_up)
    assert (numbers(store), len(done.left)) == (["2", "4"], 2)
    assert all("run a repair" in why for why in done.left.values())


def test_only_the_tables_that_are_asked_for(store: BronzeStore, given_up: BronzeStore) -> None:
    park(store, change(1), change(2, table="Customers"))
    give_up(given_up, 1, change(3, table="Customers"))
    assert run(store, given_up, "Orders").records == 1
    assert (numbers(store), numbers(store, "Customers")) == (["1"], [])
    assert run(store, given_up).records == 2


def test_nothing_is_removed_before_its_records_are_stored(store: BronzeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    park(store, change(1), change(2))

    def away(path: str, data: bytes) -> None:
        raise LakeUnavailable("S3 did not answer")

    with monkeypatch.context() as patched, pytest.raises(LakeUnavailable):
        patched.setattr(store, "put", away)
        run(store)
    assert len(list_dead_letters(store)["Orders"]) == 2
    with monkeypatch.context() as patched, pytest.raises(LakeUnavailable):
        patched.setattr(store, "remove", lambda path: away(path, b""))
        run(store)
    assert run(store) == Redriven(records=2, removed=2, left={})
    assert numbers(store) == ["1", "2"]


def test_a_table_with_another_name_in_dynamodb_is_redriven_to_its_contracts_name(
    store: BronzeStore, given_up: BronzeStore
) -> None:
    names = SourceNames({"Orders": "prod-Orders"})
    letter = DeadLetter(failed_at=NOW, reason="a bug", record=change(1, table="prod-Orders"))
    assert "/Orders/" in write_dead_letter(store, letter, names)
    give_up(given_up, 1, change(2, table="prod-Orders"))
    assert redrive(store, {"Orders"}, given_up=given_up, now=lambda: NOW, names=names).removed == 2
    assert sorted(numbers(store)) == ["1", "2"]
