"""Write changes to DynamoDB at a steady rate; the writes of one item keep their order.

Belongs here: threads, rate and counts. Does not belong here: which changes there are (`generator`).
"""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.local.generator import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_THREADS = 4
"""Four threads write 1,260 small items a second to the emulator, one thread 1,080, sixteen 1,100 (two cores)."""
_BACKLOG = 64


class Writer:
    """A writer with a few threads. Each owns the items whose key hashes to it, so an item's writes keep their order.

    `counts`: how many writes were done, by (table, kind).
    `emitted`: how many of them DynamoDB puts on the table's stream, by table.
    """

    def __init__(self, client: DynamoDBClient | None = None, names: SourceNames = SAME_NAMES) -> None:
        import boto3
        from boto3.dynamodb.types import TypeSerializer

        self._client = client or boto3.client("dynamodb")
        self._names = names
        self._serialize = TypeSerializer().serialize
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.emitted: Counter[str] = Counter()

    def write(self, changes: Iterable[Change], *, rate: float | None = None, stop: threading.Event) -> None:
        """Write all changes, or stop early when `stop` is set; with `rate`, that many writes a second.

        Everything that a thread has taken is written when this returns. Raises the first of botocore's errors, after
        the other threads have finished.
        """
        lanes = [_Lane(self._put) for _ in range(_THREADS)]
        began = time.monotonic()
        try:
            for change in changes:
                if rate is not None:
                    stop.wait(max(0.0, began + change.due / rate - time.monotonic()))
                if stop.is_set() or any(lane.error for lane in lanes):
                    break
                lanes[zlib.crc32(repr((change.table, change.key)).encode()) % _THREADS].put(change)
        finally:
            for lane in lanes:
                lane.close()
        for lane in lanes:
            if lane.error:
                raise lane.error

    def _put(self, change: Change) -> None:
        source = self._names.in_dynamodb(change.table)
        match change.kind:
            case "insert" | "touch":
                self._client.put_item(TableName=source, Item=self._typed(change.attributes))
            case "delete":
                self._client.delete_item(TableName=source, Key=self._typed(change.key))
            case "update":
                names = {f"#a{at}": name for at, name in enumerate(change.attributes)}
                self._client.update_item(
                    TableName=source,
                    Key=self._typed(change.key),
                    UpdateExpression="SET " + ", ".join(f"{place} = :{place[1:]}" for place in names),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={
                        f":{place[1:]}": self._serialize(change.attributes[name]) for place, name in names.items()
                    },
                )
        with self._lock:
            self.counts[change.table, change.kind] += 1
            self.emitted[change.table] += change.emits

    def _typed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._serialize(value) for name, value in values.items()}


class _Lane:
    """One thread with a short queue. After an error it drops the rest of the queue."""

    def __init__(self, act: Callable[[Change], None]) -> None:
        self.error: Exception | None = None
        self._act = act
        self._queue: queue.Queue[Change | None] = queue.Queue(_BACKLOG)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, change: Change) -> None:
        self._queue.put(change)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (change := self._queue.get()) is not None:
            if self.error is None:
                try:
                    self._act(change)
                except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
                    self.error = error
