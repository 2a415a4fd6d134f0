"""A small lake with data of every kind, made by the rooms themselves: the `fleet` domain through all layers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from medallion_assets.capture.process import process
from medallion_assets.capture.store import open_store
from medallion_assets.cli.main import app
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets.local.traffic import Traffic
from medallion_assets.settings import Settings
from medallion_assets.silver.day import merge_news
from medallion_assets_tests.fixtures import FLEET

NAMED = ("MEDALLION_DOMAIN", "MEDALLION_BRONZE", "MEDALLION_WAREHOUSE", "MEDALLION_CATALOG", "MEDALLION_CHECKPOINT")


def medallion(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def away(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with nothing of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)


@dataclass
class Fleet:
    """The fleet's tables in DynamoDB, and its lake."""

    settings: Settings
    delivered: dict[str, int] = field(default_factory=dict)

    def write(self, count: int = 0) -> None:
        """The initial load if there is none, then `count` live writes."""
        traffic = Traffic.of(self.settings, seed=5)
        traffic.load()
        traffic.run(rate=1000, count=count, stop=threading.Event())

    def capture(self) -> None:
        """Bring what is new on the streams to Bronze."""
        store = open_store(self.settings.bronze)
        for contract in load_domain(FLEET).tables:
            found = stream(contract.table)[self.delivered.get(contract.table, 0) :]
            self.delivered[contract.table] = self.delivered.get(contract.table, 0) + len(found)
            assert process(found, store=store, captured_at=datetime.now(UTC)) == []

    def publish(self) -> None:
        """Bring what is new in Bronze to Silver and Gold."""
        domain, now, store = load_domain(FLEET), datetime.now(UTC), open_store(self.settings.bronze)
        with Lake.open(self.settings.lake()) as lake:
            for contract in domain.tables:
                for result in merge_news(lake, store, contract, domain, day=now.date(), run_id="test", now=now):
                    assert result.published, result.checks
            for mart in load_marts(domain):
                assert refresh(lake, mart, domain, today=now.date(), now=now, run_id="test").published


def stream(table: str) -> list[dict[str, Any]]:
    """All records of a table's only shard."""
    client = boto3.client("dynamodbstreams")
    arn = boto3.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    [shard] = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    at: str | None = client.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found: list[dict[str, Any]] = []
    while at and (page := client.get_records(ShardIterator=at))["Records"]:
        found += [{**record, "eventSourceARN": arn} for record in page["Records"]]
        at = page.get("NextShardIterator")
    return found


@pytest.fixture
def fleet(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Empty tables, an empty bucket, and the environment that leads to them."""
    bucket = f"fleet-{os.environ['AWS_ACCESS_KEY_ID']}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    create_tables(boto3.client("dynamodb"), load_domain(FLEET))
    places = (FLEET, f"s3://{bucket}/bronze", f"s3://{bucket}/warehouse", "glue")
    for name, value in zip(NAMED, places, strict=False):
        monkeypatch.setenv(name, value)
    yield Fleet(Settings.load())
