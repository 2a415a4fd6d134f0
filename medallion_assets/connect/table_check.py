"""One DynamoDB table against its contract: is it there, may it be read, do the keys agree, is its stream usable.

Belongs here: the questions, and a sentence for each answer that keeps the pipeline from running. Does not belong here:
the policy that is missing (policy).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from medallion_assets.connect.caller import Caller
from medallion_assets.connect.probe import STREAM_ACTIONS, TABLE_ACTIONS, Action, Probes
from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import TAGS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

VIEW: Final = "NEW_AND_OLD_IMAGES"
_ANY: Final[Mapping[str, Any]] = {"S": "-", "N": "0", "B": b"-"}
"""A key of each type, to ask for an item that need not be there."""


@dataclass(frozen=True)
class TableCheck:
    """What was found of one table.

    - table: its name in the contract; source: its name in DynamoDB; exists: whether it is there, as far as is known
    - stream: the view type of its stream; None if it has none, or nobody could tell
    - missing: the actions that were refused, and those that could not be tried because of it
    - items, size_bytes: as DynamoDB counted them within the last six hours; None if it did not say
    - problems: a sentence for each thing that keeps the pipeline from running
    """

    table: str
    source: str
    exists: bool
    stream: str | None
    missing: tuple[Action, ...]
    items: int | None
    size_bytes: int | None
    problems: tuple[str, ...]


def check_table(
    dynamodb: DynamoDBClient, streams: DynamoDBStreamsClient, contract: Contract, source: str, caller: Caller
) -> TableCheck:
    """Return what is found of the table, which DynamoDB has as `source`. Only reads: one item and one stream record.

    Raises botocore's errors for what is neither a refusal nor a missing table.
    """
    probes = Probes()
    try:
        described: Mapping[str, Any] = (
            probes.ask("DescribeTable", lambda: dynamodb.describe_table(TableName=source)) or {}
        )
        description: Mapping[str, Any] = described.get("Table", {})
        probes.ask("Scan", lambda: dynamodb.scan(TableName=source, Limit=1))
        if description:
            keys = {"Keys": [_any_key(description)]}
            probes.ask("BatchGetItem", lambda: dynamodb.batch_get_item(RequestItems={source: keys}))  # type: ignore[dict-item]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
        lost = f"{source}: DynamoDB has no such table in account {caller.account}, region {caller.region}."
        wanted = (
            "Correct `table` in the contract or MEDALLION_SOURCE_TABLES, or choose another AWS_PROFILE or AWS_REGION."
        )
        return TableCheck(contract.table, source, False, None, (), None, None, (f"{lost} {wanted}",))
    arn = _stream_arn(probes, streams, description, source)
    tried: Sequence[Action] = (*TABLE_ACTIONS, "ListStreams")
    if arn is not None:
        _read_stream(probes, streams, arn)
        tried = (*TABLE_ACTIONS, *STREAM_ACTIONS)
    view = description.get("StreamSpecification", {}).get("StreamViewType")
    return TableCheck(
        table=contract.table,
        source=source,
        exists=True,
        stream=view,
        missing=tuple(action for action in tried if action not in probes.allowed),
        items=description.get("ItemCount"),
        size_bytes=description.get("TableSizeBytes"),
        problems=tuple(_problems(contract, source, description)) if description else (),
    )


def _any_key(description: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = _key_kinds(description)
    return {name: {kind: _ANY[kind]} for name, kind in kinds.items()}


def _key_kinds(description: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the attributes of the table's key with their type, hash first."""
    kinds = {one["AttributeName"]: one["AttributeType"] for one in description["AttributeDefinitions"]}
    in_order = sorted(description["KeySchema"], key=lambda one: one["KeyType"] != "HASH")
    return {one["AttributeName"]: kinds[one["AttributeName"]] for one in in_order}


def _stream_arn(
    probes: Probes, streams: DynamoDBStreamsClient, description: Mapping[str, Any], source: str
) -> str | None:
    listed = probes.ask("ListStreams", lambda: streams.list_streams(TableName=source))
    if description:
        enabled = description.get("StreamSpecification", {}).get("StreamEnabled", False)
        return description["LatestStreamArn"] if enabled else None
    arns = [one["StreamArn"] for one in listed.get("Streams", [])] if listed else []
    return arns[-1] if arns else None


def _read_stream(probes: Probes, streams: DynamoDBStreamsClient, arn: str) -> None:
    described = probes.ask("DescribeStream", lambda: streams.describe_stream(StreamArn=arn))
    shards = described["StreamDescription"].get("Shards", []) if described else []
    if not shards:
        return
    shard = shards[-1]["ShardId"]
    found = probes.ask(
        "GetShardIterator",
        lambda: streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="LATEST"),
    )
    if found is not None:
        probes.ask("GetRecords", lambda: streams.get_records(ShardIterator=found["ShardIterator"], Limit=1))


def _problems(contract: Contract, source: str, description: Mapping[str, Any]) -> Iterator[str]:
    there = _key_kinds(description)
    said = [column.attribute for column in contract.key_columns]
    if list(there) != said:
        shown = ", ".join(f"{name} ({kind})" for name, kind in there.items())
        yield (
            f"{source}: its key is {shown}; the contract says {', '.join(said)}. Correct `key` in the contract: rows "
            "would replace each other."
        )
    else:
        for column in contract.key_columns:
            kind, expected = there[column.attribute], TAGS[column.type.kind]
            if kind not in expected:
                yield (
                    f"{source}: its key attribute {column.attribute} is of type {kind}; the contract says "
                    f"{column.type}, which is {' or '.join(expected)}. Correct its type in the contract."
                )
    yield from _stream_problems(source, description.get("StreamSpecification", {}))


def _stream_problems(source: str, stream: Mapping[str, Any]) -> Iterator[str]:
    switch_on = (
        f"aws dynamodb update-table --table-name {source} "
        f"--stream-specification StreamEnabled=true,StreamViewType={VIEW}"
    )
    if not stream.get("StreamEnabled"):
        yield (
            f"{source}: it has no stream, so nobody hears of its changes. Switching one on changes nothing for the "
            "application and takes none of the table's capacity; DynamoDB keeps each change for 24 hours, and bills "
            f"requests that read it. To switch it on: {switch_on}. Or leave the table out: remove its contract."
        )
    elif (view := stream.get("StreamViewType")) != VIEW:
        yield (
            f"{source}: its stream has {view}; expected {VIEW}, because what an item was and what it became are both "
            "needed. The view of a stream cannot be changed: switch it off, which ends it for everybody who reads it, "
            f"and on again: aws dynamodb update-table --table-name {source} --stream-specification "
            f"StreamEnabled=false, then {switch_on}"
        )
