"""DynamoDB tables: items, writes and what a write puts on the stream.

Belongs here: the writes' rules (no-op writes, TTL, transactions), reading by key and by scan order. Does not belong
here: shards and retention (streams), boto3's request shapes (clients).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from medallion_assets.simulation.items import Item
from medallion_assets.simulation.streams import Stream, StreamRecord


class Refused(Exception):
    """A request that DynamoDB refuses. `code` is its error code, e.g. ValidationException."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: a put has an `item`, an update a `key`, `changes` and `drop`, a delete a `key`."""

    table: Table
    kind: Literal["put", "update", "delete"]
    item: Item | None = None
    key: Item | None = None
    changes: Mapping[str, Mapping[str, Any]] | None = None
    drop: Sequence[str] = ()
    condition: Callable[[Item | None], bool] | None = None


class Table:
    """One table. Writes take effect at the clock's time and return the stream record, None for a no-op."""

    name: str
    arn: str
    key: tuple[tuple[str, str], ...]
    ttl: str | None
    stream: Stream | None
    """The enabled stream, None when streaming is off."""
    streams: list[Stream]
    """All streams that still hold records, oldest first; the last may be `stream`."""

    def put(self, item: Mapping[str, Mapping[str, Any]]) -> StreamRecord | None:
        """Put an item. Raises Refused."""
        raise NotImplementedError

    def update(
        self,
        key: Mapping[str, Mapping[str, Any]],
        changes: Mapping[str, Mapping[str, Any]],
        *,
        drop: Sequence[str] = (),
    ) -> StreamRecord | None:
        """Set and remove attributes of an item, which is created if there is none. Raises Refused."""
        raise NotImplementedError

    def delete(self, key: Mapping[str, Mapping[str, Any]]) -> StreamRecord | None:
        """Delete an item. Raises Refused."""
        raise NotImplementedError

    def get(self, key: Mapping[str, Mapping[str, Any]]) -> Item | None:
        """Return the item that is there now."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Item]:
        """Iterate over all items in scan order."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of items."""
        raise NotImplementedError

    def expire(self, limit: int | None = None) -> list[StreamRecord]:
        """Let the TTL process delete up to `limit` of the items whose time has passed."""
        raise NotImplementedError

    def enable_stream(self, view: str = "NEW_AND_OLD_IMAGES") -> Stream:
        """Enable streaming: a new stream with a new ARN. Raises Refused when it is enabled."""
        raise NotImplementedError

    def disable_stream(self) -> None:
        """Disable streaming: the stream's shards close, and it stays readable for 24 hours."""
        raise NotImplementedError

    def split(self) -> None:
        """Split the partition with the widest range of keys: one open shard closes and two children follow."""
        raise NotImplementedError


def transact(writes: Sequence[Write]) -> list[StreamRecord]:
    """Make up to 100 writes of different items, of one table or several, all or none of them. Raises Refused."""
    raise NotImplementedError


def changed_at(record: StreamRecord) -> datetime:
    """Return when a record's change was made, exactly (the record itself tells whole seconds)."""
    raise NotImplementedError
