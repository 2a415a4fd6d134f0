"""DynamoDB Streams: shards, sequence numbers, retention, iterators.

Belongs here: what a stream holds at which time and how it is read. Does not belong here: boto3's shapes (clients), or
who writes (table).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

RETENTION: Final = timedelta(hours=24)
SHARD_LIFE: Final = timedelta(hours=4)
ITERATOR_LIFE: Final = timedelta(minutes=15)


class StreamRecord:
    """One record: `number` orders it, `sequence_number` is its text; `at` is when the change was made, exactly."""

    __slots__ = ("at", "event_name", "item_key", "number", "size_bytes")

    number: int
    event_name: str
    at: datetime
    item_key: tuple[Any, ...]
    size_bytes: int

    @property
    def sequence_number(self) -> str:
        """The number as text, 21 to 40 digits."""
        raise NotImplementedError

    def for_boto3(self) -> dict[str, Any]:
        """Return a fresh copy in the shape of `get_records`: bytes and datetime."""
        raise NotImplementedError

    def for_lambda(self) -> dict[str, Any]:
        """Return a fresh copy in the shape of a Lambda event's record, with `eventSourceARN`."""
        raise NotImplementedError


class Shard:
    """One shard. `ending` is None while it is open."""

    shard_id: str
    parent_id: str | None
    starting: int
    ending: int | None
    created_at: datetime
    closed_at: datetime | None
    records: Sequence[StreamRecord]
    """The records not trimmed yet."""
    trimmed: int
    """How many records were trimmed."""


class Stream:
    """One stream of one table. Everything asked of it is as of the clock's time."""

    arn: str
    label: str
    view: str
    table_name: str
    enabled: bool

    def shards(self) -> list[Shard]:
        """Return the shards that still are, oldest first."""
        raise NotImplementedError

    def records(self) -> list[StreamRecord]:
        """Return all records not trimmed yet, shard by shard."""
        raise NotImplementedError
