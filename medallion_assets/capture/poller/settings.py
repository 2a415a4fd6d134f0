"""The pace of the poller, in the terms of a Lambda event source mapping."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerSettings:
    """How often the poller reads, how long it gathers, and when it gives a record up.

    `idle_s` keeps below the five reads a second that DynamoDB allows per shard. `max_retries` counts the attempts after
    the first; they are for records that fail, while a store that does not answer is waited for without end, or until
    the records are older than `max_record_age_s` (None: no limit but the stream's own 24 hours). Every `tell_s` each
    table's marker says how far it is read; a shard holds no more when `quiet_answers` empty answers in a row say so.
    """

    window_s: float = 1.0
    batch_size: int = 1_000
    idle_s: float = 0.25
    discover_s: float = 10.0
    tell_s: float = 30.0
    quiet_answers: int = 20
    max_retries: int = 3
    max_record_age_s: float | None = None
    backoff_s: float = 0.2
    backoff_max_s: float = 10.0

    @property
    def page_size(self) -> int:
        """Records to ask for in one read; DynamoDB gives at most 1,000."""
        return min(self.batch_size, 1_000)

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row (1 or more), doubling up to the limit."""
        return float(min(self.backoff_s * 2 ** min(failures - 1, 30), self.backoff_max_s))
