"""DynamoDB tables: items, writes, and what a write puts on the stream.

Belongs here: the writes' rules (no-op writes, TTL, transactions), reading by key and in a scan's order. Does not belong
here: shards and retention (streams), boto3's request shapes (clients).
Sources: DynamoDB developer guide, "Change data capture for DynamoDB Streams", "Using time to live (TTL) in DynamoDB",
"DynamoDB transactions: how it works", "DynamoDB read consistency".
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from medallion_assets.simulation.aws_error import AwsError, invalid
from medallion_assets.simulation.items import Item, Key, key_hash, normal, normal_value, order, same
from medallion_assets.simulation.streams import Stream, StreamRecord, whole_range

AwareClock = Callable[[], datetime]

_STALE: Final = timedelta(seconds=1)
_TTL_PAST: Final = timedelta(days=5 * 365)
_MAX_WRITES: Final = 100
_PLACES: Final = 2**128


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of a transaction: a put has an `item`, an update a `key`, `changes` and `drop`, a delete a `key`.

    A "check" only has a `condition`, which says of the item there is (None: none) whether the transaction may go on.
    """

    table: Table
    kind: Literal["put", "update", "delete", "check"]
    item: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    key: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drop: Sequence[str] = ()
    condition: Callable[[Item | None], bool] | None = None


class Table:
    """One table. Writes take effect at the clock's time and return the stream record; None when they change nothing."""

    def __init__(
        self,
        name: str,
        arn: str,
        key: Mapping[str, str],
        *,
        clock: AwareClock,
        dice: random.Random,
        ttl: str | None,
        partitions: int,
        split_rate: float,
    ) -> None:
        self.name = name
        self.arn = arn
        self.key = tuple(key.items())
        self.ttl = ttl
        self.created_at = clock()
        self.streams: list[Stream] = []
        """All streams that may still hold records, oldest first."""
        self._clock = clock
        self._dice = dice
        self._ranges = whole_range(partitions)
        self._split_rate = split_rate
        self._items: dict[Key, Item] = {}
        self._before: dict[Key, tuple[datetime, Item | None]] = {}
        self._highest = 0
        self._scan: list[tuple[tuple[Any, ...], Key]] | None = []

    @property
    def stream(self) -> Stream | None:
        """The enabled stream, None when streaming is off."""
        return self.streams[-1] if self.streams and self.streams[-1].enabled else None

    def put(self, item: Mapping[str, Mapping[str, Any]]) -> StreamRecord | None:
        """Put an item. Raises AwsError."""
        return self.commit(*self._put(item))

    def stock(self, item: Mapping[str, Mapping[str, Any]]) -> None:
        """Put an item as if it had been there before the stream was on: there is no record. Raises AwsError."""
        key, new = self._put(item)
        self._items[key] = new
        self._scan = None

    def update(
        self,
        key: Mapping[str, Mapping[str, Any]],
        changes: Mapping[str, Mapping[str, Any]],
        *,
        drop: Sequence[str] = (),
    ) -> StreamRecord | None:
        """Set and remove attributes of an item, which is made if there is none. Raises AwsError."""
        return self.commit(*self._update(key, changes, drop))

    def delete(self, key: Mapping[str, Mapping[str, Any]]) -> StreamRecord | None:
        """Delete an item. Raises AwsError."""
        return self.commit(self.key_of(key, alone=True), None)

    def get(self, key: Mapping[str, Mapping[str, Any]], *, stale: bool = False) -> Item | None:
        """Return the item; with `stale` as it was before a change of the last second. It is not to be changed."""
        place = self.key_of(key, alone=True)
        return self._stale(place) if stale else self._items.get(place)

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items in a scan's order."""
        return iter([self._items[key] for _, key in self._ordered()])

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def scan(
        self, *, after: Mapping[str, Mapping[str, Any]] | None = None, segment: int = 0, segments: int = 1
    ) -> Iterator[Item]:
        """Iterate over the items of a segment that follow a key, as they are when each is read."""
        ordered = self._ordered()
        low = bisect_left(ordered, -(-_PLACES * segment // segments), key=lambda entry: entry[0][0])
        high = bisect_left(ordered, -(-_PLACES * (segment + 1) // segments), key=lambda entry: entry[0][0])
        if after is not None:
            low = max(
                low, bisect_right(ordered, self._place(self.key_of(after, alone=True)), key=lambda entry: entry[0])
            )
        for _, key in ordered[low:high]:
            if (item := self._items.get(key)) is not None:
                yield item

    def expire(self, limit: int | None = None) -> list[StreamRecord]:
        """Let the TTL process delete up to `limit` of the items whose time has passed; return their records.

        AWS takes up to some days for it. Until then an item whose time has passed is there like any other.
        """
        if self.ttl is None:
            return []
        now = self._clock()
        earliest = (now - _TTL_PAST).timestamp()
        due = [
            key
            for key, item in self._items.items()
            if (at := item.get(self.ttl, {}).get("N")) is not None
            and earliest <= Decimal(at) <= Decimal(now.timestamp())
        ]
        records = [self.commit(key, None, expired=True) for key in due[:limit]]
        return [record for record in records if record is not None]

    def enable_stream(self, view: str = "NEW_AND_OLD_IMAGES") -> Stream:
        """Enable streaming: a new stream with a new ARN and new shards. Raises AwsError when it is enabled."""
        if self.stream is not None:
            raise invalid(f"Table already has an enabled stream: TableName: {self.name}")
        at = self._clock()
        labels = {stream.label for stream in self.streams}
        while (label := at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}") in labels:
            at += timedelta(milliseconds=1)
        stream = Stream(
            self.name,
            f"{self.arn}/stream/{label}",
            view=view,
            clock=self._clock,
            dice=self._dice,
            ranges=self._ranges,
            above=self._highest,
            split_rate=self._split_rate,
        )
        self.streams = [old for old in self.streams if not old.gone] + [stream]
        return stream

    def disable_stream(self) -> None:
        """Disable streaming: the stream's shards close, and what they hold stays readable. Raises AwsError when off."""
        if self.stream is None:
            raise invalid(f"Table is already without a stream: TableName: {self.name}")
        self._ranges = self.stream.ranges
        self.stream.disable()

    def remake(self) -> None:
        """Delete the table and make it anew under its name: no items, a new stream whose numbers begin low again.

        No stream has records of the items that are gone. What the old one holds stays readable.
        """
        self.disable_stream()
        self._items.clear()
        self._before.clear()
        self._scan = None
        self._highest = 0
        self.created_at = self._clock()
        self.enable_stream()

    def split(self) -> None:
        """Split the partition with the widest range of keys: its open shard closes and two children follow."""
        if self.stream is None:
            raise invalid(f"Table has no enabled stream: TableName: {self.name}")
        self.stream.split()

    def key_of(self, item: Mapping[str, Mapping[str, Any]], *, alone: bool = False) -> Key:
        """Return the key in an item, or of a key that stands `alone`. Raises AwsError for one of another schema."""
        if alone and len(item) != len(self.key):
            raise invalid("The provided key element does not match the schema")
        values: list[str | bytes] = []
        for name, tag in self.key:
            tagged = item.get(name)
            if tagged is None:
                raise invalid(f"One or more of the required keys were not given a value: Missing the key {name}")
            if tag not in tagged:
                raise invalid(f"Type mismatch for key {name} expected: {tag} actual: {next(iter(tagged), 'none')}")
            value = normal_value(tagged)[tag]
            if not value:
                raise invalid(f"The AttributeValue for a key attribute cannot contain an empty value. Key: {name}")
            values.append(value)
        return tuple(values)

    def wire_key(self, item: Mapping[str, Mapping[str, Any]]) -> Item:
        """Return an item's key as an item of its key attributes."""
        return {name: dict(item[name]) for name, _ in self.key}

    def apply(self, write: Write) -> tuple[Key, Item | None]:
        """Return which item a transaction's write means and what it would make of it. Raises AwsError."""
        if write.kind == "put":
            return self._put(write.item)
        if write.kind == "update":
            return self._update(write.key, write.changes, write.drop)
        place = self.key_of(write.key, alone=True)
        return place, None if write.kind == "delete" else self._items.get(place)

    def current(self, key: Key) -> Item | None:
        """Return the item of a key as `key_of` gives it."""
        return self._items.get(key)

    def commit(self, key: Key, new: Item | None, *, expired: bool = False) -> StreamRecord | None:
        """Make a normal item, or none, what the table holds for its key; return the record, None if nothing changed."""
        old = self._items.get(key)
        if old is None if new is None else (old is not None and same(old, new)):
            return None
        self._before[key] = (self._clock(), old)
        if new is None:
            del self._items[key]
        else:
            self._items[key] = new
        if (old is None) is not (new is None):
            self._scan = None
        stream = self.stream
        if stream is None:
            return None
        keys = self.wire_key(new or old or {})
        record = stream.append(key, keys, old, new, expired=expired)
        self._highest = max(self._highest, record.number)
        return record

    def _put(self, item: Mapping[str, Mapping[str, Any]]) -> tuple[Key, Item]:
        return self.key_of(item), normal(item)

    def _update(
        self, key: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]], drop: Sequence[str]
    ) -> tuple[Key, Item]:
        place = self.key_of(key, alone=True)
        for name, _ in self.key:
            if name in changes or name in drop:
                raise invalid(f"Cannot update attribute {name}. This attribute is part of the key")
        changed = {**self._items.get(place, self.wire_key(key)), **changes}
        return place, normal({name: tagged for name, tagged in changed.items() if name not in drop})

    def _stale(self, key: Key) -> Item | None:
        at, before = self._before.get(key, (None, None))
        return before if at is not None and self._clock() - at < _STALE else self._items.get(key)

    def _place(self, key: Key) -> tuple[Any, ...]:
        return key_hash(key[0]), *(order(tag, value) for (_, tag), value in zip(self.key, key, strict=True))

    def _ordered(self) -> list[tuple[tuple[Any, ...], Key]]:
        if self._scan is None:
            self._scan = sorted((self._place(key), key) for key in self._items)
        return self._scan


def transact(writes: Sequence[Write]) -> list[StreamRecord]:
    """Make up to 100 writes of different items, of one table or several: all of them or none.

    Returns the records of those that changed something. Raises AwsError: TransactionCanceledException with the reasons
    when a condition does not hold, ValidationException for what no transaction may be.
    """
    if not 1 <= len(writes) <= _MAX_WRITES:
        raise invalid(f"Member must have length between 1 and {_MAX_WRITES}; saw {len(writes)} writes")
    planned = [(write, *write.table.apply(write)) for write in writes]
    if len({(write.table.name, key) for write, key, _ in planned}) < len(planned):
        raise invalid("Transaction request cannot include multiple operations on one item")
    holds = [write.condition is None or write.condition(write.table.current(key)) for write, key, _ in planned]
    if not all(holds):
        failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        reasons = [{"Code": "None"} if held else failed for held in holds]
        raise AwsError(
            "TransactionCanceledException",
            f"Transaction cancelled, please refer cancellation reasons for specific reasons "
            f"[{', '.join(reason['Code'] for reason in reasons)}]",
            CancellationReasons=reasons,
        )
    records = [write.table.commit(key, new) for write, key, new in planned]
    return [record for record in records if record is not None]
