"""Several generators that yield the seconds they want to wait, on one virtual clock, in one thread.

Belongs here: whose turn it is. Does not belong here: what a turn does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any

from medallion_assets.simulation.clock import Clock

Work = Generator[float, None, Any]


class Task:
    """One generator that the scheduler drives. `error` is what it raised, `result` what it returned."""

    name: str
    done: bool
    result: Any
    error: BaseException | None

    def cancel(self) -> None:
        """Close the generator; it does not run again."""
        raise NotImplementedError


class Scheduler:
    """Runs tasks in the order of their time; among those due at the same time the seed decides."""

    def __init__(self, clock: Clock, dice: random.Random) -> None:
        raise NotImplementedError

    def spawn(self, name: str, work: Work) -> Task:
        """Add a generator; its first turn is now."""
        raise NotImplementedError

    def run(self, *, until: datetime | Callable[[], bool] | None = None) -> None:
        """Run until a time, until something holds, or until no task is left; raises what a task raises, Died too."""
        raise NotImplementedError

    def kill(self) -> None:
        """Drop all tasks at once, as when their process dies."""
        raise NotImplementedError
