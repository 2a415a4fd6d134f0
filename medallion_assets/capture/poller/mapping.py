"""A batch of one shard reaches Bronze, or what cannot is set aside: the rules of an event source mapping.

Belongs here: retries, bisecting, partial failures, the age limit, and when the checkpoint moves. Does not belong here:
reading the shard (reader) and gathering a batch (worker).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final

from medallion_assets.capture.coverage import Claim
from medallion_assets.capture.envelope import envelope
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.failed import FailedRecord, OnFailure
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.steps import Steps
from medallion_assets.errors import CaptureError, LakeUnavailable, SettingsError

_log = logging.getLogger(__name__)

Record = dict[str, Any]
Process = Callable[[Sequence[Record], datetime, Claim], list[str]]
"""Writes records captured at that time, with that claim, to Bronze; returns the numbers that failed, lowest first."""

# Readers wait 15 minutes for late names. A write that took this long (a laptop that slept) is made again, under a new
# name.
_SLOWEST_WRITE: Final = timedelta(minutes=10)


class TableClock:
    """The times in a table's object names: the wall clock, but never backwards, also when somebody sets it back.

    A name that is older than what readers have seen by more than 15 minutes would never be read.
    """

    def __init__(self, clock: Callable[[], datetime], *, newest: datetime | None) -> None:
        self._clock = clock
        self._newest = newest or datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time for the next object's name."""
        with self._lock:
            self._newest = max(self._newest, self._clock())
            return self._newest


@dataclass(frozen=True, slots=True)
class _Part:
    """Some neighbouring records of a batch, how often they failed, and how long to wait with them."""

    records: Sequence[Record]
    failures: int = 0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMapping:
    """Delivers the batches of one shard, in order, moving its mark in the checkpoint as it goes."""

    table: str
    stream_arn: str
    shard_id: str
    process: Process
    on_failure: OnFailure
    checkpoint: Checkpoint
    settings: PollerSettings
    clock: Callable[[], datetime]
    names: TableClock

    def deliver(self, records: Sequence[Record]) -> Steps[None]:
        """Deliver a batch. Whoever stops it at a wait finds in the checkpoint how far it came.

        A record that is reported as failed is tried `max_retries` times more and then set aside. A batch that raises
        is retried as often, then halved until the record that raises stands alone, to be set aside. While Bronze or
        the queue is out of reach nothing is given up: everything waits.
        """
        parts = [_Part(records)]
        outages = 0
        while parts:
            part = parts.pop()
            yield part.wait_s
            try:
                left = self._attempt(part)
                outages = 0
            except (LakeUnavailable, SettingsError) as error:
                outages += 1
                _log.warning("%s: %d records wait, attempt %d: %s", self.table, len(part.records), outages, error)
                left = [replace(part, wait_s=self.settings.backoff(outages))]
            parts.extend(reversed(left))

    def _attempt(self, part: _Part) -> list[_Part]:
        """Try some records once; return what is left to deliver, in order."""
        if old := self._count_old(part.records):
            reason = f"older than {self.settings.max_record_age_s} s"
            for record in part.records[:old]:
                self._set_aside(record, reason, attempts=part.failures)
            return _unless_empty(_Part(part.records[old:], part.failures))
        captured_at, claim = self.names.now(), self._claim(part.records)
        try:
            failed = self.process(part.records, captured_at, claim)
        except (LakeUnavailable, SettingsError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a record does to capture, it must not block its shard
            return self._after_failure(part.records, part.failures + 1, f"{type(error).__name__}: {error}")
        if self.clock() - captured_at > _SLOWEST_WRITE:
            _log.warning("%s: writing %d records took too long; writing them again", self.table, len(part.records))
            return [part]
        done = _index(part.records, failed[0]) if failed else len(part.records)
        if done:
            self._advance(part.records[done - 1], captured_at)
        if done == len(part.records):
            return []
        # The report names the record, so its neighbours need no halving to get away from it.
        bad, rest = part.records[done], part.records[done + 1 :]
        failures = part.failures + 1 if done == 0 else 1
        return [*self._after_failure([bad], failures, _reason(bad)), *_unless_empty(_Part(rest))]

    def _after_failure(self, records: Sequence[Record], failures: int, reason: str) -> list[_Part]:
        """Decide about records that failed together, `failures` times by now."""
        _log.warning("%s: %d records failed, attempt %d: %s", self.table, len(records), failures, reason)
        if failures <= self.settings.max_retries:
            return [_Part(records, failures, self.settings.backoff(failures))]
        if len(records) == 1:
            self._set_aside(records[0], reason, attempts=failures)
            return []
        half = len(records) // 2
        return [_Part(records[:half], failures), _Part(records[half:], failures)]

    def _set_aside(self, record: Record, reason: str, *, attempts: int) -> None:
        number = record["dynamodb"]["SequenceNumber"]
        self.on_failure.send(
            FailedRecord(
                table=self.table,
                stream_arn=self.stream_arn,
                shard_id=self.shard_id,
                sequence_number=number,
                reason=reason,
                attempts=attempts,
                failed_at=self.clock().isoformat(),
                record=record,
            )
        )
        _log.error("%s: record %s went to the on-failure queue: %s", self.table, number, reason)
        self._advance(record, None)

    def _claim(self, records: Sequence[Record]) -> Claim:
        return self.checkpoint.claim(self.stream_arn, self.shard_id, upto=records[-1]["dynamodb"]["SequenceNumber"])

    def _advance(self, record: Record, captured_at: datetime | None) -> None:
        self.checkpoint.advance(self.table, self.shard_id, record["dynamodb"]["SequenceNumber"], captured_at)

    def _count_old(self, records: Sequence[Record]) -> int:
        """Return how many records, from the first on, are beyond the age limit; a shard's records are in time order."""
        if self.settings.max_record_age_s is None:
            return 0
        oldest = self.clock() - timedelta(seconds=self.settings.max_record_age_s)
        ages = (record["dynamodb"].get("ApproximateCreationDateTime") for record in records)
        return sum(1 for _ in takewhile(lambda created: created is not None and created < oldest, ages))


def _index(records: Sequence[Record], number: str) -> int:
    return next(i for i, record in enumerate(records) if record["dynamodb"]["SequenceNumber"] == number)


def _unless_empty(part: _Part) -> list[_Part]:
    return [part] if part.records else []


def _reason(record: Record) -> str:
    try:
        envelope(record)
    except CaptureError as error:
        return str(error)
    return "reported as failed"
