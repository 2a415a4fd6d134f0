"""The file that tells other commands how to reach the running local stack, and the lock that says it runs."""

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
    """Hold the lock of the one stack that may run on `state`. Raises LocalStackError when another one runs.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            lock.seek(0)
            raise LocalStackError(
                f"A local stack already runs on {state.resolve()} (process {lock.read().strip() or '?'}). "
                "Stop it with Ctrl-C, or start this one in another folder."
            ) from held
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
    """The environment of the stack that runs on `state`; None when none does."""
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
