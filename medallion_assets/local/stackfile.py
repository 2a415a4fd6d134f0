"""`stack.env`, by which other commands find the running local stack, and the lock that shows that it runs.

Belongs here: both files. Does not belong here: the stack (`stack`).
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from medallion_assets.errors import LocalStackError

_LOCK = "lock"
_FILE = "stack.env"


@contextmanager
def only_stack(state: Path) -> Iterator[None]:
    """Own `state` while inside: one stack may run on it. Raises LocalStackError if another one runs.

    The kernel releases the lock when the process ends, however it ends.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.seek(0)
            raise LocalStackError(
                f"A local stack already runs on {state.resolve()} (process {lock.read().strip() or '?'}). "
                "Stop it with Ctrl-C, or start this one in another folder."
            ) from taken
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        (state / _FILE).unlink(missing_ok=True)
        try:
            yield
        finally:
            (state / _FILE).unlink(missing_ok=True)


def announce(state: Path, env: Mapping[str, str]) -> None:
    """Write `stack.env`, readable by its owner only; a shell can source it too."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items())]
    handle = os.open(state / _FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.writelines(lines)


def running_stack(state: Path) -> dict[str, str] | None:
    """Return the environment variables of the stack that runs on `state`; None if no stack runs."""
    path = state / _FILE
    if not path.exists() or not _is_locked(state / _LOCK):
        return None
    pairs = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines())
    return {name: shlex.split(value)[0] if value else "" for name, _, value in pairs}


def _is_locked(path: Path) -> bool:
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
