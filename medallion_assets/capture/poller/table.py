"""One table's stream: find its shards, run a worker for each that may be read, notice lost history.

Belongs here: the life of one table in the poller. Does not belong here: several tables (poller) or one shard (worker).
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.poller.checkpoint import Checkpoint, ShardMark
from medallion_assets.capture.poller.failed import OnFailure
from medallion_assets.capture.poller.mapping import Process, ShardMapping, TableClock
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard, list_shards, lost, readable
from medallion_assets.capture.poller.worker import work
from medallion_assets.errors import SettingsError, StreamGap

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

_log = logging.getLogger(__name__)

# More than a stream has open shards: threads are made as shards are found, and one must never wait for another's.
_MOST_SHARDS: Final = 10_000


class TablePoller:
    """Captures one table until halted. One slow table or shard delays no other: each shard has its own thread."""

    def __init__(
        self,
        table: str,
        *,
        dynamodb: "DynamoDBClient",
        streams: "DynamoDBStreamsClient",
        process: Process,
        on_failure: OnFailure,
        checkpoint: Checkpoint,
        settings: PollerSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.table = table
        self.ready = threading.Event()
        self._dynamodb = dynamodb
        self._streams = streams
        self._process = process
        self._on_failure = on_failure
        self._checkpoint = checkpoint
        self._settings = settings
        self._clock = clock
        self._halt = threading.Event()
        self._wake = threading.Event()
        self._workers: dict[str, Future[None]] = {}
        self._open: set[str] = set()

    def halt(self) -> None:
        """Ask the table's threads to finish the write at hand and end; safe from any thread."""
        self._halt.set()
        self._wake.set()

    def run(self) -> None:
        """Capture until halted. Sets `ready` when all shards that may be read now have answered.

        Raises StreamGap, and marks the table in the checkpoint, when changes were lost; a table so marked is not
        captured. What AWS refuses otherwise is tried again, with the table's other shards going on.
        """
        mark = self._checkpoint.table(self.table)
        if mark is not None and mark.gap:
            raise StreamGap(mark.gap)
        newest = TableClock(self._clock, newest=mark.captured_at if mark else None)
        failures = 0
        with ThreadPoolExecutor(_MOST_SHARDS, thread_name_prefix=self.table) as pool:
            try:
                while not self._halt.is_set():
                    try:
                        self._look(pool, newest)
                        failures = 0
                    except (ClientError, BotoCoreError, SettingsError) as error:
                        failures += 1
                        _log.error("%s: attempt %d: %s", self.table, failures, error)
                        self._halt.wait(self._settings.backoff(failures))
                    else:
                        self._wake.wait(self._settings.discover_s)
                        self._wake.clear()
            except StreamGap as gap:
                reason = (
                    f"table {self.table} lost changes: {gap}. Start the poller with --resume-after-gap {self.table}, "
                    "then run a backfill of the table."
                )
                self._checkpoint.mark_gap(self.table, reason)
                _log.error("%s", reason)
                raise StreamGap(reason) from gap
            finally:
                self.halt()

    def _look(self, pool: ThreadPoolExecutor, names: TableClock) -> None:
        """List the shards and give each that may be read a worker. Raises what a worker raised, and StreamGap."""
        for shard_id, worker in list(self._workers.items()):
            if worker.done():
                del self._workers[shard_id]
                worker.result()
        current = enabled_stream(self._dynamodb, self.table)
        mark = self._checkpoint.table(self.table)
        if mark is not None:
            stream_arn = mark.stream_arn
        elif current is not None:
            stream_arn = current
            self._checkpoint.begin(self.table, stream_arn)
        else:
            raise no_stream(self.table)
        shards = self._listed(stream_arn)
        marks = self._checkpoint.shards(stream_arn)
        if reason := lost(shards, marks):
            raise StreamGap(reason)
        new = [shard.shard_id for shard in shards if shard.shard_id not in marks]
        self._checkpoint.know(stream_arn, new, first=not marks, now=self._clock())
        marks = self._checkpoint.shards(stream_arn)
        todo = readable(shards, marks)
        if not todo and current != stream_arn:
            # Only now, so that what the old stream still had is captured.
            raise StreamGap(f"stream {stream_arn} ended and {current or 'none'} is the table's stream now")
        for shard in todo:
            if shard.shard_id not in self._workers:
                self._workers[shard.shard_id] = self._start(pool, stream_arn, shard, marks[shard.shard_id], names)
        if self._workers.keys() <= self._open:
            self.ready.set()

    def _listed(self, stream_arn: str) -> list[Shard]:
        try:
            return list_shards(self._streams, stream_arn)
        except self._streams.exceptions.ResourceNotFoundException as error:
            raise StreamGap(f"stream {stream_arn} no longer exists") from error

    def _start(
        self, pool: ThreadPoolExecutor, stream_arn: str, shard: Shard, mark: ShardMark, names: TableClock
    ) -> "Future[None]":
        reader = ShardReader(
            self._streams, stream_arn, shard, mark, settings=self._settings, halt=self._halt, clock=self._clock
        )
        mapping = ShardMapping(
            table=self.table,
            stream_arn=stream_arn,
            shard_id=shard.shard_id,
            process=self._process,
            on_failure=self._on_failure,
            checkpoint=self._checkpoint,
            settings=self._settings,
            clock=self._clock,
            names=names,
            halt=self._halt,
        )

        def opened() -> None:
            if shard.shard_id not in self._open:
                self._open.add(shard.shard_id)
                self._wake.set()

        worker = pool.submit(
            work,
            reader,
            mapping,
            settings=self._settings,
            clock=self._clock,
            halt=self._halt,
            opened=opened,
        )
        worker.add_done_callback(lambda _: self._wake.set())
        return worker


def enabled_stream(dynamodb: "DynamoDBClient", table: str) -> str | None:
    """Return the ARN of a table's stream, None if there is no table or no stream. SettingsError if it has no images."""
    try:
        description = dynamodb.describe_table(TableName=table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None
    stream = description.get("StreamSpecification")
    if stream is None or not stream["StreamEnabled"]:
        return None
    if stream.get("StreamViewType") not in ("NEW_AND_OLD_IMAGES", "NEW_IMAGE"):
        raise SettingsError(
            f"the stream of table {table} carries {stream.get('StreamViewType')}; expected NEW_AND_OLD_IMAGES. "
            "Disable the stream and enable it with that view type."
        )
    return description["LatestStreamArn"]


def no_stream(table: str) -> SettingsError:
    """Return the error for a table that cannot be captured."""
    return SettingsError(
        f"DynamoDB has no table {table} with a stream in this account and region; create the table, or enable its "
        "stream with view type NEW_AND_OLD_IMAGES"
    )
