"""The shards of a stream: which can be read now, and whether records were lost between two listings.

Belongs here: lineage, as pure functions over a listing and the checkpoint. Does not belong here: reading records.
All records of a shard come before those of its children, so a child waits until its parent is delivered to the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medallion_assets.capture.poller.checkpoint import ShardCheckpoint

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as DescribeStream lists it. `first_sequence` is None while the shard has no records."""

    shard_id: str
    parent_id: str | None = None
    first_sequence: str | None = None


def list_shards(client: "DynamoDBStreamsClient", stream_arn: str) -> list[Shard]:
    """Return all shards that a stream still has, a hundred per call. Raises botocore's errors."""
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


def select_readable(shards: Iterable[Shard], known: Mapping[str, ShardCheckpoint]) -> list[Shard]:
    """Return the shards with records left to deliver whose parent has none left."""
    listed = {shard.shard_id: shard for shard in shards}

    def is_done(shard_id: str) -> bool:
        return shard_id in known and known[shard_id].finished

    return [
        shard
        for shard in listed.values()
        if not is_done(shard.shard_id) and (shard.parent_id not in listed or is_done(shard.parent_id))
    ]


def have_children(shards: Iterable[Shard], known: Mapping[str, ShardCheckpoint]) -> bool:
    """Return whether every shard that is delivered to its end has a child in the listing, which continues it."""
    listed = list(shards)
    parents = {shard.parent_id for shard in listed}
    return all(
        shard.shard_id in parents
        for shard in listed
        if (checkpoint := known.get(shard.shard_id)) is not None and checkpoint.finished
    )


def find_loss(shards: Iterable[Shard], known: Mapping[str, ShardCheckpoint]) -> str | None:
    """Return the reason why records must have been lost unread, or None. `known` is from before this listing.

    A listing shows every shard that still has records. So an unfinished shard that is no longer listed was trimmed
    before the rest of it was read. And a parent that is neither listed nor known was created and trimmed between two
    listings.
    """
    listed = {shard.shard_id: shard for shard in shards}
    for shard_id, checkpoint in known.items():
        if shard_id not in listed and not checkpoint.finished:
            return f"shard {shard_id} was trimmed before it was read to its end"
    for shard in listed.values():
        parent = shard.parent_id
        if known and shard.shard_id not in known and parent and parent not in known and parent not in listed:
            return f"shard {parent}, the parent of {shard.shard_id}, was trimmed before it was ever listed"
    return None
