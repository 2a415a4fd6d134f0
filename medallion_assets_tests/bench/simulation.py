"""How fast the simulated event source mapping delivers a stream, beside the emulator's stream read by boto3.

What belongs here: `run`. Both hold the same writes: orders of 326 bytes, written and changed, so that a record has both
images. Ours is the CPU time of one core; the emulator is a process of its own, so its is the time that passes.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from medallion_assets.local.emulator import DEMO_ACCOUNT, REGION, run_emulator
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import MappingSettings
from medallion_assets_tests.bench.capture import _records

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RECORDS, EMULATED, PASSES = 50_000, 1_000, 5
BATCH_SIZE = 100
"""AWS's default."""


def run() -> list[dict[str, Any]]:
    """Measure the mapping with a function that only counts."""
    images = [record["dynamodb"]["NewImage"] for record in _records()]
    ours = _mapping(images)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    other = _emulator(images)
    return [
        {
            "work": "simulation",
            "ours": round(ours),
            "other": round(other),
            "unit": "records/s",
            "ratio": round(ours / other, 1),
            "peak_mb": peak_mb,
            "what_other_is": "the emulator's stream through boto3 get_records, without any mapping",
        }
    ]


def _mapping(images: list[dict[str, Any]]) -> float:
    cloud = Cloud(1)
    table = cloud.create_table("Orders", {"OrderID": "S"}, shards=4)
    for n in range(RECORDS):
        image = images[n % len(images)]
        table.put({**image, "Status": {"S": f"status {n}"}})
    fastest = 0.0
    for _ in range(PASSES):
        seen = 0

        def count(event: dict[str, Any], context: object) -> None:
            nonlocal seen
            seen += len(event["Records"])

        mapping = cloud.mapping(table, count, MappingSettings(batch_size=BATCH_SIZE))
        start = time.process_time()
        mapping.drain()
        fastest = max(fastest, seen / (time.process_time() - start))
        if seen != RECORDS:
            raise AssertionError(f"delivered {seen} records, expected {RECORDS}")
    return fastest


def _emulator(images: list[dict[str, Any]]) -> float:
    with tempfile.TemporaryDirectory() as folder, run_emulator(Path(folder)) as emulator:
        reach: Any = {
            "endpoint_url": emulator.endpoint,
            "region_name": REGION,
            "aws_access_key_id": DEMO_ACCOUNT,
            "aws_secret_access_key": "local",
        }
        dynamodb: DynamoDBClient = boto3.client("dynamodb", **reach)
        streams = boto3.client("dynamodbstreams", **reach)
        dynamodb.create_table(
            TableName="Orders",
            KeySchema=[{"AttributeName": "OrderID", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "OrderID", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        for n in range(EMULATED):
            dynamodb.put_item(TableName="Orders", Item={**images[n % 500], "Status": {"S": f"status {n}"}})
        arn = dynamodb.describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        fastest = 0.0
        for _ in range(PASSES):
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            start = time.perf_counter()
            seen = 0
            while seen < EMULATED:
                answer = streams.get_records(ShardIterator=iterator, Limit=1_000)
                seen += len(answer["Records"])
                iterator = answer["NextShardIterator"]
            fastest = max(fastest, seen / (time.perf_counter() - start))
    return fastest
