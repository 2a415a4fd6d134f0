"""A Kinesis data stream that tables write their changes to, as an event source mapping reads it.

Belongs here: that a record comes more than once and in another order than the changes were made (Amazon DynamoDB
Developer Guide, "Using Kinesis Data Streams to capture changes to DynamoDB"). Does not belong here: delivering it to a
function (delivery).
"""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from medallion_assets.simulation.items import Key
from medallion_assets.simulation.streams import Shard, StreamRecord

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_IMAGES: Final = ("Keys", "NewImage", "OldImage")
_FOREVER: Final = timedelta(days=36_500)


class KinesisRecord:
    """One record, with what the mapping asks of a StreamRecord. `number` is that of its arrival, and so is `at`."""

    __slots__ = ("_json", "_packed", "at", "item_key", "number")

    def __init__(self, *, number: int, at: datetime, item_key: Key, event: Mapping[str, Any]) -> None:
        self.number = number
        self.at = at
        self.item_key = item_key
        self._json = True
        self._packed = orjson.dumps(event)

    @property
    def packed_bytes(self) -> int:
        """The length of the record as JSON."""
        return len(self._packed)

    @property
    def sequence_number(self) -> str:
        """The number as text."""
        return str(self.number)


class KinesisStream:
    """One stream. A change arrives in the shard of its item once or, for a `share` of them, several times.

    Each arrival is up to `delay_s` seconds after the change, so changes of one item come in any order.
    """

    def __init__(
        self,
        arn: str,
        *,
        clock: Callable[[], datetime],
        dice: random.Random,
        shards: int,
        share: float,
        delay_s: float,
    ) -> None:
        self.arn = arn
        self.enabled = True
        self._clock = clock
        self._dice = dice
        self._share = share
        self._delay_s = delay_s
        self._count = 0
        self._on_their_way: list[tuple[datetime, int, StreamRecord]] = []
        self._shards = [
            Shard(
                shard_id=f"shardId-{number:012d}",
                parent_id=None,
                low=0,
                high=0,
                starting=0,
                created_at=clock(),
                rolls_at=clock() + _FOREVER,
                last=0,
            )
            for number in range(shards)
        ]

    def write(self, record: StreamRecord) -> None:
        """Let a change come to the stream."""
        copies = 1 + (self._dice.randrange(1, 3) if self._dice.random() < self._share else 0)
        for _ in range(copies):
            self._count += 1
            arrives = record.at + timedelta(seconds=self._dice.uniform(0, self._delay_s))
            self._on_their_way.append((arrives, self._count, record))

    @property
    def all_arrived(self) -> bool:
        """Whether everything that was written can be read."""
        self._arrive()
        return not self._on_their_way

    def shards(self) -> list[Shard]:
        """Return the shards with what has arrived."""
        self._arrive()
        return self._shards

    def _arrive(self) -> None:
        now = self._clock()
        arrived = sorted((one for one in self._on_their_way if one[0] <= now), key=lambda one: one[:2])
        self._on_their_way = [one for one in self._on_their_way if one[0] > now]
        for at, _, record in arrived:
            shard = self._shards[_partition(record) % len(self._shards)]
            shard.last += 1
            made: Any = KinesisRecord(
                number=shard.last, at=at, item_key=record.item_key, event=self._event(record, shard, at)
            )
            shard.records.append(made)

    def _event(self, record: StreamRecord, shard: Shard, at: datetime) -> dict[str, Any]:
        change = record.for_lambda()
        told = change["dynamodb"]
        images = {name: _encoded_again(told[name]) for name in _IMAGES if name in told}
        sent = {
            "awsRegion": change["awsRegion"],
            "eventID": change["eventID"],
            "eventName": change["eventName"],
            "userIdentity": change.get("userIdentity"),
            "recordFormat": "application/json",
            "tableName": record.stream_arn.split("/")[1],
            "dynamodb": {
                "ApproximateCreationDateTime": (record.at - _EPOCH) // timedelta(microseconds=1),
                "ApproximateCreationDateTimePrecision": "MICROSECOND",
                **images,
                "SizeBytes": told["SizeBytes"],
            },
            "eventSource": "aws:dynamodb",
        }
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": f"{_partition(record):032X}",
                "sequenceNumber": f"{shard.last:056d}",
                "data": base64.b64encode(orjson.dumps(sent)).decode(),
                "approximateArrivalTimestamp": at.timestamp(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard.shard_id}:{shard.last:056d}",
            "eventName": "aws:kinesis:record",
            "awsRegion": change["awsRegion"],
            "eventSourceARN": self.arn,
        }


def _partition(record: StreamRecord) -> int:
    return zlib.crc32(repr(record.item_key).encode())


def _encoded_again(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image whose binary values, which are in base64, are in base64 once more."""
    return {name: _again(tagged) for name, tagged in image.items()}


def _again(tagged: Mapping[str, Any]) -> dict[str, Any]:
    ((tag, value),) = tagged.items()
    if tag == "B":
        return {tag: base64.b64encode(value.encode()).decode()}
    if tag == "BS":
        return {tag: [base64.b64encode(each.encode()).decode() for each in value]}
    if tag == "M":
        return {tag: _encoded_again(value)}
    if tag == "L":
        return {tag: [_again(each) for each in value]}
    return {tag: value}
