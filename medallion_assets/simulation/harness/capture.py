"""Our own capture on the simulation: the poller as a process that dies and starts again, the Lambda function.

Belongs here: what stands between that code and the simulation. Does not belong here: any capturing; the code that runs
is the one that runs on AWS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from medallion_assets.capture import handler as lambda_function
from medallion_assets.capture.dead_letter import write_dead_letter
from medallion_assets.capture.gap_marker import write_gap_marker
from medallion_assets.capture.heartbeat import write_heartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.steps import Steps
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.store import BronzeStore
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import StreamGap
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import Handler
from medallion_assets.simulation.faults import Died, Faults
from medallion_assets.simulation.scheduler import Task

# The fault point of each write. The dice of a seed are drawn by the point's name, so the names stay as they are.
_FAULT_POINTS: Final = {
    "begin_capture": "checkpoint.begin",
    "add_shards": "checkpoint.know",
    "advance": "checkpoint.advance",
    "finish_shard": "checkpoint.finish",
    "mark_gap": "checkpoint.mark_gap",
    "forget": "checkpoint.forget",
}


class PollerProcess:
    """Our poller, capturing some tables. Its checkpoint outlives the process; the cloud's scheduler runs it.

    A fault that kills it drops all it was doing; `restart_s` seconds later it starts again (None: not by itself).
    `deaths` counts, `gaps` says why a table is no longer captured.
    """

    def __init__(
        self,
        cloud: Cloud,
        tables: Sequence[str],
        *,
        store: BronzeStore,
        settings: PollerSettings | None = None,
        restart_s: float | None = 5.0,
    ) -> None:
        self.deaths = 0
        self.gaps: dict[str, str] = {}
        self.pollers: list[TablePoller] = []
        self._cloud = cloud
        self._tables = list(tables)
        self._store = store
        self._settings = settings or PollerSettings()
        self._restart_s = restart_s
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        self._tasks: list[Task] = []

    @property
    def checkpoint(self) -> Checkpoint:
        """What the poller remembers, read without faults."""
        return Checkpoint(self._memory)

    @property
    def running(self) -> bool:
        """Whether any of its work is under way."""
        return any(not task.done() for task in self._tasks)

    def start(self, *, resume_after_gap: Collection[str] = ()) -> None:
        """Start the process; tables to resume begin anew, as with `--resume-after-gap`."""
        for table in resume_after_gap:
            self.checkpoint.forget(table)
            self.gaps.pop(table, None)
        checkpoint: Any = _FaultyCheckpoint(self.checkpoint, self._cloud.faults)
        store = self._store
        self.pollers = [
            TablePoller(
                table,
                dynamodb=self._cloud.dynamodb,
                streams=self._cloud.streams,
                write=partial(write_bronze, store=store),
                on_dead_letter=partial(write_dead_letter, store),
                on_gap=partial(write_gap_marker, store),
                on_heartbeat=partial(write_heartbeat, store),
                checkpoint=checkpoint,
                settings=self._settings,
                clock=self._cloud.clock,
            )
            for table in self._tables
        ]
        self._tasks = []
        for poller in self.pollers:
            self._spawn(poller.table, poller.capture(partial(self._spawn, f"{poller.table} shard")))

    def kill(self) -> None:
        """End the process as `kill -9` does: nothing of it runs again, only what is in the checkpoint is left."""
        for task in self._tasks:
            task.cancel()

    def _spawn(self, name: str, steps: Steps[None]) -> Task:
        task = self._cloud.scheduler.spawn(name, self._living(name, steps))
        self._tasks.append(task)
        return task

    def _living(self, name: str, steps: Steps[None]) -> Steps[None]:
        try:
            yield from steps
        except StreamGap as gap:
            self.gaps[name] = str(gap)
        except Died:
            self.deaths += 1
            self._die()

    def _die(self) -> None:
        # While it is dead its other work cannot do anything, whatever its `finally` says.
        self.kill()
        self._cloud.faults.restart()
        if self._restart_s is not None:
            self._cloud.scheduler.spawn("restart", self._later(self._restart_s))

    def _later(self, seconds: float) -> Steps[None]:
        yield seconds
        self.start()


class _FaultyCheckpoint:
    """A checkpoint whose writes are fault points: the disk says no, or the process dies before or after them."""

    def __init__(self, inner: Checkpoint, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name not in _FAULT_POINTS:
            return real

        def write(*args: Any, **named: Any) -> None:
            self._faults.call(_FAULT_POINTS[name], lambda: real(*args, **named), error=_disk)

        return write


@contextmanager
def lambda_handler(store: BronzeStore, clock: Clock) -> Iterator[Handler]:
    """Give our Lambda function, with its store and its clock replaced while inside; its metrics go nowhere."""
    real = lambda_function._store, lambda_function._send_metric
    lambda_function._store = lambda: store  # type: ignore[assignment]
    lambda_function._send_metric = lambda letters, context: None
    try:
        with clock.shown_to(lambda_function):
            yield lambda_function.handler
    finally:
        lambda_function._store, lambda_function._send_metric = real


def _disk(kind: str) -> Exception:
    return sqlite3.OperationalError(f"simulated {kind}: disk I/O error")
