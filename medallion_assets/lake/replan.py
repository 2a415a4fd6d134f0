"""Planning again when another writer was faster, with a pause in between that spreads the writers.

Belongs here: how often and how long. Does not belong here: what is planned. Where one writer per table is the rule this
is for the odd run by hand; it holds for eight writers that do nothing but commit to one table (`make soak`).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from medallion_assets.errors import CommitConflict

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES: Final = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 4.0


def replanning(act: Callable[[], T], *, what: str) -> T:
    """Return what `act` does, which reads a table as it is, plans on that, and publishes.

    Raises CommitConflict when other writers were faster a hundred times, and what else `act` raises.
    """
    for failures in range(1, TRIES):
        try:
            return act()
        except CommitConflict as lost:
            log.info("%s: planning again, conflict %d: %s", what, failures, lost)
            pause(failures)
    return act()


def pause(failures: int) -> None:
    """Wait before the next try: anything up to a time that doubles with every failure (full jitter)."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
    time.sleep(random.uniform(0, longest))  # noqa: S311 - spreads writers, guards nothing
