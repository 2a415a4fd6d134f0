"""The pace and the limits of the poller, in the terms of a Lambda event source mapping.

Belongs here: the numbers. Does not belong here: what is done with them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerSettings:
    """How often the poller reads, how long it gathers a batch, and when it dead-letters a record.

    `window_seconds`: a batch is delivered when this time has passed since its first record was read.
    `batch_size`: or when it holds this many records.
    `idle_seconds`: pause after an empty answer. DynamoDB allows five reads a second per shard.
    `discover_seconds`: how often the shards are listed.
    `heartbeat_seconds`: how often the heartbeat of each table is written.
    `empty_answers`: a shard is taken to be read to its end after this many empty answers in a row.
    `max_retries`: attempts after the first for a record that fails. A store that does not answer is retried without
    limit.
    `max_record_age_seconds`: older records are dead-lettered; None: no limit except the stream's own retention.
    `backoff_seconds`, `max_backoff_seconds`: first and longest pause after a failure.
    """

    window_seconds: float = 1.0
    batch_size: int = 1_000
    idle_seconds: float = 0.25
    discover_seconds: float = 10.0
    heartbeat_seconds: float = 30.0
    empty_answers: int = 20
    max_retries: int = 3
    max_record_age_seconds: float | None = None
    backoff_seconds: float = 0.2
    max_backoff_seconds: float = 10.0

    @property
    def page_size(self) -> int:
        """Records to ask for in one read; DynamoDB returns at most 1,000."""
        return min(self.batch_size, 1_000)

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row (1 or more), doubling up to the limit."""
        return float(min(self.backoff_seconds * 2 ** min(failures - 1, 30), self.max_backoff_seconds))
