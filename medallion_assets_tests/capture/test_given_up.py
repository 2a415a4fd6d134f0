"""What Lambda gave up is counted by table, in a bounded number of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from medallion_assets.capture import given_up
from medallion_assets.capture.given_up import GivenUp, find_given_up
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets_tests.capture.events import ARN

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)


class CountedStore(MemoryStore):
    """Counts requests: a listing of each page, and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.listed, self.read_paths = 0, list[str]()

    def list(self, table: str, **options: object) -> Iterator[str]:
        self.listed += 1
        return super().list(table, **options)  # type: ignore[arg-type]

    def read(self, path: str) -> bytes:
        self.read_paths.append(path)
        return super().read(path)


def give_up(store: MemoryStore, mapping: str, at: datetime, *, table: str = "Orders", shard: str = "shardId-1") -> str:
    path = f"aws/lambda/{mapping}/{shard}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-6f1c"
    store.put(path, json.dumps({"DDBStreamBatchInfo": {"streamArn": ARN.format(table)}}).encode())
    return path.rpartition("/")[2]


def test_batches_are_counted_by_table_with_the_time_of_the_oldest() -> None:
    store = CountedStore()
    assert find_given_up(None) == find_given_up(store) == {}
    assert (store.listed, store.read_paths) == (1, []), "one request while nothing waits"
    oldest = NOON - timedelta(hours=5)
    give_up(store, "a", NOON, shard="shardId-1")
    give_up(store, "a", oldest, shard="shardId-2")
    last = give_up(store, "b", NOON + timedelta(seconds=1), table="prod-Orders")
    give_up(store, "c", NOON, table="Customers")
    store.put("aws/lambda/d/shard/note.txt", b"not of Lambda")
    store.put("aws/lambda/e/shard/2026/02/03/2026-02-03T12.00.00-1", b"not JSON")
    found = find_given_up(store, SourceNames({"Orders": "prod-Orders"}))
    assert found == {
        "Orders": GivenUp(batches=3, oldest=oldest, newest=NOON + timedelta(seconds=1), last_name=last),
        "Customers": GivenUp(batches=1, oldest=NOON, newest=NOON, last_name=last.replace("00.01", "00.00")),
    }
    assert store.listed == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_full_bucket_costs_two_requests_a_mapping(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(given_up, "MAX_COUNTED", limit)
    store, counts = CountedStore(), {"Customers": 1, "Orders": 7, "Products": 3}
    for table, count in counts.items():
        for at in range(count):
            give_up(store, table[0], NOON + timedelta(seconds=at), table=table)
    found = find_given_up(store)
    assert {table: one.batches for table, one in found.items()} == {
        table: min(count, limit) for table, count in counts.items()
    }
    assert store.listed <= 4 and len(store.read_paths) == 3


def test_a_batch_that_a_redrive_takes_meanwhile_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountedStore()
    for at in range(2):
        give_up(store, "a", NOON + timedelta(seconds=at))
    read = store.read

    def taken(path: str) -> bytes:
        monkeypatch.setattr(store, "read", read)
        store.remove(path)
        return read(path)

    monkeypatch.setattr(store, "read", taken)
    assert find_given_up(store)["Orders"].batches == 2
