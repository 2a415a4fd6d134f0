"""Deliver the batches of one shard to Bronze by the rules of an event source mapping.

Belongs here: retries, bisecting, partial failures, the age limit, dead letters, and when the checkpoint advances. Does
not belong here: reading the shard (reader) and gathering a batch (read_shard).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Protocol

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.dead_letter import DeadLetter
from medallion_assets.capture.envelope import refusal
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.clock import MonotonicClock
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.steps import Steps
from medallion_assets.errors import LakeUnavailable, SettingsError

log = logging.getLogger(__name__)

Record = dict[str, Any]


class WriteBatch(Protocol):
    """`write_bronze` with its store."""

    def __call__(self, records: Sequence[Record], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        """Write records to Bronze; return the sequence numbers that failed, lowest first."""


# Readers wait 15 minutes for late names. A write that took longer than this (a laptop that slept) is repeated under a
# new name.
_SLOWEST_WRITE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighbouring records of a batch, how often they failed together, and how long to wait before the next attempt."""

    records: Sequence[Record]
    failures: int = 0
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDelivery:
    """Delivers the batches of one shard in order, and advances the shard's checkpoint."""

    table: str
    stream_arn: str
    shard_id: str
    write: WriteBatch
    on_dead_letter: Callable[[DeadLetter], object]
    checkpoint: Checkpoint
    settings: PollerSettings
    clock: Callable[[], datetime]
    name_clock: MonotonicClock

    def deliver(self, records: Sequence[Record]) -> Steps[None]:
        """Deliver a batch. If it is stopped at a wait, the checkpoint says how far it came.

        A record that is reported as failed is retried `max_retries` times and then dead-lettered. A batch that raises
        is retried as often, then halved until the record that raises is alone, and that one is dead-lettered. While
        Bronze is not available nothing is dead-lettered: everything waits.
        """
        parts = [_Part(records)]
        outages = 0
        while parts:
            part = parts.pop()
            yield part.wait_seconds
            try:
                left = self._attempt(part)
                outages = 0
            except (LakeUnavailable, SettingsError) as error:
                outages += 1
                log.warning("%s: %d records wait, attempt %d: %s", self.table, len(part.records), outages, error)
                left = [replace(part, wait_seconds=self.settings.backoff(outages))]
            parts.extend(reversed(left))

    def _attempt(self, part: _Part) -> list[_Part]:
        """Try some records once; return what is left to deliver, in order."""
        if old := self._count_old(part.records):
            reason = f"older than {self.settings.max_record_age_seconds} s"
            for record in part.records[:old]:
                self._dead_letter(record, reason)
            return _unless_empty(_Part(part.records[old:], part.failures))
        captured_at, coverage = self.name_clock.now(), self._next_coverage(part.records)
        try:
            failed = self.write(part.records, captured_at=captured_at, coverage=coverage)
        except (LakeUnavailable, SettingsError):
            raise
        except Exception as error:  # noqa: BLE001 - no record may block its shard, whatever error it causes
            return self._after_failure(part.records, part.failures + 1, f"{type(error).__name__}: {error}")
        if self.clock() - captured_at > _SLOWEST_WRITE:
            log.warning(
                "%s: writing %d records took more than 10 minutes; writing them again under a new name",
                self.table,
                len(part.records),
            )
            return [part]
        done = _index(part.records, failed[0]) if failed else len(part.records)
        if done:
            self._advance(part.records[done - 1], captured_at)
        if done == len(part.records):
            return []
        # The report names the record, so its neighbours can go on without bisecting.
        bad, rest = part.records[done], part.records[done + 1 :]
        failures = part.failures + 1 if done == 0 else 1
        return [
            *self._after_failure([bad], failures, refusal(bad) or "reported as failed"),
            *_unless_empty(_Part(rest)),
        ]

    def _after_failure(self, records: Sequence[Record], failures: int, reason: str) -> list[_Part]:
        """Return what to do with records that failed together `failures` times: retry, bisect, or nothing more."""
        log.warning("%s: %d records failed, attempt %d: %s", self.table, len(records), failures, reason)
        if failures <= self.settings.max_retries:
            return [_Part(records, failures, self.settings.backoff(failures))]
        if len(records) == 1:
            self._dead_letter(records[0], reason)
            return []
        half = len(records) // 2
        return [_Part(records[:half], failures), _Part(records[half:], failures)]

    def _dead_letter(self, record: Record, reason: str) -> None:
        self.on_dead_letter(DeadLetter(failed_at=self.clock(), reason=reason, record=record))
        log.error("%s: record %s was set aside as a dead letter", self.table, record["dynamodb"]["SequenceNumber"])
        self._advance(record, None)

    def _next_coverage(self, records: Sequence[Record]) -> ShardCoverage:
        return self.checkpoint.next_coverage(
            self.stream_arn, self.shard_id, up_to=records[-1]["dynamodb"]["SequenceNumber"]
        )

    def finish(self) -> None:
        """Note that the shard is closed and delivered to its end."""
        self.checkpoint.finish_shard(self.stream_arn, self.shard_id, now=self.clock())

    def _advance(self, record: Record, captured_at: datetime | None) -> None:
        self.checkpoint.advance(self.table, self.shard_id, record["dynamodb"]["SequenceNumber"], captured_at)

    def _count_old(self, records: Sequence[Record]) -> int:
        """Return how many of the first records are older than the age limit; a shard's records are ordered by time."""
        if self.settings.max_record_age_seconds is None:
            return 0
        oldest = self.clock() - timedelta(seconds=self.settings.max_record_age_seconds)
        ages = (record["dynamodb"].get("ApproximateCreationDateTime") for record in records)
        return sum(1 for _ in takewhile(lambda created: created is not None and created < oldest, ages))


def _index(records: Sequence[Record], number: str) -> int:
    return next(i for i, record in enumerate(records) if record["dynamodb"]["SequenceNumber"] == number)


def _unless_empty(part: _Part) -> list[_Part]:
    return [part] if part.records else []
