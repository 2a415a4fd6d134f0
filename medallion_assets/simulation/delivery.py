"""The Lambda event source mapping of a DynamoDB stream, as AWS documents it.

Belongs here: batches, retries, bisecting, partial failures, age, the on-failure message, lanes per item, duplicates.
Does not belong here: what the function does.
Sources: Lambda developer guide, "Process DynamoDB records with Lambda" (P), "Configuring partial batch response with
DynamoDB and Lambda" (B), "Retain discarded records for a DynamoDB event source in Lambda" (D), "Lambda parameters for
Amazon DynamoDB event source mappings". Where they say nothing, the choice that asks more of the function is taken, and
said.
"""

from __future__ import annotations

import json
import random
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from medallion_assets.capture.mapping import DEPLOYED
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.faults import AFTER, Died, Faults
from medallion_assets.simulation.queues import Queue
from medallion_assets.simulation.streams import RETENTION, Shard, Stream, StreamRecord

if TYPE_CHECKING:
    from medallion_assets.capture.store import BronzeStore

Handler = Callable[[dict[str, Any], Any], Any]
"""A Lambda function: event and context in, answer out."""

_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
_BACKOFF_MAX_S: Final = 60.0
_REMEMBERED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """AWS's parameters with AWS's defaults; None is AWS's -1: no limit. `timeout_s` is the function's.

    `poll_s` is how often a shard is asked for news (AWS: four times a second).
    """

    batch_size: int = 100
    window_s: float = 0.0
    max_retries: int | None = None
    max_record_age_s: float | None = None
    bisect: bool = False
    report_item_failures: bool = False
    parallelization_factor: int = 1
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    timeout_s: float = 900.0
    poll_s: float = 0.25

    @classmethod
    def deployed(cls, **changes: Any) -> Self:
        """Return the settings that `infra` deploys, but for `changes`."""
        return cls(**{**asdict(DEPLOYED), **changes})

    def __post_init__(self) -> None:
        """Refuse what AWS refuses."""
        for name, value, low, high in (
            ("batch_size", self.batch_size, 1, 10_000),
            ("window_s", self.window_s, 0, 300),
            ("max_retries", self.max_retries, 0, 10_000),
            ("max_record_age_s", self.max_record_age_s, 60, 604_800),
            ("parallelization_factor", self.parallelization_factor, 1, 10),
            ("timeout_s", self.timeout_s, 1, 900),
        ):
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value}; expected {low} to {high}")


@dataclass(frozen=True, slots=True)
class Context:
    """The context that a function gets, as far as functions use it."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str
    deadline: datetime
    clock: Callable[[], datetime]

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left before the function is stopped."""
        return max(0, (self.deadline - self.clock()) // timedelta(milliseconds=1))


class _NotInvoked(Exception):
    """The function could not be called; nothing was done."""


class _Failed(Exception):
    """An invocation ended without an answer that counts. `error` is what AWS calls it, None for a bad answer."""

    def __init__(self, error: str | None) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighbouring records of one batch that are sent together. `retries` were made, `invoked` of them and before."""

    records: Sequence[StreamRecord]
    retries: int = 0
    invoked: int = 0
    error: str | None = None


@dataclass(slots=True)
class _Lane:
    """One of the `parallelization_factor` rows of batches of a shard. All of its records up to `position` are done."""

    shard: Shard
    number: int
    position: int
    due: datetime
    parts: list[_Part] = field(default_factory=list)
    gathering_since: datetime | None = None
    earlier: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class EventSourceMapping:
    """Delivers one stream to one function, at least once, in order for each item.

    `counts` tells what happened: records, invocations, errors, partial failures, bisections, batches sent again,
    records given up, times that trimmed records went by unread.
    """

    def __init__(
        self,
        stream: Stream,
        handler: Handler,
        settings: MappingSettings,
        *,
        clock: Clock,
        faults: Faults,
        dice: random.Random,
        on_failure: Queue | BronzeStore | None,
        function: str = "capture",
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._stream = stream
        self._handler = handler
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._dice = dice
        self._on_failure = on_failure
        self._function = function
        region, account = stream.arn.split(":")[3:5]
        self._function_arn = f"arn:aws:lambda:{region}:{account}:function:{function}"
        self._lanes: list[_Lane] = []
        self._started: set[str] = set()
        self._finished: set[str] = set()
        self._looked: list[str] = []
        if settings.starting_position == "LATEST":
            for shard in stream.shards():
                self._start(shard, shard.last)

    def run(self) -> Generator[float, None, None]:
        """Deliver until the stream ends; yields the seconds until there may be something to do."""
        while (seconds := self.step()) is not None:
            yield seconds

    def drain(self, *, within_s: float = 90_000.0) -> None:
        """Run, advancing the clock, until all the stream holds now is delivered or given up.

        Raises TimeoutError when that takes longer than `within_s` of the clock's time: something blocks a shard.
        """
        end = self._clock() + timedelta(seconds=within_s)
        while not self.idle:
            if self._clock() > end:
                raise TimeoutError(f"records still wait after {within_s} s; {dict(self.counts)}")
            if seconds := self.step():
                self._clock.advance(seconds)

    @property
    def idle(self) -> bool:
        """Return whether everything in the stream now was delivered or given up."""
        self._look()
        waiting = any(shard.records for shard in self._stream.shards() if shard.shard_id not in self._started)
        return not waiting and not any(lane.parts or self._left(lane) for lane in self._lanes)

    def step(self) -> float | None:
        """Give each lane whose time has come one turn; return the seconds until the next, None after the end."""
        self._look()
        for lane in self._lanes:
            if lane.due <= self._clock():
                self._turn(lane)
        self._lanes = [lane for lane in self._lanes if not self._ended(lane)]
        if not self._lanes:
            self._look()
            if not self._lanes:
                return None if not self._stream.enabled else self._settings.poll_s
        now = self._clock()
        return max(0.0, min((lane.due - now).total_seconds() for lane in self._lanes))

    def _look(self) -> None:
        """Start on the shards whose parent is delivered to its end, or is no more."""
        shards = self._stream.shards()
        if (looked := [shard.shard_id for shard in shards]) == self._looked:
            return
        there = set(looked)
        for shard in shards:
            waits = shard.parent_id in there and shard.parent_id not in self._finished
            if shard.shard_id not in self._started and not waits:
                self._start(shard, shard.starting - 1)
        self._looked = looked if there <= self._started else []

    def _start(self, shard: Shard, position: int) -> None:
        self._started.add(shard.shard_id)
        for number in range(self._settings.parallelization_factor):
            self._lanes.append(_Lane(shard, number, position, self._clock()))

    def _ended(self, lane: _Lane) -> bool:
        if lane.shard.ending is None or lane.parts or self._left(lane):
            return False
        if not any(other is not lane and other.shard is lane.shard and not self._done(other) for other in self._lanes):
            self._finished.add(lane.shard.shard_id)
            self._looked = []
        return True

    def _done(self, lane: _Lane) -> bool:
        return lane.shard.ending is not None and not lane.parts and not self._left(lane)

    def _left(self, lane: _Lane) -> bool:
        return bool(self._gather(lane, 1))

    def _turn(self, lane: _Lane) -> None:
        now = self._clock()
        if not lane.parts:
            batch, full = self._batch(lane)
            if not batch:
                lane.due = now + timedelta(seconds=self._settings.poll_s)
                return
            if not full and not self._is_time(lane, now):
                return
            lane.gathering_since = None
            lane.parts.append(_Part(batch))
        lane.due = now
        part = lane.parts.pop()
        lane.parts.extend(reversed(self._deliver(lane, part)))

    def _gather(self, lane: _Lane, most: int) -> list[StreamRecord]:
        """The next records of a lane: items are dealt to lanes, so that those of one item keep their order (P)."""
        records = lane.shard.records
        if lane.shard.trimmed is not None and lane.position < lane.shard.trimmed:
            # What is gone is gone without a word; AWS reads on from the oldest record there is.
            self.counts["trimmed unread"] += 1
            lane.position = lane.shard.trimmed
        factor = self._settings.parallelization_factor
        first = lane.shard.after(lane.position)
        if factor == 1:
            taken = records[first : first + most]
        else:
            taken = []
            for at in range(first, len(records)):
                if zlib.crc32(repr(records[at].item_key).encode()) % factor == lane.number:
                    taken.append(records[at])
                    if len(taken) == most:
                        break
        return taken

    def _batch(self, lane: _Lane) -> tuple[list[StreamRecord], bool]:
        """The next batch of a lane, and whether it is full: of `batch_size` records, or of 6 MB (P)."""
        taken = self._gather(lane, self._settings.batch_size)
        size = 0
        for at, record in enumerate(taken):
            size += record.packed_bytes
            if at and size > _PAYLOAD_BYTES:
                return taken[:at], True
        return taken, len(taken) == self._settings.batch_size

    def _is_time(self, lane: _Lane, now: datetime) -> bool:
        """A batch that is not full goes when its window is over, or when no more can come (P)."""
        window = timedelta(seconds=self._settings.window_s)
        if not window or lane.shard.ending is not None:
            return True
        if lane.gathering_since is None:
            lane.gathering_since = now
        if now - lane.gathering_since >= window:
            return True
        lane.due = min(lane.gathering_since + window, now + timedelta(seconds=self._settings.poll_s))
        return False

    def _deliver(self, lane: _Lane, part: _Part) -> list[_Part]:
        """Send some records once; return what is left to send, in order."""
        if old := self._count_old(part.records):
            # Too old before it was sent, or between two attempts (D). The rest goes on.
            self._give_up(lane, _Part(part.records[:old], part.retries, part.invoked, part.error), "RecordAgeExceeded")
            return _unless_empty(_Part(part.records[old:], part.retries, part.invoked, part.error))
        records = part.records
        try:
            done = self._invoke(records)
        except _NotInvoked:
            # Before an invocation retries are not counted; only age ends them (D).
            self.counts["not invoked"] += 1
            lane.due = self._clock() + timedelta(seconds=1)
            return [part]
        except _Failed as failed:
            self.counts["errors"] += 1
            return self._after_failure(lane, _Part(records, part.retries, part.invoked + 1, failed.error))
        if done == len(records):
            self._advance(lane, records)
            return self._again(lane, records)
        self.counts["partial failures"] += 1
        left = _Part(records[done:], part.retries, part.invoked + 1)
        if done:
            self._advance(lane, records[:done])
            if self._settings.bisect:
                # "The batch is bisected at the returned sequence number" (B), and splitting costs no retry (D).
                self.counts["bisections"] += 1
                lane.due = self._later(1)
                return [left]
        # That a partial success takes the retries back is nowhere said: they go on being counted.
        return self._after_failure(lane, left)

    def _after_failure(self, lane: _Lane, part: _Part) -> list[_Part]:
        if self._settings.bisect and len(part.records) > 1:
            self.counts["bisections"] += 1
            half = len(part.records) // 2
            lane.due = self._later(1)
            return [
                _Part(part.records[:half], part.retries, part.invoked, part.error),
                _Part(part.records[half:], part.retries, part.invoked, part.error),
            ]
        retries = part.retries + 1
        if self._settings.max_retries is not None and retries > self._settings.max_retries:
            self._give_up(lane, part, "RetryAttemptsExhausted")
            return []
        self.counts["retries"] += 1
        lane.due = self._later(retries)
        return [_Part(part.records, retries, part.invoked, part.error)]

    def _later(self, retries: int) -> datetime:
        return self._clock() + timedelta(seconds=min(2.0 ** min(retries - 1, 10), _BACKOFF_MAX_S))

    def _invoke(self, records: Sequence[StreamRecord]) -> int:
        """Call the function; return how many records, from the first on, are done. Raises _Failed, _NotInvoked."""
        self.counts["invocations"] += 1
        self.counts["records"] += len(records)
        began = self._clock()
        context = Context(
            f"invocation-{self.counts['invocations']:08d}",
            self._function,
            self._function_arn,
            began + timedelta(seconds=self._settings.timeout_s),
            self._clock,
        )
        event = {"Records": StreamRecord.all_for_lambda(records)}

        def lost(kind: str) -> Exception:
            return _Failed("Unhandled") if kind == AFTER else _NotInvoked()

        try:
            answer = self._faults.call("lambda.invoke", lambda: self._handler(event, context), error=lost)
        except (_Failed, _NotInvoked):
            raise
        except Died:
            # The function's process is gone; Lambda starts another one.
            self._faults.restart()
            raise _Failed("Unhandled") from None
        except Exception as error:
            raise _Failed("Unhandled") from error
        if self._clock() > context.deadline:
            raise _Failed("Unhandled")
        return _done(answer, records) if self._settings.report_item_failures else len(records)

    def _again(self, lane: _Lane, records: Sequence[StreamRecord]) -> list[_Part]:
        """Delivery is at least once: now and then a batch comes again, or the lane goes back to an older checkpoint."""
        if lane.parts:
            return []
        if self._faults.draw("lambda.deliver", "batch again"):
            return [_Part(records)]
        if lane.earlier and self._faults.draw("lambda.deliver", "older checkpoint"):
            lane.position = self._dice.choice(lane.earlier)
            lane.earlier.clear()
        return []

    def _advance(self, lane: _Lane, records: Sequence[StreamRecord]) -> None:
        lane.earlier.append(lane.position)
        lane.position = records[-1].number

    def _count_old(self, records: Sequence[StreamRecord]) -> int:
        """How many, from the first on, are beyond the age limit or no longer in the stream."""
        limit = RETENTION
        if self._settings.max_record_age_s is not None:
            limit = min(limit, timedelta(seconds=self._settings.max_record_age_s))
        oldest = self._clock() - limit
        if records[0].at > oldest:
            return 0
        return next((at for at, record in enumerate(records) if record.at > oldest), len(records))

    def _give_up(self, lane: _Lane, part: _Part, condition: str) -> None:
        """Skip some records and send their range to a queue, or with their content to a bucket (D)."""
        self.counts["given up"] += len(part.records)
        self._advance(lane, part.records)
        if self._on_failure is None:
            return
        first, last = part.records[0], part.records[-1]
        message: dict[str, Any] = {
            "requestContext": {
                "requestId": f"given-up-{self.counts['given up']:08d}",
                "functionArn": self._function_arn,
                "condition": condition,
                "approximateInvokeCount": part.invoked,
            },
            "version": "1.0",
            "timestamp": _zulu(self._clock(), "milliseconds"),
            "KinesisBatchInfo" if ":kinesis:" in self._stream.arn else "DDBStreamBatchInfo": {
                "shardId": lane.shard.shard_id,
                "startSequenceNumber": first.sequence_number,
                "endSequenceNumber": last.sequence_number,
                "approximateArrivalOfFirstRecord": _zulu(first.at, "seconds"),
                "approximateArrivalOfLastRecord": _zulu(last.at, "seconds"),
                "batchSize": len(part.records),
                "streamArn": self._stream.arn,
            },
        }
        if part.invoked:
            failed = {} if part.error is None else {"functionError": part.error}
            message["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST", **failed}
        if isinstance(self._on_failure, Queue):
            self._on_failure.send(json.dumps(message))
            return
        event = {"Records": StreamRecord.all_for_lambda(part.records)}
        document = {**message, "payload": json.dumps(event)}
        self._on_failure.put(self._failure_key(lane.shard.shard_id), json.dumps(document).encode())

    def _failure_key(self, shard_id: str) -> str:
        """The name of an object in the destination bucket (D)."""
        now = self._clock().astimezone(UTC)
        number = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._stream.arn}/{self.counts['given up']}")
        mapping = uuid.uuid5(uuid.NAMESPACE_URL, self._stream.arn)
        return f"aws/lambda/{mapping}/{shard_id}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{number}"


def _done(answer: Any, records: Sequence[StreamRecord]) -> int:
    """How many records an answer says are done. Raises _Failed for one that AWS takes as the whole batch's failure (B).

    An empty answer and an empty or missing list are a success. That a number which is not of the batch fails all of it
    is not said, but nothing else would be safe.
    """
    if answer is None or answer == {}:
        return len(records)
    if not isinstance(answer, Mapping):
        raise _Failed(None)
    failures = answer.get("batchItemFailures")
    if not failures and (failures is None or isinstance(failures, list)):
        return len(records)
    if not isinstance(failures, list):
        raise _Failed(None)
    places = {record.sequence_number: at for at, record in enumerate(records)}
    lowest = len(records)
    for failure in failures:
        number = failure.get("itemIdentifier") if isinstance(failure, Mapping) else None
        if not isinstance(number, str) or number not in places:
            raise _Failed(None)
        lowest = min(lowest, places[number])
    return lowest


def _unless_empty(part: _Part) -> list[_Part]:
    return [part] if part.records else []


def _zulu(moment: datetime, precision: str) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"
