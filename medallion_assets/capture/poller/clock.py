"""The clock that names a table's Bronze objects.

Belongs here: that clock. Does not belong here: the clock that waits are measured with (steps).
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime


class MonotonicClock:
    """The wall clock, but it never runs backwards, even when somebody sets the wall clock back. Safe between threads.

    Readers skip a name that is more than 15 minutes older than the newest name they know (see position).
    """

    def __init__(self, clock: Callable[[], datetime], *, newest: datetime | None) -> None:
        self._clock = clock
        self._newest = newest or datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time for the next object's name, aware UTC."""
        with self._lock:
            self._newest = max(self._newest, self._clock())
            return self._newest
