"""Several generators that yield the seconds they want to wait, on one virtual clock, in one thread.

Belongs here: whose turn it is. Does not belong here: what a turn does.
"""

from __future__ import annotations

import heapq
import inspect
import itertools
import random
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

from medallion_assets.simulation.clock import Clock

Work = Generator[float, None, Any]


class Task:
    """One generator that a scheduler drives."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Return whether it came to an end, or was cancelled."""
        return self._done

    def result(self) -> Any:
        """Return what it returned, None if it was cancelled; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Close the generator; it does not run again. One that cancels itself ends its turn first."""
        self._done = True
        if inspect.getgeneratorstate(self._work) != inspect.GEN_RUNNING:
            self._work.close()

    def turn(self) -> float | None:
        """Run until it waits; return the seconds, None at its end. Raises what it raises."""
        try:
            return next(self._work)
        except StopIteration as end:
            self._done, self._result = True, end.value
        except BaseException as error:
            self._done, self._error = True, error
            raise
        return None


class Scheduler:
    """Runs tasks in the order of their time; among those due at the same time the seed decides."""

    def __init__(self, clock: Clock, dice: random.Random) -> None:
        self._clock = clock
        self._dice = dice
        self._count = itertools.count()
        self._waiting: list[tuple[datetime, float, int, Task]] = []

    @property
    def next_due(self) -> datetime | None:
        """When the next turn is due, None when no task is left."""
        self._forget()
        return self._waiting[0][0] if self._waiting else None

    def spawn(self, name: str, work: Work) -> Task:
        """Add a generator; its first turn is now."""
        task = Task(name, work)
        self._wait(task, 0.0)
        return task

    def run(self, *, until: datetime | Callable[[], bool] | None = None) -> None:
        """Run until a time, until something holds, or until no task is left. Raises what a task raises, Died too.

        The other tasks are left as they are then: `run` goes on with them. At the end of a run until a time it is that
        time, or later where a turn's latency took it further.
        """
        end = until if isinstance(until, datetime) else None
        while (due := self.next_due) is not None and (end is None or due <= end):
            if callable(until) and until():
                return
            _, _, _, task = heapq.heappop(self._waiting)
            self._clock.advance_to(due)
            seconds = task.turn()
            if seconds is not None:
                self._wait(task, seconds)
        if end is not None:
            self._clock.advance_to(end)

    def kill(self) -> None:
        """Drop all tasks at once, as when their process dies."""
        tasks = [entry[3] for entry in self._waiting]
        self._waiting.clear()
        for task in tasks:
            task.cancel()

    def _wait(self, task: Task, seconds: float) -> None:
        due = self._clock() + timedelta(seconds=seconds)
        heapq.heappush(self._waiting, (due, self._dice.random(), next(self._count), task))

    def _forget(self) -> None:
        while self._waiting and self._waiting[0][3].done():
            heapq.heappop(self._waiting)
