"""The demo's acts: load, live traffic until Gold has caught up, and what came of it. Not how it is shown (`cli`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from medallion_assets.capture.store import open_store
from medallion_assets.errors import LocalStackError
from medallion_assets.gold.spec import load_marts
from medallion_assets.health.status import Status, read_status
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.status import read_completeness
from medallion_assets.local.bronze_counter import Captured
from medallion_assets.local.stack import Stack
from medallion_assets.local.traffic import Traffic

LOOK_SECONDS = 2.0
"""A look costs about 0.2 s of one core; the runs it watches need both."""
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Progress:
    """One look at the running demo. `emitted` are the writes that DynamoDB streams, `captured` those of them in Bronze.

    Both are by lake name of the table.
    """

    emitted: Mapping[str, int]
    captured: Mapping[str, int]
    status: Status
    writing: bool

    @property
    def caught_up(self) -> bool:
        """Whether traffic has stopped and every change of it is in Silver and Gold."""
        return not self.writing and self.emitted == self.captured and self.status.caught_up


class Demo:
    """Traffic on a running stack, and looks at what becomes of it."""

    def __init__(self, stack: Stack, lake: Lake, *, seed: int) -> None:
        self._stack = stack
        self._traffic = Traffic.of(stack.settings, seed=seed)
        self._lake = lake
        self._store = open_store(stack.settings.bronze)
        self._marts = load_marts(stack.domain)
        self._captured = Captured(self._store, [contract.table for contract in stack.domain.tables])

    def load(self) -> int:
        """Write the initial load; the number of rows."""
        return self._traffic.load()

    def settle(self) -> Iterator[Progress]:
        """A look every two seconds until Gold has caught up with what is written.

        Raises LocalStackError when a process ended or Gold did not catch up in two minutes.
        """
        return self._follow(lambda: True)

    def live(self, *, rate: float, seconds: float) -> Iterator[Progress]:
        """Write for that many seconds; looks as in `settle`, until Gold has caught up after the last write.

        Raises what `settle` raises, and botocore's errors.
        """
        with self.writing(rate=rate, count=round(rate * seconds)) as written:
            yield from self._follow(written.done)

    def _follow(self, written: Callable[[], bool]) -> Iterator[Progress]:
        deadline = None
        while True:
            began = time.monotonic()
            self._stack.check()
            progress = self.look(writing=not written())
            yield progress
            if progress.caught_up:
                return
            if written():
                deadline = deadline or time.monotonic() + PATIENCE_SECONDS
                if time.monotonic() > deadline:
                    raise LocalStackError(
                        f"Gold has not caught up {PATIENCE_SECONDS:.0f} s after the last write. Look at the failed "
                        f"runs on {self._stack.dagster_url} or at the logs in {self._stack.folder}."
                    )
            time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))

    @contextmanager
    def writing(self, *, rate: float, count: int | None = None) -> Iterator[Future[None]]:
        """Traffic in the background: `count` writes, or until the context ends. Raises what the writing raised."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self._traffic.run, rate=rate, count=count, stop=stop)
            try:
                yield written
            finally:
                stop.set()
            written.result()

    def watch(self) -> None:
        """Return never: raise LocalStackError when a process of the stack has ended."""
        while True:
            self._stack.check()
            time.sleep(1.0)

    def look(self, *, writing: bool) -> Progress:
        """What is written, captured and published now. Raises LakeUnavailable, SettingsError."""
        # What is written is counted before what is captured: so equal counts mean that nothing is on its way.
        emitted, captured = self._traffic.emitted.copy(), self._captured.count()
        tables = self._stack.domain.tables
        completeness = read_completeness(self._lake, [contract.lake_name for contract in tables])
        now = datetime.now(UTC)
        return Progress(
            emitted={contract.lake_name: emitted[contract.table] for contract in tables},
            captured={contract.lake_name: captured[contract.table] for contract in tables},
            status=read_status(
                self._lake, self._store, self._stack.domain, self._marts, completeness=completeness, now=now
            ),
            writing=writing,
        )
