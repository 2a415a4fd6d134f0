"""Capture one table's stream: discover its shards, start reading each when it is readable, detect lost records.

Belongs here: the life of one table in the poller. Does not belong here: the threads of several tables (poller), and
reading one shard (read_shard).
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.dead_letter import DeadLetter
from medallion_assets.capture.gap_marker import GapMarker
from medallion_assets.capture.heartbeat import FINISHED_SHARDS_LISTED_FOR, PollerHeartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint, ShardCheckpoint
from medallion_assets.capture.poller.clock import MonotonicClock
from medallion_assets.capture.poller.delivery import ShardDelivery, WriteBatch
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.read_shard import read_shard
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard, find_loss, have_children, list_shards, select_readable
from medallion_assets.capture.poller.steps import Start, Steps, has_elapsed
from medallion_assets.capture.poller.stream import find_stream, stream_missing
from medallion_assets.errors import LakeUnavailable, SettingsError, StreamGap

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

log = logging.getLogger(__name__)


class TablePoller:
    """Captures one table, which DynamoDB calls `source` if that is another name.

    `ready` becomes true when all shards that are readable at the start have answered.
    """

    def __init__(
        self,
        table: str,
        *,
        source: str | None = None,
        dynamodb: "DynamoDBClient",
        streams: "DynamoDBStreamsClient",
        write: WriteBatch,
        on_dead_letter: Callable[[DeadLetter], object],
        on_gap: Callable[[GapMarker], None],
        on_heartbeat: Callable[[PollerHeartbeat], None],
        checkpoint: Checkpoint,
        settings: PollerSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.table = table
        self._source = source or table
        self.ready = False
        self._dynamodb = dynamodb
        self._streams = streams
        self._write = write
        self._on_dead_letter = on_dead_letter
        self._on_gap = on_gap
        self._on_heartbeat = on_heartbeat
        self._checkpoint = checkpoint
        self._settings = settings
        self._clock = clock
        self._reading: dict[str, ShardProgress] = {}
        self._lineage_complete = False
        self._heartbeat_at: datetime | None = None
        self._published_up_to: datetime | None = None
        self._answered: set[str] = set()
        self._ended: dict[str, Exception | None] = {}

    def capture(self, start: Start) -> Steps[None]:
        """Discover shards repeatedly, and `start` reading each one that is readable; what is started raises nothing.

        Raises StreamGap when changes were lost, after the gap went to `on_gap` and into the checkpoint. A table with a
        gap in its checkpoint is not captured. Other errors of AWS are retried, while the table's other shards go on.
        This only ends by raising; the driver then drops the work that was started.
        """
        checkpoint = self._checkpoint.table(self.table)
        if checkpoint is not None and checkpoint.gap:
            raise StreamGap(checkpoint.gap)
        name_clock = MonotonicClock(self._clock, newest=checkpoint.captured_at if checkpoint else None)
        failures = 0
        while True:
            try:
                self._discover(start, name_clock)
            except (ClientError, BotoCoreError, SettingsError) as error:
                failures += 1
                log.error("%s: attempt %d: %s", self.table, failures, error)
                yield self._settings.backoff(failures)
            except StreamGap as gap:
                yield from self._stop_for(gap)
            else:
                failures = 0
                yield from self._wait_for_discovery(name_clock)

    def _wait_for_discovery(self, name_clock: MonotonicClock) -> Steps[None]:
        """Wait until it is time, or until a shard ended: then its children may be readable."""
        since = self._clock()
        while not has_elapsed(self._settings.discover_seconds, since=since, now=self._clock()):
            if self._ended:
                return
            self.ready = self.ready or self._reading.keys() <= self._answered
            self._publish_heartbeat(name_clock)
            yield min(self._settings.idle_seconds, self._settings.discover_seconds)

    def _stop_for(self, gap: StreamGap) -> Steps[None]:
        """Write the gap marker, then mark the checkpoint, and raise the gap.

        In this order: a table with a marked checkpoint is not captured again, so the marker would not be written later.
        """
        reason = (
            f"table {self.table} lost changes: {gap}. Start the poller with --resume-after-gap {self.table}, "
            "then run a backfill of the table."
        )
        log.error("%s", reason)
        marker = GapMarker(table=self.table, detected_at=self._clock(), reason=str(gap))
        failures = 0
        while True:
            try:
                self._on_gap(marker)
                break
            except (LakeUnavailable, SettingsError) as error:
                failures += 1
                log.error("%s: the gap marker cannot be written, attempt %d: %s", self.table, failures, error)
            yield self._settings.backoff(failures)
        self._checkpoint.mark_gap(self.table, reason)
        raise StreamGap(reason) from gap

    def _discover(self, start: Start, name_clock: MonotonicClock) -> None:
        """List the shards and start reading those that are readable. Raises the errors of ended shards, and StreamGap.

        A new stream ARN is a gap only once the old stream is read to its end.
        """
        while self._ended:
            shard_id, error = self._ended.popitem()
            del self._reading[shard_id]
            if error:
                raise error
        current = find_stream(self._dynamodb, self._source)
        checkpoint = self._checkpoint.table(self.table)
        if checkpoint is not None:
            stream_arn = checkpoint.stream_arn
        elif current is not None:
            stream_arn = current
        else:
            raise stream_missing(self._source)
        shards = self._list_shards(stream_arn)
        if checkpoint is None:
            shard_ids = [shard.shard_id for shard in shards]
            self._checkpoint.begin_capture(self.table, stream_arn, shard_ids, now=self._clock())
        known = self._checkpoint.shards(stream_arn)
        if reason := find_loss(shards, known):
            raise StreamGap(reason)
        new = [shard.shard_id for shard in shards if shard.shard_id not in known]
        self._checkpoint.add_shards(stream_arn, new, now=self._clock())
        known = self._checkpoint.shards(stream_arn)
        readable = select_readable(shards, known)
        if not readable and current != stream_arn:
            raise StreamGap(f"stream {stream_arn} ended and {current or 'none'} is the table's stream now")
        for shard in readable:
            if shard.shard_id not in self._reading:
                progress = ShardProgress(empty_answers=self._settings.empty_answers)
                self._reading[shard.shard_id] = progress
                start(self._read(stream_arn, shard, known[shard.shard_id], name_clock, progress))
        self._lineage_complete = have_children(shards, known)

    def _publish_heartbeat(self, name_clock: MonotonicClock) -> None:
        """Write the heartbeat when it is due, and at once when `read_up_to` becomes known."""
        now, read_up_to = self._clock(), self._read_up_to()
        due = self._heartbeat_at is None or has_elapsed(
            self._settings.heartbeat_seconds, since=self._heartbeat_at, now=now
        )
        if not due and (read_up_to is None or self._published_up_to is not None):
            return
        if self._ended:
            return  # The children of an ended shard may hold older records; the next discovery starts reading them.
        checkpoint = self._checkpoint.table(self.table)
        if checkpoint is None:
            return
        # The coverage is read after the time: it may include more than the time says, never less.
        started_at, shards = self._checkpoint.shard_heartbeats(
            self.table, finished_since=now - FINISHED_SHARDS_LISTED_FOR
        )
        try:
            self._on_heartbeat(
                PollerHeartbeat(
                    table=self.table,
                    stream_arn=checkpoint.stream_arn,
                    started_at=started_at,
                    written_at=name_clock.now(),
                    read_up_to=read_up_to,
                    shards=shards,
                )
            )
        except (LakeUnavailable, SettingsError) as error:
            log.warning("%s: the heartbeat cannot be written: %s", self.table, error)
        self._heartbeat_at, self._published_up_to = now, read_up_to

    def _read_up_to(self) -> datetime | None:
        """Return up to when all shards are read; None if a shard is unknown or has not answered often enough.

        A shard that waits for its parent holds nothing older than what the parent is read up to.
        """
        times = [progress.read_up_to for progress in list(self._reading.values())]
        known = [time for time in times if time is not None]
        return min(known, default=None) if self._lineage_complete and len(known) == len(times) else None

    def _list_shards(self, stream_arn: str) -> list[Shard]:
        try:
            return list_shards(self._streams, stream_arn)
        except self._streams.exceptions.ResourceNotFoundException as error:
            raise StreamGap(f"stream {stream_arn} no longer exists") from error

    def _read(
        self,
        stream_arn: str,
        shard: Shard,
        checkpoint: ShardCheckpoint,
        name_clock: MonotonicClock,
        progress: ShardProgress,
    ) -> Steps[None]:
        reader = ShardReader(self._streams, stream_arn, shard, checkpoint, settings=self._settings, clock=self._clock)
        delivery = ShardDelivery(
            table=self.table,
            stream_arn=stream_arn,
            shard_id=shard.shard_id,
            write=self._write,
            on_dead_letter=self._on_dead_letter,
            checkpoint=self._checkpoint,
            settings=self._settings,
            clock=self._clock,
            name_clock=name_clock,
        )
        on_answer = partial(self._answered.add, shard.shard_id)
        ended: Exception | None = None
        try:
            yield from read_shard(
                reader, delivery, settings=self._settings, clock=self._clock, on_answer=on_answer, progress=progress
            )
        except Exception as error:  # noqa: BLE001 - the next discovery raises it
            ended = error
        self._ended[shard.shard_id] = ended
