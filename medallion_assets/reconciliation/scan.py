"""Read a DynamoDB table: every item by a segmented scan, or chosen items by key, always with consistent reads.

Belongs here: the calls, within a limit of read capacity and in bounded memory. Does not belong here: what the items
mean. An answer is passed on as JSON bytes, because boto3's parsing into Python objects takes ten times as long as
everything after it.
"""

from __future__ import annotations

import queue
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from botocore.exceptions import ClientError

from medallion_assets.errors import LakeUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Keys = Mapping[str, Mapping[str, str]]
"""An item's key in DynamoDB JSON: attribute -> {tag: text}, binary as base64."""

_MAX_KEYS_PER_CALL: Final = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_FIRST_PAGE_ITEMS: Final = 100
_OK: Final = 200
_THROTTLED: Final = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
_READ_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
"""Seconds to wait before each new request for keys that DynamoDB left out of an answer."""


@dataclass(frozen=True)
class Description:
    """A table's ARN, its key's attributes with the tag of their type (S, N or B), and the ARN of its latest stream.

    `stream_arn` is None for a table that never had a stream. `items` and `bytes` are DynamoDB's estimates.
    """

    arn: str
    key_tags: Mapping[str, str]
    stream_arn: str | None
    items: int = 0
    bytes: int = 0


class SourceTable(Protocol):
    """A table that can be read item by item: DynamoDB's, or a synthetic one of a benchmark."""

    def scan(self) -> Iterator[bytes]:
        """Yield every item, in JSON documents `{"Items": [<item in DynamoDB JSON>, ...]}`; more fields are ignored."""

    def get(self, keys: Iterable[Keys]) -> Iterator[bytes]:
        """Yield those items of these keys that exist, in documents like those of `scan`."""

    def describe(self) -> Description:
        """Return the table's ARN, its latest stream and its key."""

    @property
    def units(self) -> float:
        """Read capacity units used so far."""


class CapacityLimit:
    """A limit of read capacity units a second over all threads; None counts the units and limits nothing."""

    def __init__(self, units_per_second: float | None) -> None:
        self.units_per_second = units_per_second
        self.used = 0.0
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until the units used so far are within the limit."""
        with self._lock:
            pause = self._free_at - time.monotonic()
        if pause > 0:
            time.sleep(pause)

    def spend(self, units: float) -> None:
        """Count the units that an answer says it used."""
        with self._lock:
            self.used += units
            if self.units_per_second:
                self._free_at = max(self._free_at, time.monotonic()) + units / self.units_per_second


class DynamoTable:
    """One DynamoDB table. `read_capacity` is a limit in units a second; None means no limit.

    A consistent read uses one unit per 4 KB: of all items of a page in a scan, of each item in a read by key.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, read_capacity: float | None = None, segments: int = 4
    ) -> None:
        self._client = client
        self._table = table
        self._segments = segments
        self._limit = CapacityLimit(read_capacity)

    @property
    def units(self) -> float:
        """Read capacity units used so far."""
        return self._limit.used

    def describe(self) -> Description:
        """Return the table's ARN, its latest stream and its key. Raises botocore's errors."""
        described = self._client.describe_table(TableName=self._table)["Table"]
        tags = {one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]}
        names = [one["AttributeName"] for one in described["KeySchema"]]
        return Description(
            described["TableArn"],
            {name: tags[name] for name in names},
            described.get("LatestStreamArn"),
            items=described.get("ItemCount", 0),
            bytes=described.get("TableSizeBytes", 0),
        )

    def scan(self) -> Iterator[bytes]:
        """Yield every item, from several segments at a time, few pages in memory. Raises botocore's errors."""
        pages: queue.Queue[bytes | BaseException | None] = queue.Queue(self._segments)
        stop = threading.Event()

        def read(segment: int) -> None:
            try:
                for page in self._segment(segment, self._segments):
                    _put(pages, page, stop)
                    if stop.is_set():
                        return
            except BaseException as error:  # noqa: BLE001 - raised again by the reader, which would wait for ever otherwise
                _put(pages, error, stop)
            else:
                _put(pages, None, stop)

        threads = [threading.Thread(target=read, args=[number], daemon=True) for number in range(self._segments)]
        with _raw_answers(self._client):
            for thread in threads:
                thread.start()
            try:
                left = self._segments
                while left:
                    page = pages.get()
                    if isinstance(page, BaseException):
                        raise page
                    if page is None:
                        left -= 1
                    else:
                        yield page
            finally:
                stop.set()
                for thread in threads:
                    thread.join()

    def get(self, keys: Iterable[Keys]) -> Iterator[bytes]:
        """Yield those items of these keys that exist. Raises botocore's errors."""
        remaining = iter(keys)
        calls = iter(lambda: list(islice(remaining, _MAX_KEYS_PER_CALL)), [])
        with _raw_answers(self._client), ThreadPoolExecutor(self._segments) as pool:
            while some := list(islice(calls, self._segments)):
                yield from pool.map(self._get, some)

    def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
        """Yield the items of one segment of `of`. Raises botocore's errors."""
        with _raw_answers(self._client):
            yield from self._segment(segment, of)

    def _segment(self, segment: int, of: int) -> Iterator[bytes]:
        start: dict[str, Any] = {}
        items = _FIRST_PAGE_ITEMS
        while True:
            self._limit.wait()
            more: dict[str, Any] = dict(start)
            if of > 1:
                more |= {"Segment": segment, "TotalSegments": of}
            if self._limit.units_per_second:
                # One page uses at most this segment's share of one second.
                more["Limit"] = items
            try:
                answer, body = _call(
                    self._client.scan,
                    TableName=self._table,
                    ConsistentRead=True,
                    ReturnConsumedCapacity="TOTAL",
                    **more,
                )
            except ClientError as refused:
                if refused.response["Error"]["Code"] in _THROTTLED:
                    raise LakeUnavailable(
                        f"DynamoDB has no read capacity left for a scan of {self._table}. Give it more, or read more "
                        "slowly with --read-capacity."
                    ) from refused
                raise
            units = answer["ConsumedCapacity"]["CapacityUnits"]
            self._limit.spend(units)
            if self._limit.units_per_second and units and answer["Count"]:
                items = max(1, int(answer["Count"] / units * self._limit.units_per_second / self._segments))
            yield body
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _get(self, keys: Sequence[Keys]) -> bytes:
        found: list[Any] = []
        for pause in (0.0, *_READ_PAUSES):
            time.sleep(pause)
            self._limit.wait()
            _, body = _call(
                self._client.batch_get_item,
                RequestItems={self._table: {"Keys": [_with_bytes(key) for key in keys], "ConsistentRead": True}},
                ReturnConsumedCapacity="TOTAL",
            )
            answer = orjson.loads(body)
            self._limit.spend(sum(one["CapacityUnits"] for one in answer.get("ConsumedCapacity", ())))
            found += answer["Responses"].get(self._table, ())
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", ())
            if not keys:
                return orjson.dumps({"Items": found})
        raise LakeUnavailable(
            f"DynamoDB left {len(keys)} keys of {self._table} unread for {sum(_READ_PAUSES):.0f} s; it is throttled. "
            "Give it more read capacity, or read more slowly with --read-capacity."
        )


_asking = threading.local()


@contextmanager
def _raw_answers(client: DynamoDBClient) -> Iterator[None]:
    """Let `_call` get the bytes of an answer while this is open; other users of the client are not affected."""

    def take_items(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
        if getattr(_asking, "now", False) and response_dict["status_code"] == _OK:
            customized_response_dict["Body"] = body = response_dict["body"]
            light = orjson.loads(body)
            light.update({name: empty for name, empty in (("Items", []), ("Responses", {})) if name in light})
            light.pop("UnprocessedKeys", None)
            response_dict["body"] = orjson.dumps(light)

    events = [f"before-parse.dynamodb.{operation}" for operation in ("Scan", "BatchGetItem")]
    for event in events:
        client.meta.events.register(event, take_items)
    try:
        yield
    finally:
        for event in events:
            client.meta.events.unregister(event, take_items)


def _call(operation: Callable[..., Any], **arguments: Any) -> tuple[dict[str, Any], bytes]:
    """Return the answer without its items, and its bytes."""
    _asking.now = True
    try:
        answer = operation(**arguments)
    finally:
        _asking.now = False
    return answer, answer["Body"]


def _put(
    pages: queue.Queue[bytes | BaseException | None], page: bytes | BaseException | None, stop: threading.Event
) -> None:
    """Put a page into the queue, unless the reader has stopped."""
    while not stop.is_set():
        with suppress(queue.Full):
            pages.put(page, timeout=0.1)
            return


def _with_bytes(key: Keys) -> dict[str, Any]:
    return {
        name: {tag: b64decode(text) if tag == "B" else text for tag, text in one.items()} for name, one in key.items()
    }
