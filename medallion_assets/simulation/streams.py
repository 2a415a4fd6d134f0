"""DynamoDB Streams: shards, sequence numbers, retention, iterators.

Belongs here: what a stream holds at which time and how it is read. Does not belong here: boto3's shapes of a request
(clients), or who writes (table).
Sources: DynamoDB developer guide, "Change data capture for DynamoDB Streams"; Streams API reference, GetShardIterator,
GetRecords, DescribeStream.
"""

from __future__ import annotations

import base64
import gc
import marshal
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, Literal

import orjson

from medallion_assets.simulation.aws_error import AwsError, invalid
from medallion_assets.simulation.items import Item, Key, has_binary, key_hash, size_bytes

RETENTION: Final = timedelta(hours=24)
SHARD_LIFE: Final = timedelta(hours=4)
ITERATOR_LIFE: Final = timedelta(minutes=15)
PAGE_RECORDS: Final = 1_000
PAGE_BYTES: Final = 1024 * 1024

EventName = Literal["INSERT", "MODIFY", "REMOVE"]
IteratorType = Literal["TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]

_EVERYTHING: Final = 2**128
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MAX_DIGITS: Final = 40
_TAILS: Final = 1_000
_number = attrgetter("number")


class StreamRecord:
    """One record. `number` orders it, `at` is when the change was made, exactly; the record tells whole seconds."""

    __slots__ = ("_binary", "_json", "_packed", "at", "event_name", "item_key", "number", "size_bytes", "stream_arn")

    def __init__(
        self,
        *,
        stream_arn: str,
        view: str,
        number: int,
        at: datetime,
        item_key: Key,
        keys: Item,
        old: Item | None,
        new: Item | None,
        expired: bool,
        event_id: str,
    ) -> None:
        self.number = number
        self.at = at
        self.item_key = item_key
        self.stream_arn = stream_arn
        self.event_name: EventName = "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"
        change: dict[str, Any] = {
            "ApproximateCreationDateTime": int(at.timestamp()),
            "Keys": keys,
            "SequenceNumber": str(number),
            "StreamViewType": view,
        }
        size = size_bytes(keys)
        if new is not None and view in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
            change["NewImage"] = new
            size += size_bytes(new)
        if old is not None and view in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"}:
            change["OldImage"] = old
            size += size_bytes(old)
        change["SizeBytes"] = self.size_bytes = size
        record: dict[str, Any] = {
            "eventID": event_id,
            "eventName": self.event_name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "eventSourceARN": stream_arn,
            "awsRegion": stream_arn.split(":")[3],
            "dynamodb": change,
        }
        if expired:
            record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
        self._binary = has_binary(keys) or any(has_binary(change[i]) for i in ("NewImage", "OldImage") if i in change)
        # Packed, a record is small, nobody can change it, and a fresh copy takes some microseconds; JSON is fastest,
        # but holds neither bytes nor text that is not valid Unicode. What orjson gives holds twice the memory it needs.
        self._json = not self._binary
        if self._json:
            try:
                self._packed = bytes(memoryview(orjson.dumps(record)))
            except orjson.JSONEncodeError:
                self._json = False
        if not self._json:
            self._packed = marshal.dumps(record, 2)

    @property
    def sequence_number(self) -> str:
        """The number as text, 21 to 40 digits."""
        return str(self.number)

    @property
    def packed_bytes(self) -> int:
        """About the length of the record as JSON."""
        return len(self._packed)

    def for_boto3(self) -> dict[str, Any]:
        """Return a fresh copy in the shape of `get_records`: binary as bytes, the time aware UTC."""
        record = self._copy()
        del record["eventSourceARN"]
        change = record["dynamodb"]
        change["ApproximateCreationDateTime"] = datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC)
        if "userIdentity" in record:
            who = record["userIdentity"]
            record["userIdentity"] = {"PrincipalId": who["principalId"], "Type": who["type"]}
        return record

    def for_lambda(self) -> dict[str, Any]:
        """Return a fresh copy in the shape of a Lambda event's record: binary as base64 text, the time in seconds."""
        record = self._copy()
        if self._binary:
            change = record["dynamodb"]
            for image in ("Keys", "NewImage", "OldImage"):
                if image in change:
                    change[image] = {name: _as_text(tagged) for name, tagged in change[image].items()}
        return record

    @staticmethod
    def all_for_lambda(records: Sequence[StreamRecord]) -> list[dict[str, Any]]:
        """Return what `for_lambda` returns of each, faster."""
        with _nothing_collected():
            if all(record._json for record in records):
                copies: list[dict[str, Any]] = orjson.loads(b"[%b]" % b",".join([one._packed for one in records]))
                return copies
            return [record.for_lambda() for record in records]

    @staticmethod
    def all_for_boto3(records: Sequence[StreamRecord]) -> list[dict[str, Any]]:
        """Return what `for_boto3` returns of each, faster."""
        with _nothing_collected():
            return [record.for_boto3() for record in records]

    def _copy(self) -> dict[str, Any]:
        copy: dict[str, Any] = (orjson if self._json else marshal).loads(self._packed)
        return copy


@dataclass(eq=False, slots=True)
class Shard:
    """One shard, holding the changes of the keys whose hash lies from `low` to below `high`.

    `ending` and `closed_at` are None while it is open. `records` are those not trimmed yet; `trimmed` is the number of
    the last one that was. `starting` is the first number it may hold, which need not be a record's.
    """

    shard_id: str
    parent_id: str | None
    low: int
    high: int
    starting: int
    created_at: datetime
    rolls_at: datetime
    last: int
    ending: int | None = None
    closed_at: datetime | None = None
    trimmed: int | None = None
    records: list[StreamRecord] = field(default_factory=list)

    def after(self, position: int) -> int:
        """Return the index of the first record left whose number is above `position`."""
        return bisect_right(self.records, position, key=_number)

    def trim(self, horizon: datetime) -> None:
        """Drop the records made up to `horizon`."""
        if self.records and self.records[0].at <= horizon:
            gone = bisect_right(self.records, horizon, key=attrgetter("at"))
            self.trimmed = self.records[gone - 1].number
            del self.records[:gone]


class Stream:
    """One stream of one table. Everything asked of it is as of the clock's time."""

    def __init__(
        self,
        table_name: str,
        arn: str,
        *,
        view: str,
        clock: Callable[[], datetime],
        dice: random.Random,
        ranges: Iterable[tuple[int, int]],
        above: int,
        split_rate: float,
    ) -> None:
        self.table_name = table_name
        self.arn = arn
        self.label = arn.rpartition("/")[2]
        self.view = view
        self.created_at = clock()
        self.disabled_at: datetime | None = None
        self._clock = clock
        self._dice = dice
        self._split_rate = split_rate
        self._births = 0
        self._shards: dict[str, Shard] = {}
        self._open: list[Shard] = []
        """Open shards by their range of keys."""
        chosen = list(ranges)
        for at, keys in enumerate(chosen):
            # Partitions were not made all at once, so their shards do not roll at once either.
            age = SHARD_LIFE * (1 - (at + 1) / len(chosen))
            self._open.append(
                self._born(keys, None, self.created_at, above=above, rolls_at=self.created_at - age + SHARD_LIFE)
            )
        self._next = min(shard.rolls_at for shard in self._open)

    @property
    def enabled(self) -> bool:
        """Whether changes still come into it."""
        return self.disabled_at is None

    @property
    def gone(self) -> bool:
        """Whether it was disabled so long ago that nothing of it is left."""
        return self.disabled_at is not None and self.disabled_at + RETENTION <= self._clock()

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ranges of keys of the open shards."""
        return [(shard.low, shard.high) for shard in self._open]

    def shards(self) -> list[Shard]:
        """Return the shards that still are, oldest first."""
        self._settle()
        return list(self._shards.values())

    def shard(self, shard_id: str) -> Shard:
        """Return a shard. Raises AwsError (ResourceNotFoundException) when there is none, or none any more."""
        self._settle()
        if shard_id not in self._shards:
            raise AwsError("ResourceNotFoundException", f"Requested resource not found: Shard: {shard_id} not found")
        return self._shards[shard_id]

    def records(self) -> list[StreamRecord]:
        """Return all records not trimmed yet, shard by shard."""
        return [record for shard in self.shards() for record in shard.records]

    def append(self, item_key: Key, keys: Item, old: Item | None, new: Item | None, *, expired: bool) -> StreamRecord:
        """Add the record of one change."""
        self._settle()
        shard = self._open[0] if len(self._open) == 1 else self._shard_of(key_hash(item_key[0]))
        shard.last += (1 + self._dice.getrandbits(9)) * _TAILS
        record = StreamRecord(
            stream_arn=self.arn,
            view=self.view,
            number=shard.last,
            at=self._clock(),
            item_key=item_key,
            keys=keys,
            old=old,
            new=new,
            expired=expired,
            event_id=f"{self._dice.getrandbits(128):032x}",
        )
        shard.records.append(record)
        return record

    def split(self) -> None:
        """Split the open shard with the widest range of keys, the first of several: it closes, two children follow."""
        self._settle()
        self._roll(max(self._open, key=lambda shard: shard.high - shard.low), self._clock(), split=True)

    def disable(self) -> None:
        """Close all shards; what they hold stays readable until it is 24 hours old."""
        self._settle()
        self.disabled_at = self._clock()
        for shard in self._open:
            self._close(shard, self.disabled_at)
        self._open.clear()

    def iterator(self, shard_id: str, kind: IteratorType, number: int | None = None) -> str:
        """Return an iterator: it stands before the first record whose number is above the position in it.

        Raises AwsError: TrimmedDataAccessException for a number that was trimmed, ValidationException for one that
        is not of the shard.
        """
        shard = self.shard(shard_id)
        if kind == "TRIM_HORIZON":
            position = shard.starting - 1 if shard.trimmed is None else shard.trimmed
        elif kind == "LATEST":
            position = shard.last
        else:
            if number is None:
                raise invalid(f"SequenceNumber is required for ShardIteratorType {kind}")
            if not shard.starting <= number <= (shard.ending or shard.last):
                raise invalid(f"Invalid SequenceNumber {number}: not of shard {shard_id}")
            if shard.trimmed is not None and number <= shard.trimmed:
                raise AwsError(
                    "TrimmedDataAccessException", f"The sequence number {number} is older than the trim point"
                )
            position = number - 1 if kind == "AT_SEQUENCE_NUMBER" else number
        return self._token(shard_id, position)

    def read(self, token: str, limit: int, *, held_back: bool = False) -> tuple[list[StreamRecord], str | None]:
        """Return the records at an iterator, at most `limit` and 1 MB of them, and the next iterator.

        There is no next iterator after the end of a closed shard. With `held_back` an open or unfinished shard answers
        empty, though more may follow. Raises AwsError: ExpiredIteratorException, TrimmedDataAccessException.
        """
        shard_id, position, issued = _parse(token)
        if self._clock() - issued >= ITERATOR_LIFE:
            raise AwsError("ExpiredIteratorException", "Iterator expired. The iterator is older than 15 minutes")
        shard = self.shard(shard_id)
        if shard.trimmed is not None and position < shard.trimmed:
            raise AwsError("TrimmedDataAccessException", "The data you are trying to access has been trimmed")
        first = shard.after(position)
        if held_back:
            return [], self._token(shard_id, position)
        page: list[StreamRecord] = []
        size = 0
        for at in range(first, min(first + limit, len(shard.records))):
            record = shard.records[at]
            size += record.size_bytes
            if page and size > PAGE_BYTES:
                break
            page.append(record)
        if shard.ending is not None and first + len(page) == len(shard.records):
            return page, None
        return page, self._token(shard_id, page[-1].number if page else position)

    def _token(self, shard_id: str, position: int) -> str:
        return f"{self.arn}|1|{shard_id}|{position}|{(self._clock() - _EPOCH) // _MICROSECOND}"

    def _shard_of(self, place: int) -> Shard:
        return self._open[bisect_right(self._open, place, key=attrgetter("low")) - 1]

    def _settle(self) -> None:
        """Let happen what is due by now: shards roll, records are trimmed, shards with nothing left vanish."""
        now = self._clock()
        if now < self._next:
            return
        while self._open and (due := min(self._open, key=attrgetter("rolls_at"))).rolls_at <= now:
            self._roll(due, due.rolls_at, split=self._split_rate > 0 and self._dice.random() < self._split_rate)
        horizon = now - RETENTION
        ahead = [shard.rolls_at for shard in self._open]
        for shard in list(self._shards.values()):
            if shard.closed_at is not None and shard.closed_at <= horizon:
                del self._shards[shard.shard_id]
                continue
            shard.trim(horizon)
            if shard.records:
                ahead.append(shard.records[0].at + RETENTION)
            elif shard.closed_at is not None:
                ahead.append(shard.closed_at + RETENTION)
        self._next = min(ahead, default=datetime.max.replace(tzinfo=UTC))

    def _roll(self, shard: Shard, at: datetime, *, split: bool) -> None:
        self._close(shard, at)
        middle = (shard.low + shard.high) // 2
        ranges = [(shard.low, middle), (middle, shard.high)] if split else [(shard.low, shard.high)]
        place = self._open.index(shard)
        self._open[place : place + 1] = [
            self._born(
                keys,
                shard.shard_id,
                at,
                above=shard.last,
                rolls_at=at + SHARD_LIFE,
                wider=shard.last > shard.starting,
            )
            for keys in ranges
        ]

    def _close(self, shard: Shard, at: datetime) -> None:
        shard.closed_at = at
        shard.ending = shard.last

    def _born(
        self,
        keys: tuple[int, int],
        parent_id: str | None,
        at: datetime,
        *,
        above: int,
        rolls_at: datetime,
        wider: bool = False,
    ) -> Shard:
        starting = self._first_number(above, wider=wider)
        since_ms = (at - _EPOCH) // timedelta(milliseconds=1)
        shard_id = f"shardId-{since_ms:020d}-{self._births:04x}{self._dice.getrandbits(16):04x}"
        shard = Shard(shard_id, parent_id, *keys, starting, at, rolls_at, last=starting)
        self._shards[shard_id] = shard
        return shard

    def _first_number(self, above: int, *, wider: bool) -> int:
        """A number above another one; a `wider` shard may start just below a power of ten: the width is soon another.

        Widths only grow where numbers grow, so 21 to 40 digits last for some weeks; then they stay at 40. The last
        three digits of a shard's numbers are its own, so that no two records of a table have the same number.
        """
        tail = self._births % _TAILS
        self._births += 1
        width = len(str(above))
        if not above:
            near = int(10 ** self._dice.randint(21, 26)) - self._dice.randrange(1, 2_000) * _TAILS
        elif wider and width < _MAX_DIGITS and self._dice.random() < 0.5:
            near = max(above + 1, int(10**width) - self._dice.randrange(1, 2_000) * _TAILS)
        else:
            near = above + 1 + self._dice.getrandbits(9) * _TAILS
        number = near - near % _TAILS + tail
        return number if number > above else number + _TAILS


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """A batch is some ten thousand new objects and no garbage: looking for it takes longer than making the batch."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def whole_range(shards: int) -> list[tuple[int, int]]:
    """Return the ranges of that many partitions, alike in width."""
    edges = [_EVERYTHING * at // shards for at in range(shards + 1)]
    return list(pairwise(edges))


def arn_of(token: str) -> str:
    """Return the stream of an iterator. Raises AwsError for what is none."""
    _parse(token)
    return token.partition("|")[0]


def _parse(token: str) -> tuple[str, int, datetime]:
    parts = token.split("|")
    if len(parts) != 5 or not (parts[3].lstrip("-").isdecimal() and parts[4].isdecimal()):
        raise invalid("Invalid ShardIterator")
    return parts[2], int(parts[3]), _EPOCH + int(parts[4]) * _MICROSECOND


def _as_text(tagged: dict[str, Any]) -> dict[str, Any]:
    for tag, inside in tagged.items():
        if tag == "B":
            return {"B": base64.b64encode(inside).decode()}
        if tag == "BS":
            return {"BS": [base64.b64encode(one).decode() for one in inside]}
        if tag == "L":
            return {"L": [_as_text(one) for one in inside]}
        if tag == "M":
            return {"M": {name: _as_text(one) for name, one in inside.items()}}
    return tagged
