"""Real parts for the poller's tests: tables with streams, a queue and clients of the emulator, a checkpoint on disk."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from medallion_assets.capture.dead_letter import DeadLetter, list_dead_letters, read_dead_letter, write_dead_letter
from medallion_assets.capture.gap_marker import write_gap_marker
from medallion_assets.capture.heartbeat import write_heartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.local.emulator import Emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

FAST = PollerSettings(
    window_seconds=0.05, idle_seconds=0.02, discover_seconds=0.1, backoff_seconds=0.01, max_backoff_seconds=0.05
)


def bronze(store: BronzeStore, table: str) -> list[dict[str, Any]]:
    """All rows of a table in Bronze, object by object."""
    return [row for path in store.list(table) for row in pq.read_table(io.BytesIO(store.read(path))).to_pylist()]


def ids(store: BronzeStore, table: str) -> list[str]:
    """The OrderID of every change in Bronze, object by object."""
    return [json.loads(row["keys"])["OrderID"]["S"] for row in bronze(store, table)]


@dataclass(frozen=True)
class Stack:
    """One account of the emulator, with what a poller needs."""

    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    store: BronzeStore
    bronze_url: str

    def create(self, table: str) -> str:
        """A table with a stream; returns the stream's ARN."""
        self.dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "OrderID", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "OrderID", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return self.stream(table)

    def stream(self, table: str) -> str:
        """The ARN of a table's newest stream."""
        return self.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]

    def write(self, table: str, *numbers: int, **attributes: Any) -> None:
        """Put items o-<number>."""
        for number in numbers:
            self.dynamodb.put_item(TableName=table, Item={"OrderID": {"S": f"o-{number}"}, **attributes})

    def switch_stream(self, table: str, *, on: bool) -> None:
        """Enable or disable a table's stream; enabling makes a new one."""
        specification: Any = {"StreamEnabled": on} | ({"StreamViewType": "NEW_AND_OLD_IMAGES"} if on else {})
        self.dynamodb.update_table(TableName=table, StreamSpecification=specification)

    def failed(self) -> list[DeadLetter]:
        """The dead letters in Bronze, table by table in the order of their failure."""
        found = list_dead_letters(self.store).values()
        return [read_dead_letter(self.store, path) for paths in found for path in paths]

    def poller(self, table: str, checkpoint: Checkpoint, **changes: Any) -> TablePoller:
        """A table's poller over the real parts, but for those named in `changes`."""
        parts: dict[str, Any] = {
            "dynamodb": self.dynamodb,
            "streams": self.streams,
            "write": partial(write_bronze, store=self.store),
            "on_dead_letter": partial(write_dead_letter, self.store),
            "on_gap": partial(write_gap_marker, self.store),
            "on_heartbeat": partial(write_heartbeat, self.store),
            "checkpoint": checkpoint,
            "settings": FAST,
            "clock": lambda: datetime.now(UTC),
        }
        return TablePoller(table, **{**parts, **changes})


@pytest.fixture
def stack(aws: Emulator, bucket: str) -> Stack:
    once = Config(retries={"total_max_attempts": 1})
    url = f"s3://{bucket}/bronze"
    return Stack(
        boto3.client("dynamodb", config=once),
        boto3.client("dynamodbstreams", config=once),
        open_store(url),
        url,
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(tmp_path / "checkpoint.sqlite") as opened:
        yield opened


class Faulty:
    """A real client whose calls fail first, in the ways listed for each operation."""

    def __init__(self, client: Any, **faults: list[Exception]) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name not in self._faults:
            return real

        def call(**arguments: Any) -> Any:
            if self._faults[name]:
                raise self._faults[name].pop(0)
            return real(**arguments)

        return call


Wait = Callable[[Callable[[], object]], None]


@pytest.fixture
def until() -> Wait:
    """Wait until something holds; fail after 20 s."""
    import time

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "did not happen within 20 s"
            time.sleep(0.02)

    return wait
