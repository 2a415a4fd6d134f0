"""The folder in the user's cache where large things are installed once, and the lock of one that is being installed.

Belongs here: where it is, and that only one process installs. Does not belong here: what is installed
(`emulator_environment`).
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return this project's folder in the user's cache. It may not exist yet."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "medallion-assets"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medallion-assets"


@contextmanager
def hold_alone(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of `folder` alone; call `waiting` first if another process holds it.

    The kernel releases the lock when the process ends, however it ends.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
