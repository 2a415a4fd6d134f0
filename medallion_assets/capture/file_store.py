"""Bronze in a directory.

Belongs here: durable writes and ordered listings on a file system. Does not belong here: the meaning of paths (naming).
"""

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Final

from medallion_assets.capture.store import OBJECT_SUFFIX, Entry, object_prefix
from medallion_assets.errors import CorruptObject, LakeUnavailable, SettingsError

# Errors of a file system that only the owner of the machine can change.
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

# No write takes this long: the poller repeats one that took ten minutes, a Lambda function ends after fifteen.
_ABANDONED_SECONDS: Final = 3_600


class FileStore:
    """Bronze in a directory, for tests, benchmarks and machines without S3.

    Files are written in `.partial/` below the root and then renamed. The next writer removes what a writer that died
    left there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partial = self._root / ".partial"
        self._cleaned = False

    def put(self, path: str, data: bytes) -> None:
        """Write to a temporary file, sync it, rename it, sync the directory."""
        target = self._root / path
        with self._translate_errors(path, "written"):
            self._clean()
            _make_durable(target.parent)
            handle, name = tempfile.mkstemp(dir=self._partial)
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_directory(target.parent)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """Walk the directories in the order in which S3 lists keys; skip those that end before `after`."""
        return self._walk(object_prefix(table, day), after or "", suffix)

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """List with each file's size; its tag is its time of modification and its inode."""
        for path in self.list(table, after=after, day=day):
            try:
                found = (self._root / path).stat()
            except FileNotFoundError:
                continue  # It was deleted after the directory was read.
            yield Entry(path, found.st_size, f"{found.st_mtime_ns:x}-{found.st_ino:x}")

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises CorruptObject when there is no such file."""
        with self._translate_errors(path, "read"):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError as error:
                raise CorruptObject(
                    f"Bronze object {self._root / path} is missing; restore it. Readers stop here and skip nothing"
                ) from error

    def remove(self, path: str) -> None:
        """Unlink a file and sync its directory."""
        with self._translate_errors(path, "removed"):
            target = self._root / path
            with suppress(FileNotFoundError):
                target.unlink()
                _sync_directory(target.parent)

    def uri(self, path: str) -> str:
        """Return the absolute file path."""
        return str(self._root / path)

    def _walk(self, prefix: str, after: str, suffix: str) -> Iterator[str]:
        with self._translate_errors(prefix, "listed"):
            try:
                # A directory sorts with its slash, as its keys do.
                names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(self._root / prefix))
            except FileNotFoundError:
                return
        for path in (prefix + name for name in names):
            if path.endswith("/"):
                if path >= after[: len(path)]:
                    yield from self._walk(path, after, suffix)
            elif path > after and path.endswith(suffix):
                yield path

    def _clean(self) -> None:
        """Remove the files of dead writers, once per store; younger files may belong to living writers."""
        if self._cleaned:
            return
        self._partial.mkdir(parents=True, exist_ok=True)
        abandoned = time.time() - _ABANDONED_SECONDS
        for left in self._partial.iterdir():
            with suppress(FileNotFoundError):  # Another writer removed it first.
                if left.stat().st_mtime < abandoned:
                    left.unlink()
        self._cleaned = True

    @contextmanager
    def _translate_errors(self, path: str, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"Bronze's {self._root / path} cannot be {what}: {error.strerror or error}."
            if error.errno in _FORBIDDEN:
                raise SettingsError(f"{problem} Give this user the permission, or correct MEDALLION_BRONZE.") from error
            raise LakeUnavailable(f"{problem} Fix the cause and try again.") from error


def _make_durable(directory: Path) -> None:
    """Create a directory so that it survives a power cut, with its content."""
    missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for created in missing:
        _sync_directory(created.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
