"""Work that waits without sleeping: a generator that yields the seconds to wait, and returns what it worked for.

Belongs here: the shape of such work, one way of driving it, and how a wait is measured. Does not belong here: any work.
All of the poller that waits has this shape, so a thread drives it (`drive`), or one loop many of them on a clock of its
own. A driver may stop at any wait, and forget the rest.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[float, None, T]


Start: TypeAlias = Callable[[Steps[None]], object]
"""Sets work going beside the work that calls it."""


def drive(steps: Steps[None], halt: threading.Event) -> None:
    """Do the work in this thread, until it ends or `halt` is set while it waits. Raises what it raises."""
    with closing(steps):
        for seconds in steps:
            if halt.wait(seconds):
                return


def passed(seconds: float, *, since: datetime, now: datetime) -> bool:
    """Return whether the time is over. A clock that was set back ends a wait, rather than make it longer."""
    return not timedelta(0) <= now - since < timedelta(seconds=seconds)
