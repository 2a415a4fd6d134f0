"""Child processes and ports of the local stack.

Belongs here: starting, watching and stopping any child. Does not belong here: which children there are (`stack`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from medallion_assets.errors import LocalStackError
from medallion_assets.local import reaper

STOP_SECONDS = 10.0
STRAY_SECONDS = 1.0


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_port(port: int | None) -> int:
    """Return that TCP port on 127.0.0.1, or any free one. Raises LocalStackError if something listens on it."""
    if port is None:
        return free_port()
    if port_is_open(port):
        raise LocalStackError(f"Port {port} on 127.0.0.1 is taken. Stop what listens there or choose another port.")
    return port


def port_is_open(port: int) -> bool:
    """Return whether something listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """One process in a group of its own, with its output in a log file. Leaving the context stops the whole group.

    A reaper process stops the group if this process is killed before it can.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        log.parent.mkdir(parents=True, exist_ok=True)
        self._reapers: list[subprocess.Popen[bytes]] = []
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - commands are this package's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        command = [sys.executable, "-I", "-S", reaper.__file__, str(process.pid)]
        self._reapers.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own script
        )
        return process

    @property
    def pid(self) -> int:
        """The process id. It is also the id of the group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise LocalStackError with the end of the log when the process has ended."""
        if self.exit_code() is not None:
            raise LocalStackError(f"{self.name} ended with code {self.exit_code()}.\n{self._tail()}")

    def output(self) -> str:
        """Return what the process has written so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `ready()` is true.

        Raises LocalStackError with the end of the log when the process ends first or `seconds` pass.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code() is not None:
                raise LocalStackError(f"{self.name} ended with code {self.exit_code()} while starting.\n{self._tail()}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"{self.name} was not ready after {seconds:.0f} s.\n{self._tail()}")
            time.sleep(0.05)

    def kill_and_restart(self) -> None:
        """Kill the process with SIGKILL, as a machine without memory does, and start the same command again.

        Processes that it had started go on until this child is stopped.
        """
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def terminate(self) -> None:
        """Send SIGTERM to the group without waiting, so that several children stop at the same time."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop the group: SIGTERM, then SIGKILL to the process after ten seconds and to the rest a second later."""
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._wait_for_group()
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._wait_for_group()
        for one in self._reapers:
            one.communicate()

    def _signal(self, sign: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, sign)

    def _wait_for_group(self) -> None:
        """Wait up to a second: a dead process counts as one of the group until init has reaped it."""
        deadline = time.monotonic() + STRAY_SECONDS
        with suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.02)

    def _tail(self) -> str:
        lines = self.output().splitlines()[-15:]
        return f"The end of {self.log}:\n" + "\n".join(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
