"""The queue of arrivals, on the local AWS: what a bucket sends to it, and that a lost message loses no change."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import boto3
import pytest

from medallion_assets.local.emulator import Emulator
from medallion_assets.scheduling.arrivals import MAX_RECEIVES, ArrivalsQueue

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import FilterRuleTypeDef, QueueConfigurationTypeDef


@pytest.fixture
def bucket(aws: Emulator) -> str:
    name = f"arrivals-{os.environ['AWS_ACCESS_KEY_ID']}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def url(bucket: str) -> str:
    """A queue like that of `infra/`, which the bucket notifies of Parquet objects of Bronze."""
    return notified_queue(bucket)


def notified_queue(bucket: str) -> str:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(
        QueueName="arrivals", Attributes={"MessageRetentionPeriod": "300", "VisibilityTimeout": "300"}
    )["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rules: list[FilterRuleTypeDef] = [
        {"Name": "prefix", "Value": "bronze/"},
        {"Name": "suffix", "Value": ".parquet"},
    ]
    created: QueueConfigurationTypeDef = {
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    boto3.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [created]}
    )
    return url


def test_the_bucket_names_the_tables_of_new_objects_once(bucket: str, url: str) -> None:
    queue = ArrivalsQueue(boto3.client("sqs"), url, f"s3://{bucket}/bronze")
    queue.receive(wait_seconds=0)  # S3's test of a new queue
    assert queue.receive(wait_seconds=0) == frozenset()
    s3 = boto3.client("s3")
    for key in (
        "bronze/Orders/year=2026/month=03/day=01/20260301T000000000000Z_1.parquet",
        "bronze/Orders/year=2026/month=03/day=01/20260301T000000000001Z_1.parquet",
        "bronze/my.table-2/year=2026/month=03/day=01/1.parquet",
        "bronze/_heartbeat/poller/Products.json",
        "warehouse/silver/customers/data/1.parquet",
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert queue.receive(wait_seconds=1) == frozenset({"Orders", "my.table-2"})
    assert queue.receive(wait_seconds=0) == frozenset()


def test_a_flood_of_messages_means_every_table(bucket: str, url: str) -> None:
    queue = ArrivalsQueue(boto3.client("sqs"), url, f"s3://{bucket}/bronze")
    for number in range(10 * MAX_RECEIVES + 1):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"bronze/Orders/{number}.parquet", Body=b"")
    assert queue.receive(wait_seconds=0) is None


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "no JSON", '{"Event": "s3:TestEvent"}', '{"Records": [{"s3": {}}]}', '{"Records": null}']
)
def test_other_messages_name_no_table(bucket: str, url: str, body: str) -> None:
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody=body or " ")
    other = {"s3": {"bucket": {"name": "another"}, "object": {"key": "bronze/Orders/1.parquet"}}}
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [other]}))
    assert ArrivalsQueue(boto3.client("sqs"), url, f"s3://{bucket}/bronze").receive(wait_seconds=1) == frozenset()


def test_a_queue_that_is_not_there_means_every_table(bucket: str, url: str) -> None:
    queue = ArrivalsQueue(boto3.client("sqs"), f"{url}-gone", f"s3://{bucket}/bronze")
    assert queue.receive(wait_seconds=0) is None
