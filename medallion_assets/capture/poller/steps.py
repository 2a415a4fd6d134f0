"""Work that waits without sleeping: a generator that yields the seconds to wait, and returns its result.

Belongs here: the type of such work, a driver for it, and how a wait is measured. Does not belong here: any work.
Everything in the poller that waits is such a generator. So a thread can drive one of them (`drive`), and the simulation
can drive many in one loop, on a clock of its own. A driver may stop at any wait and drop the rest.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[float, None, T]

Start: TypeAlias = Callable[[Steps[None]], object]
"""Starts work that runs at the same time as the caller."""


def drive(steps: Steps[None], halt: threading.Event) -> None:
    """Do the work in this thread until it ends, or until `halt` is set while it waits. Raises what the work raises."""
    with closing(steps):
        for seconds in steps:
            if halt.wait(seconds):
                return


def has_elapsed(seconds: float, *, since: datetime, now: datetime) -> bool:
    """Return whether the time is over. A clock that was set back ends a wait instead of extending it."""
    return not timedelta(0) <= now - since < timedelta(seconds=seconds)
