"""Up to when a shard is read, inferred from its answers.

Belongs here: the inference from answers to a time. Does not belong here: asking (reader), and publishing (table).
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medallion_assets.capture.poller.delivery import Record


class ShardProgress:
    """The answers of one shard. Its reader writes `read_up_to` and the table's poller reads it; None at the start.

    The records of a shard are ordered by time, so it is read up to the creation time of the last record delivered. An
    open shard may answer empty although more follows. So "no more records" counts only after `empty_answers` empty
    answers in a row, and then for the time of the first of these requests.
    """

    def __init__(self, *, empty_answers: int) -> None:
        self.read_up_to: datetime | None = None
        self._newest: datetime | None = None
        self._empty: deque[datetime] = deque(maxlen=empty_answers)

    def add_answer(self, records: Sequence["Record"], *, asked_at: datetime) -> None:
        """Note the answer to a request sent at `asked_at`, aware UTC."""
        if records:
            self._empty.clear()
            created = records[-1]["dynamodb"].get("ApproximateCreationDateTime")
            self._newest = created or self._newest
        else:
            self._empty.append(asked_at)

    def confirm_delivery(self) -> None:
        """Note that all records answered so far are delivered."""
        empty_since = self._empty[0] if len(self._empty) == self._empty.maxlen else None
        times = [time for time in (self.read_up_to, self._newest, empty_since) if time is not None]
        self.read_up_to = max(times, default=None)
