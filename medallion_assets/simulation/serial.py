"""Thread pools without threads, so that code under simulation meets its faults in one order.

Belongs here: that one switch. Does not belong here: code that needs real concurrency.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """While inside, what is submitted to a `ThreadPoolExecutor` runs at once, in the caller's thread.

    For pools that work through a list (Bronze's reader, scans, pyiceberg's manifests). A task that waits for another of
    its pool never ends.
    """
    raise NotImplementedError
    yield
