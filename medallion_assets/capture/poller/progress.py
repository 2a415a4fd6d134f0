"""Up to when a shard is read: what its answers so far allow to say.

Belongs here: the inference from answers to a time. Does not belong here: asking (reader), telling others (table).
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medallion_assets.capture.poller.mapping import Record


class ShardProgress:
    """One shard's answers. `read_to` is written by the shard's work and read by the table's, None at the beginning.

    A shard's records are in the order of time, so it is read up to the creation of the last one delivered. An open
    shard may answer empty though more follows: "nothing there" is believed when `quiet_answers` in a row say so, and
    then for the time when the first of them was asked for.
    """

    def __init__(self, *, quiet_answers: int) -> None:
        self.read_to: datetime | None = None
        self._newest: datetime | None = None
        self._quiet: deque[datetime] = deque(maxlen=quiet_answers)

    def answered(self, records: Sequence["Record"], *, asked_at: datetime) -> None:
        """Note an answer to a question asked then, aware UTC."""
        if records:
            self._quiet.clear()
            created = records[-1]["dynamodb"].get("ApproximateCreationDateTime")
            self._newest = created or self._newest
        else:
            self._quiet.append(asked_at)

    def delivered(self) -> None:
        """Note that everything answered so far is delivered."""
        believed = self._quiet[0] if len(self._quiet) == self._quiet.maxlen else None
        times = [time for time in (self.read_to, self._newest, believed) if time is not None]
        self.read_to = max(times, default=None)
