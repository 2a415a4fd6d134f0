"""Reading a table: everything once, within its allowance, and without anybody else's answers being touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import orjson
import pytest
from botocore.exceptions import ClientError

from medallion_assets.errors import LakeUnavailable
from medallion_assets.local.emulator import Emulator
from medallion_assets.reconciliation import scan
from medallion_assets.reconciliation.scan import CapacityLimit, DynamoTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

COUNT = 700


@pytest.fixture
def client(aws: Emulator) -> Iterator[DynamoDBClient]:
    """A table with a composite key of binary and number, and items large enough for some pages."""
    client = boto3.client("dynamodb")
    client.create_table(
        TableName="Things",
        AttributeDefinitions=[
            {"AttributeName": "H", "AttributeType": "B"},
            {"AttributeName": "R", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "H", "KeyType": "HASH"}, {"AttributeName": "R", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for first in range(0, COUNT, 25):
        puts = [
            {"PutRequest": {"Item": {"H": {"B": bytes([n % 7])}, "R": {"N": str(n)}, "V": {"S": "é" * 3000}}}}
            for n in range(first, first + 25)
        ]
        client.batch_write_item(RequestItems={"Things": puts})  # type: ignore[dict-item]
    yield client


def items(pages: Iterator[bytes]) -> list[dict[str, Any]]:
    return [item for page in pages for item in orjson.loads(page)["Items"]]


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("read_capacity", [None, 50_000.0])
def test_a_scan_reads_every_item_once(client: DynamoDBClient, segments: int, read_capacity: float | None) -> None:
    table = DynamoTable(client, "Things", segments=segments, read_capacity=read_capacity)
    found = items(table.scan())
    assert sorted(int(item["R"]["N"]) for item in found) == list(range(COUNT))
    assert {item["H"]["B"] for item in found} == {"AA==", "AQ==", "Ag==", "Aw==", "BA==", "BQ==", "Bg=="}
    assert table.units > 0


def test_chosen_items_are_read_by_key_and_missing_ones_are_left_out(client: DynamoDBClient) -> None:
    table = DynamoTable(client, "Things")
    about = table.describe()
    assert about.key_tags == {"H": "B", "R": "N"} and about.arn.endswith(":table/Things")
    keys = [{"H": {"B": "AQ=="}, "R": {"N": str(number)}} for number in range(COUNT)]
    found = items(table.get(keys))
    assert sorted(int(item["R"]["N"]) for item in found) == [n for n in range(COUNT) if n % 7 == 1]


def test_other_users_of_the_client_get_their_items(client: DynamoDBClient) -> None:
    pages = DynamoTable(client, "Things").scan()
    next(pages)
    seen = client.scan(TableName="Things", Limit=3)
    assert len(seen["Items"]) == 3 and "Body" not in seen
    pages.close()  # type: ignore[attr-defined]
    assert threading.active_count() < 20


def test_an_error_of_a_segment_is_raised(client: DynamoDBClient) -> None:
    with pytest.raises(ClientError, match="ResourceNotFound"):
        list(DynamoTable(client, "Nothing").scan())


def test_keys_left_out_of_an_answer_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer(keys: list[Any]) -> bytes:
        asked.append(len(keys))
        left = keys[1:]
        unprocessed = {"Things": {"Keys": left}} if left else {}
        return orjson.dumps({"Responses": {"Things": keys[:1]}, "UnprocessedKeys": unprocessed, "ConsumedCapacity": []})

    class Client:
        def batch_get_item(self, **_: Any) -> None: ...

    monkeypatch.setattr(scan, "_READ_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(scan, "_call", lambda _, RequestItems, **__: ({}, answer(RequestItems["Things"]["Keys"])))
    table = DynamoTable(Client(), "Things")  # type: ignore[arg-type]
    assert len(orjson.loads(table._get([{"Id": {"N": str(n)}} for n in range(4)]))["Items"]) == 4
    assert asked == [4, 3, 2, 1]
    with pytest.raises(LakeUnavailable, match="throttled"):
        table._get([{"Id": {"N": str(n)}} for n in range(9)])


def test_an_allowance_lets_so_many_units_through_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    allowance = CapacityLimit(50)
    for _ in range(20):
        allowance.wait()
        allowance.spend(25)
    allowance.wait()
    assert now[0] - 100 == pytest.approx(20 * 25 / 50) and allowance.used == 500
    free = CapacityLimit(None)
    free.spend(10_000)
    free.wait()
    assert now[0] - 100 == pytest.approx(10)
