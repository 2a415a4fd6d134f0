"""Records that boto3 cannot parse, as some implementations of Streams send them: they are dead letters."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.tolerant_streams import TolerantStreams
from medallion_assets_tests.capture.poller.conftest import Stack, Wait, ids
from medallion_assets_tests.capture.poller.test_table import polling

MALFORMED = [
    {"L": {"S": "x"}},  # a map {"L": ...} taken for a list
    {"M": {"S": "x"}},  # a map whose values have lost their tags
    {"M": {"": {"L": {"N": "1"}}}},
    {"B": {"N": "1"}},
    {"B": "a"},  # not base64
    {"NS": 5},
    "x",
]


def malforming(image: Any, *orders: str) -> Any:
    """A client of the emulator that answers with this attribute `a` in the new images of some orders."""
    client = boto3.client("dynamodbstreams")

    def malform(response_dict: dict[str, Any], **_: Any) -> None:
        page = json.loads(response_dict["body"])
        for record in page["Records"]:
            if record["dynamodb"]["Keys"]["OrderID"]["S"] in orders:
                record["dynamodb"]["NewImage"]["a"] = image
        response_dict["body"] = json.dumps(page).encode()

    client.meta.events.register("before-parse.dynamodb-streams.GetRecords", malform)
    return client


@pytest.mark.parametrize("image", MALFORMED, ids=str)
def test_a_malformed_record_is_a_dead_letter_and_its_neighbours_are_in_bronze(
    stack: Stack, checkpoint: Checkpoint, until: Wait, image: Any
) -> None:
    stack.create("Orders")
    stack.write("Orders", 1, 2, 3, 4, 5)
    streams = TolerantStreams(malforming(image, "o-2", "o-4"))
    with polling(stack.poller("Orders", checkpoint, streams=streams)):
        until(lambda: ids(stack.store, "Orders") == ["o-1", "o-3", "o-5"])
        stack.write("Orders", 6)
        until(lambda: ids(stack.store, "Orders")[-1] == "o-6")
    letters = stack.failed()
    assert [letter.record["dynamodb"]["Keys"]["OrderID"]["S"] for letter in letters] == ["o-2", "o-4"]
    for letter in letters:
        assert "not DynamoDB JSON" in letter.reason
        assert letter.record["dynamodb"]["NewImage"]["a"] == image, "as it was sent"


def test_a_page_that_boto3_can_parse_is_what_boto3_returns(stack: Stack) -> None:
    arn = stack.create("Orders")
    tags = {"M": {"S": {"N": "1"}, "": {"S": "x"}, "L": {"L": [{"B": b"\x00"}]}, "M": {"M": {"M": {"NULL": True}}}}}
    stack.write("Orders", 1, a=tags)
    (shard,) = stack.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    start = stack.streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    tolerant = TolerantStreams(boto3.client("dynamodbstreams"))
    page = tolerant.get_records(ShardIterator=start, Limit=10)
    assert page["Records"] == stack.streams.get_records(ShardIterator=start, Limit=10)["Records"]
    assert page["Records"][0]["dynamodb"]["NewImage"]["a"] == tags
    half = TolerantStreams(malforming("x", "o-2"))
    stack.write("Orders", 2)
    first, second = half.get_records(ShardIterator=start, Limit=10)["Records"]
    assert first == page["Records"][0], "the types are those of boto3, also next to a malformed record"
    assert second["dynamodb"]["ApproximateCreationDateTime"].tzinfo is not None
