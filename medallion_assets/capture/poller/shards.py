"""The shards of a stream: which may be read now, and whether history was lost between two looks.

Belongs here: lineage, pure functions over a listing and the checkpoint's marks. Does not belong here: reading records.
A shard's records come wholly before its children's, so a child waits until its parent is delivered to the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medallion_assets.capture.poller.checkpoint import ShardMark

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as DescribeStream tells it. `first_sequence` is missing while a shard has no records."""

    shard_id: str
    parent_id: str | None = None
    first_sequence: str | None = None


def list_shards(client: "DynamoDBStreamsClient", stream_arn: str) -> list[Shard]:
    """Return all shards that a stream still has, a hundred a call."""
    shards: list[Shard] = []
    start: str | None = None
    while True:
        page = (
            client.describe_stream(StreamArn=stream_arn, ExclusiveStartShardId=start)
            if start
            else client.describe_stream(StreamArn=stream_arn)
        )["StreamDescription"]
        shards += [
            Shard(
                shard["ShardId"],
                shard.get("ParentShardId"),
                shard.get("SequenceNumberRange", {}).get("StartingSequenceNumber"),
            )
            for shard in page.get("Shards", ())
        ]
        start = page.get("LastEvaluatedShardId")
        if not start:
            return shards


def readable(shards: Iterable[Shard], marks: Mapping[str, ShardMark]) -> list[Shard]:
    """Return the shards with something left to deliver whose parent has nothing left."""
    listed = {shard.shard_id: shard for shard in shards}

    def done(shard_id: str) -> bool:
        return shard_id in marks and marks[shard_id].finished

    return [
        shard
        for shard in listed.values()
        if not done(shard.shard_id) and (shard.parent_id not in listed or done(shard.parent_id))
    ]


def followed(shards: Iterable[Shard], marks: Mapping[str, ShardMark]) -> bool:
    """Return whether every shard that is delivered to its end has a child listed, which holds what comes after it."""
    listed = list(shards)
    parents = {shard.parent_id for shard in listed}
    return all(
        shard.shard_id in parents
        for shard in listed
        if (mark := marks.get(shard.shard_id)) is not None and mark.finished
    )


def lost(shards: Iterable[Shard], marks: Mapping[str, ShardMark]) -> str | None:
    """Return what shows that records went unread, or None. `marks` are from before this listing.

    A listing shows every shard that still has records. So a shard that is not finished and no longer listed was
    trimmed with its rest unread, and a parent that is neither listed nor known was born and trimmed unseen.
    """
    listed = {shard.shard_id: shard for shard in shards}
    for shard_id, mark in marks.items():
        if shard_id not in listed and not mark.finished:
            return f"shard {shard_id} was trimmed before it was read to its end"
    for shard in listed.values():
        parent = shard.parent_id
        if marks and shard.shard_id not in marks and parent and parent not in marks and parent not in listed:
            return f"shard {parent}, the parent of {shard.shard_id}, was trimmed before it was ever seen"
    return None
