"""Rules of AWS as data: what a rule says, where AWS says so, and a check of it.

What belongs here: the shape of such a table. Not the rules (test_source, test_streams, test_delivery).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from medallion_assets.simulation.cloud import Cloud

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

FACTS: Final = "facts.md, DynamoDB Streams"
STREAMS: Final = "DynamoDB developer guide: Change data capture for DynamoDB Streams"
STREAMS_API: Final = "DynamoDB Streams API reference: "
API: Final = "DynamoDB API reference: "
TYPES: Final = "DynamoDB developer guide: Supported data types and naming rules"
LIMITS: Final = "DynamoDB developer guide: Quotas"
TTL: Final = "DynamoDB developer guide: Using time to live (TTL)"
TRANSACTIONS: Final = "DynamoDB developer guide: Transactions: how it works"
CONSISTENCY: Final = "DynamoDB developer guide: Read consistency"
SQS: Final = "SQS developer guide: Visibility timeout"
MAPPING: Final = "Lambda developer guide: Process DynamoDB records with Lambda"
PARAMETERS: Final = "Lambda developer guide: Lambda parameters for DynamoDB event source mappings"
BATCHES: Final = "Lambda developer guide: Configuring partial batch response with DynamoDB and Lambda"
DISCARDED: Final = "Lambda developer guide: Retain discarded records for a DynamoDB event source"

_names = itertools.count(1)


@dataclass(frozen=True)
class Rule:
    """One rule. `emulator` says whether the emulator keeps it, too."""

    says: str
    source: str
    check: Callable[[Any], None]
    emulator: bool

    def __str__(self) -> str:
        return self.check.__name__


@dataclass
class Rules:
    """A table of rules, filled by its decorator."""

    rules: list[Rule] = field(default_factory=list)

    def __call__(
        self, says: str, source: str, *, emulator: bool = False
    ) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        def add(check: Callable[[Any], None]) -> Callable[[Any], None]:
            self.rules.append(Rule(says, source, check, emulator))
            return check

        return add


@dataclass(frozen=True)
class Source:
    """DynamoDB, its streams and SQS, simulated or emulated. `cloud` is None where it is the emulator."""

    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    sqs: SQSClient
    cloud: Cloud | None = None

    def create(self, *, key: dict[str, str] | None = None, view: str | None = "NEW_AND_OLD_IMAGES") -> str:
        """A table of its own, with a stream; returns its name."""
        name = f"Table{next(_names)}"
        key = key or {"id": "S"}
        stream: Any = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}} if view else {}
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": a, "KeyType": r} for a, r in zip(key, ("HASH", "RANGE"), strict=False)],  # type: ignore[typeddict-item]
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": t} for a, t in key.items()],  # type: ignore[typeddict-item]
            BillingMode="PAY_PER_REQUEST",
            **stream,
        )
        return name

    def put(self, table: str, id_: str, **attributes: Any) -> None:
        """Put an item of one key."""
        self.dynamodb.put_item(TableName=table, Item={"id": {"S": id_}, **attributes})

    def arn(self, table: str) -> str:
        """The newest stream of a table."""
        return self.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]

    def shards(self, arn: str) -> list[Any]:
        """All shards of a stream."""
        return self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]

    def iterator(self, arn: str, kind: str, number: str | None = None, shard: int = 0) -> str:
        """An iterator of the stream's first shard, or another."""
        named: Any = {} if number is None else {"SequenceNumber": number}
        return self.streams.get_shard_iterator(
            StreamArn=arn,
            ShardId=self.shards(arn)[shard]["ShardId"],
            ShardIteratorType=kind,  # type: ignore[arg-type]
            **named,
        )["ShardIterator"]

    def read(self, iterator: str) -> list[Any]:
        """The records of one page."""
        return self.streams.get_records(ShardIterator=iterator)["Records"]

    def records(self, table: str) -> list[Any]:
        """All records of a table's newest stream that are in its first shard."""
        return self.read(self.iterator(self.arn(table), "TRIM_HORIZON"))

    def switch(self, table: str, *, on: bool) -> None:
        """Enable or disable a table's stream."""
        wanted: Any = {"StreamEnabled": on} | ({"StreamViewType": "NEW_AND_OLD_IMAGES"} if on else {})
        self.dynamodb.update_table(TableName=table, StreamSpecification=wanted)
