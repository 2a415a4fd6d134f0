"""The two consumers of a real stream: the poller of this machine, and the Lambda function."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.errors import CaptureError, SettingsError
from medallion_assets.live import handler as function
from medallion_assets.live.consume import pollers
from medallion_assets.live.counter import Counter, to_json
from medallion_assets.live.dynamodb_store import DynamoStore
from medallion_assets_tests.capture.events import change
from medallion_assets_tests.capture.kinesis_events import of_kinesis, sent_change
from medallion_assets_tests.live.shop import BY_STATUS, expected, order

FAST = PollerSettings(window_seconds=0.05, idle_seconds=0.02, discover_seconds=0.1)


def test_the_poller_keeps_a_counter_and_goes_on_after_a_stop(dynamo_store: DynamoStore, tmp_path: Path) -> None:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName="shop-Orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )

    def count_what_is_there() -> None:
        right, halt = expected(client.scan(TableName="shop-Orders")["Items"]), threading.Event()
        with Checkpoint.open(tmp_path / "live.sqlite") as checkpoint:
            found = pollers(
                [BY_STATUS],
                dynamo_store,
                checkpoint,
                dynamodb=client,
                streams=boto3.client("dynamodbstreams"),
                names=SourceNames({"Orders": "shop-Orders"}),
                settings=FAST,
            )
            thread = threading.Thread(target=poll, args=(found,), kwargs={"halt": halt, "ready": lambda: None})
            thread.start()
            try:
                until = time.monotonic() + 30
                while dynamo_store.totals("by_status") != right and time.monotonic() < until:
                    time.sleep(0.05)
            finally:
                halt.set()
                thread.join()
        assert dynamo_store.totals("by_status") == right

    for number in range(12):
        client.put_item(TableName="shop-Orders", Item=order(str(number), status=f"s{number % 3}"))
    count_what_is_there()
    client.delete_item(TableName="shop-Orders", Key={"id": {"S": "3"}})
    client.put_item(TableName="shop-Orders", Item=order("4", amount="9.99"))
    count_what_is_there()


@pytest.fixture
def deployed(dynamo_store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoStore]:
    """The function's environment, in a process of its own."""
    cached = (function._counters, function._store, function._names)
    monkeypatch.setenv("MEDALLION_COUNTERS", to_json([Counter("orders", "Orders")]))
    monkeypatch.setenv("MEDALLION_LIVE", "dynamodb:live")
    for one in cached:
        one.cache_clear()
    yield dynamo_store
    for one in cached:
        one.cache_clear()


def test_the_function_counts_and_answers_as_a_tumbling_window_asks(deployed: DynamoStore) -> None:
    event = {"Records": [change(1), change(2), change(3, table="Customers")]}
    window: dict[str, Any] = {"shardId": "shardId-1", "state": {}, "isFinalInvokeForWindow": False}
    assert function.handler(event, None) == {"state": {}}
    assert function.handler({**event, **window}, None) == {"state": {}}
    assert function.handler({"Records": [], **window, "isFinalInvokeForWindow": True}, None) == {"state": {}}
    assert {group: int(measures["count"]) for group, measures in deployed.totals("orders").items()} == {"[]": 2}


def test_a_change_by_kinesis_is_refused(deployed: DynamoStore) -> None:
    with pytest.raises(CaptureError, match="not a DynamoDB stream ARN"):
        function.handler({"Records": [of_kinesis(sent_change(1, {"OrderID": {"S": "1"}}, None))]}, None)


@pytest.mark.parametrize("name", ["MEDALLION_COUNTERS", "MEDALLION_LIVE"])
def test_a_missing_setting_is_named(deployed: DynamoStore, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        function.handler({"Records": [change(1)]}, None)
