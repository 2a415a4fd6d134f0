"""Several tables at once, until told to stop.

Belongs here: starting the tables' threads, saying when all are ready, collecting how they ended. Does not belong here:
arguments and signals (__main__).
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.errors import StreamGap


def poll(tables: Sequence[TablePoller], *, halt: threading.Event, ready: Callable[[], None]) -> list[str]:
    """Capture the tables until `halt` is set, or none goes on; return the tables that stopped for a gap.

    Calls `ready` once, when every table that goes on is. A table with a gap does not stop the others. An error that
    nobody foresaw stops all and is raised, after the others came to a clean end.
    """
    with ThreadPoolExecutor(len(tables), thread_name_prefix="table") as pool:
        ends = {table: pool.submit(table.run) for table in tables}
        announced = False
        while not halt.wait(0.05):
            running = [table for table, end in ends.items() if not end.done()]
            if not running or any(_crashed(end) for end in ends.values()):
                break
            if not announced and all(table.ready.is_set() for table in running):
                announced = True
                ready()
        for table in tables:
            table.halt()
    gaps: list[str] = []
    for table, end in ends.items():
        try:
            end.result()
        except StreamGap:
            gaps.append(table.table)
    return gaps


def _crashed(end: Future[None]) -> bool:
    return end.done() and end.exception() is not None and not isinstance(end.exception(), StreamGap)
