"""Several tables at once, until stopped.

Belongs here: the threads of the tables and their shards, reporting when all are ready, and collecting how they ended.
Does not belong here: arguments and signals (__main__), and the work of the threads.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from medallion_assets.capture.poller.steps import drive
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.errors import StreamGap

# More than a stream has open shards: threads are created as shards are found, and no shard may wait for another.
_MAX_SHARDS: Final = 10_000


def poll(tables: Sequence[TablePoller], *, halt: threading.Event, ready: Callable[[], None]) -> list[str]:
    """Capture the tables until `halt` is set or no table goes on; return the tables that stopped for a gap.

    Calls `ready` once, when every running table is ready. A table with a gap does not stop the others. An unexpected
    error stops all tables, and is raised after the others have stopped cleanly.
    """
    halts = [threading.Event() for _ in tables]
    with ThreadPoolExecutor(len(tables), thread_name_prefix="table") as pool:
        ends = {table: pool.submit(capture_table, table, stop) for table, stop in zip(tables, halts, strict=True)}
        announced = False
        while not halt.wait(0.05):
            running = [table for table, end in ends.items() if not end.done()]
            if not running or any(_crashed(end) for end in ends.values()):
                break
            if not announced and all(table.ready for table in running):
                announced = True
                ready()
        for stop in halts:
            stop.set()
    gaps: list[str] = []
    for table, end in ends.items():
        try:
            end.result()
        except StreamGap:
            gaps.append(table.table)
    return gaps


def capture_table(table: TablePoller, halt: threading.Event) -> None:
    """Capture one table until `halt` is set; it is set when this returns. A write in progress is finished first.

    One thread lists the shards, and each shard has its own thread, so a slow shard delays no other. Raises what the
    table raises.
    """
    with ThreadPoolExecutor(_MAX_SHARDS, thread_name_prefix=table.table) as pool:
        try:
            drive(table.capture(lambda work: pool.submit(drive, work, halt)), halt)
        finally:
            halt.set()


def _crashed(end: Future[None]) -> bool:
    return end.done() and end.exception() is not None and not isinstance(end.exception(), StreamGap)
