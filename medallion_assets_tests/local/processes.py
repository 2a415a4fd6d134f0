"""Finding the processes that belong to a folder: their environment or command line names it (Linux's /proc)."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def processes_of(folder: Path) -> dict[int, str]:
    """Process id -> command line of every process that names `folder`, this one left out."""
    named = str(folder).encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if command and named in command + (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def wait_for_none(folder: Path, *, seconds: float) -> dict[int, str]:
    """What is still there when nothing is, or after so long."""
    deadline = time.monotonic() + seconds
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def listening_addresses(folder: Path) -> set[str]:
    """The IPv4 and IPv6 addresses (as the kernel writes them) on which processes of `folder` accept connections."""
    links = [link for pid in processes_of(folder) for link in _open_files(pid)]
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:  # 0A is LISTEN
                found.add(fields[1].partition(":")[0])
    return found


def _open_files(pid: int) -> list[str]:
    """What the process has open, as the kernel names it; without what it closes meanwhile."""
    found = []
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(str(link.readlink()))
    except FileNotFoundError:  # the process has ended
        return []
    return found
