"""Retries of a commit that lost to another writer, with a random wait in between that spreads the writers.

Belongs here: how often and how long. Does not belong here: what is committed. Pools give each table one writer at a
time, so a conflict is the exception: a command that somebody runs by hand. Eight processes that do nothing but commit
to one table still get through (`make soak`).
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

MAX_ATTEMPTS: Final = 100
FIRST_BACKOFF_SECONDS: Final = 0.05
MAX_BACKOFF_SECONDS: Final = 4.0


def retry_on_conflict(act: Callable[[], T], *, what: str) -> T:
    """Return the result of `act`, and call it again after each CommitConflict, up to MAX_ATTEMPTS times.

    `act` has to read the table each time, so that it plans on the state that the other writer left. `what` names the
    table in the log. Raises CommitConflict if the last attempt lost as well; every other error at once.
    """
    for failures in range(1, MAX_ATTEMPTS):
        try:
            return act()
        except CommitConflict as lost:
            log.info("%s: attempt %d lost to another writer, trying again: %s", what, failures, lost)
            back_off(failures)
    return act()


def back_off(failures: int) -> None:
    """Sleep for a random time of up to a limit that doubles with every failure (full jitter).

    Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    limit = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (failures - 1))
    time.sleep(random.uniform(0, limit))  # noqa: S311 - spreads writers, guards nothing
