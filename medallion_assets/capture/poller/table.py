"""One table's stream: find its shards, start the work on each that may be read, notice lost history.

Belongs here: the life of one table in the poller. Does not belong here: what drives it and several tables at once
(poller), or one shard (worker).
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.gap_marker import Gap
from medallion_assets.capture.heartbeat import Polled
from medallion_assets.capture.poller.checkpoint import Checkpoint, ShardMark
from medallion_assets.capture.poller.failed import OnFailure
from medallion_assets.capture.poller.mapping import Process, ShardMapping, TableClock
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard, followed, list_shards, lost, readable
from medallion_assets.capture.poller.steps import Start, Steps, passed
from medallion_assets.capture.poller.worker import work
from medallion_assets.errors import LakeUnavailable, SettingsError, StreamGap

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

_log = logging.getLogger(__name__)

# Readers of the marker learn of a shard that ended, also when they look seldom.
_TOLD: Final = timedelta(hours=24)


class TablePoller:
    """Captures one table. `ready` is set when all shards that may be read at the beginning have answered."""

    def __init__(
        self,
        table: str,
        *,
        dynamodb: "DynamoDBClient",
        streams: "DynamoDBStreamsClient",
        process: Process,
        on_failure: OnFailure,
        on_gap: Callable[[Gap], None],
        on_polled: Callable[[Polled], None],
        checkpoint: Checkpoint,
        settings: PollerSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.table = table
        self.ready = False
        self._dynamodb = dynamodb
        self._streams = streams
        self._process = process
        self._on_failure = on_failure
        self._on_gap = on_gap
        self._on_polled = on_polled
        self._checkpoint = checkpoint
        self._settings = settings
        self._clock = clock
        self._working: dict[str, ShardProgress] = {}
        self._followed = False
        self._told_at: datetime | None = None
        self._told: datetime | None = None
        self._open: set[str] = set()
        self._ended: dict[str, Exception | None] = {}

    def capture(self, start: Start) -> Steps[None]:
        """Look for shards again and again, and `start` the work on each that may be read, which raises nothing.

        Raises StreamGap, once the gap is told to `on_gap` and marked in the checkpoint, when changes were lost; a table
        so marked is not captured. What AWS refuses otherwise is tried again, with the table's other shards going on.
        Who drives this drops the work it started when it ends, and it ends by raising only.
        """
        mark = self._checkpoint.table(self.table)
        if mark is not None and mark.gap:
            raise StreamGap(mark.gap)
        names = TableClock(self._clock, newest=mark.captured_at if mark else None)
        failures = 0
        while True:
            try:
                self._look(start, names)
            except (ClientError, BotoCoreError, SettingsError) as error:
                failures += 1
                _log.error("%s: attempt %d: %s", self.table, failures, error)
                yield self._settings.backoff(failures)
            except StreamGap as gap:
                yield from self._end(gap)
            else:
                failures = 0
                yield from self._until_next_look(names)

    def _until_next_look(self, names: TableClock) -> Steps[None]:
        """Wait until it is time, or some work came to an end: then there may be a shard's children to read."""
        since = self._clock()
        while not passed(self._settings.discover_s, since=since, now=self._clock()):
            if self._ended:
                return
            self.ready = self.ready or self._working.keys() <= self._open
            self._tell(names)
            yield min(self._settings.idle_s, self._settings.discover_s)

    def _end(self, gap: StreamGap) -> Steps[None]:
        """Tell everybody about the gap, first those who mend it: a marked table is never looked at again. Raises it."""
        reason = (
            f"table {self.table} lost changes: {gap}. Start the poller with --resume-after-gap {self.table}, "
            "then run a backfill of the table."
        )
        _log.error("%s", reason)
        told = Gap(table=self.table, detected_at=self._clock(), reason=str(gap))
        failures = 0
        while True:
            try:
                self._on_gap(told)
                break
            except (LakeUnavailable, SettingsError) as error:
                failures += 1
                _log.error("%s: the gap cannot be noted, attempt %d: %s", self.table, failures, error)
            yield self._settings.backoff(failures)
        self._checkpoint.mark_gap(self.table, reason)
        raise StreamGap(reason) from gap

    def _look(self, start: Start, names: TableClock) -> None:
        """List the shards and start on each that may be read. Raises what came of earlier ones, and StreamGap."""
        while self._ended:
            shard_id, error = self._ended.popitem()
            del self._working[shard_id]
            if error:
                raise error
        current = enabled_stream(self._dynamodb, self.table)
        mark = self._checkpoint.table(self.table)
        if mark is not None:
            stream_arn = mark.stream_arn
        elif current is not None:
            stream_arn = current
        else:
            raise no_stream(self.table)
        shards = self._listed(stream_arn)
        if mark is None:
            self._checkpoint.begin(self.table, stream_arn, [shard.shard_id for shard in shards], now=self._clock())
        marks = self._checkpoint.shards(stream_arn)
        if reason := lost(shards, marks):
            raise StreamGap(reason)
        new = [shard.shard_id for shard in shards if shard.shard_id not in marks]
        self._checkpoint.know(stream_arn, new, now=self._clock())
        marks = self._checkpoint.shards(stream_arn)
        todo = readable(shards, marks)
        if not todo and current != stream_arn:
            # Only now, so that what the old stream still had is captured.
            raise StreamGap(f"stream {stream_arn} ended and {current or 'none'} is the table's stream now")
        for shard in todo:
            if shard.shard_id not in self._working:
                progress = ShardProgress(quiet_answers=self._settings.quiet_answers)
                self._working[shard.shard_id] = progress
                start(self._work(stream_arn, shard, marks[shard.shard_id], names, progress))
        self._followed = followed(shards, marks)

    def _tell(self, names: TableClock) -> None:
        """Say how far the table is read, when it is time, and as soon as it can be said."""
        now, read_to = self._clock(), self._read_to()
        due = self._told_at is None or passed(self._settings.tell_s, since=self._told_at, now=now)
        if not due and (read_to is None or self._told is not None):
            return
        if self._ended:
            return  # the children of a shard that came to its end may hold what is older; the next look starts on them
        mark = self._checkpoint.table(self.table)
        if mark is None:
            return
        # Claims are read after the time: they may say more than it, never less.
        began_at, shards = self._checkpoint.polled(self.table, ended_since=now - _TOLD)
        try:
            self._on_polled(
                Polled(
                    table=self.table,
                    stream_arn=mark.stream_arn,
                    began_at=began_at,
                    written_at=names.now(),
                    read_to=read_to,
                    shards=shards,
                )
            )
        except (LakeUnavailable, SettingsError) as error:
            _log.warning("%s: how far it is read cannot be told: %s", self.table, error)
        self._told_at, self._told = now, read_to

    def _read_to(self) -> datetime | None:
        """Return up to when all shards are read, None if not all are known or one has not answered enough.

        A shard that waits for its parent, or is made by its end, holds nothing older than what the parent is read to.
        """
        times = [progress.read_to for progress in list(self._working.values())]
        known = [time for time in times if time is not None]
        return min(known, default=None) if self._followed and len(known) == len(times) else None

    def _listed(self, stream_arn: str) -> list[Shard]:
        try:
            return list_shards(self._streams, stream_arn)
        except self._streams.exceptions.ResourceNotFoundException as error:
            raise StreamGap(f"stream {stream_arn} no longer exists") from error

    def _work(
        self, stream_arn: str, shard: Shard, mark: ShardMark, names: TableClock, progress: ShardProgress
    ) -> Steps[None]:
        reader = ShardReader(self._streams, stream_arn, shard, mark, settings=self._settings, clock=self._clock)
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
        )
        opened = partial(self._open.add, shard.shard_id)
        ended: Exception | None = None
        try:
            yield from work(
                reader, mapping, settings=self._settings, clock=self._clock, opened=opened, progress=progress
            )
        except Exception as error:  # noqa: BLE001 - the next look raises it
            ended = error
        self._ended[shard.shard_id] = ended


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
