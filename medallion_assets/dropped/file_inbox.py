"""Dropped files in a directory.

Belongs here: when a local file is written completely, and moves that survive a crash. Does not belong here: what the
paths mean (inbox).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from medallion_assets.capture.file_store import FileStore
from medallion_assets.dropped.inbox import DroppedFile, is_folder, is_waiting

QUIET_SECONDS: Final = 10.0
"""For so long a file must not have been written. Who writes more slowly gives it a name with `.partial` until then."""


class FileInbox:
    """A directory with a folder for each table."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = FileStore(root)

    def waiting(self, table: str) -> Iterator[DroppedFile]:
        """Yield the files that were not written within QUIET_SECONDS."""
        folder = self._root / table
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            name = path.relative_to(folder).as_posix()
            with suppress(FileNotFoundError):
                found = path.stat()
                if path.is_file() and is_waiting(name) and time.time() - found.st_mtime >= QUIET_SECONDS:
                    yield DroppedFile(
                        table, name, found.st_size, _tag(found), datetime.fromtimestamp(found.st_mtime, UTC)
                    )

    def folders(self) -> list[str]:
        """List the root."""
        found = os.scandir(self._root) if self._root.is_dir() else ()
        return sorted(entry.name for entry in found if entry.is_dir() and is_folder(entry.name))

    def fetch(self, file: DroppedFile, folder: Path) -> Path | None:
        """Return the file itself."""
        return self._root / file.path if self.is_same(file) else None

    def is_same(self, file: DroppedFile) -> bool:
        """Compare time, size and inode."""
        try:
            return _tag((self._root / file.path).stat()) == file.tag
        except FileNotFoundError:
            return False

    def move(self, file: DroppedFile, path: str) -> None:
        """Rename it; the folders that it leaves stay."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (self._root / file.path).replace(target)

    def put(self, path: str, data: bytes) -> None:
        """Write as Bronze is written: readers see all of it or nothing."""
        self._store.put(path, data)

    def uri(self, path: str) -> str:
        """Return the file's path."""
        return str(self._root / path)


def _tag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
