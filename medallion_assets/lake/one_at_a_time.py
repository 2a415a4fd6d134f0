"""One thread at a time for one thing, as by its name: whoever comes second finds what the first has fetched.

The steps of a run ask for the same tables and files at the same moment. Belongs here: the locks. Does not belong here:
what is kept (memory, file_io, local_copy).
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

_LOCKS: Final = 64
"""Two things may share a lock and then wait for each other: one pair in 64."""


class OneAtATime:
    """Locks by a thing's name. A thread that has one may take it again."""

    def __init__(self) -> None:
        self._locks = [threading.RLock() for _ in range(_LOCKS)]

    def alone(self, name: Hashable) -> AbstractContextManager[bool]:
        """Return the lock of a thing: no other thread is inside while one is."""
        return self._locks[hash(name) % _LOCKS]

    @contextmanager
    def all_alone(self, names: Iterable[Hashable]) -> Iterator[None]:
        """Take the locks of several things, always in the same order. A thread that is inside takes no others."""
        with ExitStack() as taken:
            for at in sorted({hash(name) % _LOCKS for name in names}):
                taken.enter_context(self._locks[at])
            yield
