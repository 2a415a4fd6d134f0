"""What the demo does: the initial load, live traffic, and waiting until Gold contains every change.

Belongs here: these steps, and the progress after each. Does not belong here: how it is shown (`cli`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from medallion_assets.capture.store import open_store
from medallion_assets.errors import AuditFailed, NotCaughtUp
from medallion_assets.gold.spec import load_marts
from medallion_assets.health.status import Status, read_status
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.status import read_completeness
from medallion_assets.local.bronze_counter import BronzeCounter
from medallion_assets.local.stack import Stack
from medallion_assets.local.traffic import Traffic

OBSERVE_SECONDS = 2.0
"""Observing takes about 0.2 s of one core, and the runs need both cores of a small machine."""
PATIENCE_SECONDS = 120.0
BLOCKED_SECONDS = 20.0
"""How long nothing may come closer to Gold once a check blocks a table or mart. Others need a few seconds for a run."""


@dataclass(frozen=True)
class Progress:
    """The running demo at one moment, by lake name of the table.

    By DynamoDB table, `emitted` counts the writes that DynamoDB puts on a stream, `captured` the changes in Bronze.
    """

    emitted: Mapping[str, int]
    captured: Mapping[str, int]
    status: Status
    writing: bool

    @property
    def caught_up(self) -> bool:
        """Return whether traffic has stopped and every change is in Silver and Gold."""
        return not self.writing and self.emitted == self.captured and self.status.caught_up

    @property
    def behind(self) -> tuple[Mapping[str, int], Sequence[int], Sequence[Sequence[str]]]:
        """Return what is captured, how many objects of each table wait, and what each mart lacks."""
        waiting = [table.pending_objects for table in self.status.tables]
        return self.captured, waiting, [mart.behind for mart in self.status.marts]


class Demo:
    """Traffic on a running stack, and its progress through the layers."""

    def __init__(self, stack: Stack, lake: Lake, *, seed: int) -> None:
        self._stack = stack
        self._lake = lake
        self._traffic = Traffic.of(stack.settings, seed=seed)
        self._store = open_store(stack.settings.bronze)
        self._marts = load_marts(stack.domain)
        self._bronze_counter = BronzeCounter(self._store, stack.domain.sources)

    def load(self) -> int:
        """Write the initial load; return the number of rows."""
        return self._traffic.load()

    def catch_up(self) -> Iterator[Progress]:
        """Yield the progress every two seconds until Gold has caught up with what is written.

        Raises LocalStackError if a process ended; AuditFailed if a check blocks a table or mart and nothing else is
        left to do; NotCaughtUp if Gold has not caught up after two minutes. The stack goes on then.
        """
        return self._follow(lambda: True)

    def live(self, *, rate: float, seconds: float) -> Iterator[Progress]:
        """Write for that many seconds; yield the progress until Gold has caught up with the last write.

        Raises what `catch_up` raises, and botocore's errors.
        """
        with self.writing(rate=rate, count=round(rate * seconds)) as written:
            yield from self._follow(written.done)

    def _follow(self, written: Callable[[], bool]) -> Iterator[Progress]:
        ended = None
        behind, moved = None, time.monotonic()
        while True:
            began = time.monotonic()
            self._stack.check()
            progress = self.observe(writing=not written())
            yield progress
            if progress.caught_up:
                return
            if progress.behind != behind:
                behind, moved = progress.behind, began
            if written():
                ended = ended or began
                self._give_up(progress.status, waited=began - ended, still=began - max(moved, ended))
            time.sleep(max(0.0, OBSERVE_SECONDS - (time.monotonic() - began)))

    def _give_up(self, status: Status, *, waited: float, still: float) -> None:
        """Raise why Gold has not caught up, if waiting longer makes no sense. Times in seconds.

        `waited` is since the last write, `still` since anything came closer to Gold. The job `observe` records once a
        minute which checks block.
        """
        blocked = [f"  silver/{table.table}: {table.blocked_by}" for table in status.tables if table.blocked_by]
        blocked += [f"  gold/{mart.mart}: {mart.blocked_by}" for mart in status.marts if mart.blocked_by]
        late = f"Gold has not caught up {waited:.0f} s after the last write."
        if blocked and still > BLOCKED_SECONDS:
            listed = "\n".join(blocked)
            raise AuditFailed(
                f"{late} A check blocks the publication, and what depends on it waits:\n{listed}\n"
                f"Correct the data or the contract, then rerun that day on {self._stack.dagster_url}."
            )
        if waited > PATIENCE_SECONDS:
            raise NotCaughtUp(
                f"{late} The failed runs are on {self._stack.dagster_url}, the logs in {self._stack.folder}."
            )

    @contextmanager
    def writing(self, *, rate: float, count: int | None = None) -> Iterator[Future[None]]:
        """Write in the background while inside: `count` writes, or until the context ends.

        Yields the future of the writing. Raises botocore's errors and what the store raises.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self._traffic.run, rate=rate, count=count, stop=stop)
            try:
                yield written
            finally:
                stop.set()
            written.result()

    def observe(self, *, writing: bool) -> Progress:
        """Return what is written, captured and published now. Raises LakeUnavailable, SettingsError."""
        # Writes are counted before captured changes, so equal counts mean that no change is between the two.
        emitted, captured = self._traffic.emitted.copy(), self._bronze_counter.count()
        tables = self._stack.domain.tables
        completeness = read_completeness(self._lake, [contract.lake_name for contract in tables])
        now = datetime.now(UTC)
        return Progress(
            emitted={table: emitted[table] for table in self._stack.domain.sources},
            captured={table: captured[table] for table in self._stack.domain.sources},
            status=read_status(
                self._lake, self._store, self._stack.domain, self._marts, completeness=completeness, now=now
            ),
            writing=writing,
        )
