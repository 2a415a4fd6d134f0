"""A Bronze store whose objects one reader hands on to the next one in the same process.

The Bronze step of a run looks into each object, and the Silver step reads the same objects right after it. Belongs
here: keeping an object from its first `read` to its second. Does not belong here: the places (file_store, s3_store).
"""

import threading
from collections.abc import Iterator
from datetime import date
from typing import Final

from medallion_assets.capture.store import OBJECT_SUFFIX, BronzeStore, Entry

LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What is kept at most; an object beyond it is read again."""


class HandingStore:
    """Bronze in `store`. Threads may share it."""

    def __init__(self, store: BronzeStore) -> None:
        self._store = store
        self._kept: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, path: str, data: bytes) -> None:
        """Put one object."""
        self._take(path)
        self._store.put(path, data)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """List the store."""
        return self._store.list(table, after=after, day=day, suffix=suffix)

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """List the store, with sizes and tags."""
        return self._store.entries(table, after=after, day=day)

    def read(self, path: str) -> bytes:
        """Return an object's bytes: those that were kept when it was read before, or else the store's."""
        if (kept := self._take(path)) is not None:
            return kept
        data = self._store.read(path)
        with self._lock:
            if self._bytes + len(data) <= LIMIT_BYTES:
                self._kept[path] = data
                self._bytes += len(data)
        return data

    def remove(self, path: str) -> None:
        """Remove an object from the store."""
        self._take(path)
        self._store.remove(path)

    def uri(self, path: str) -> str:
        """Return the object's address."""
        return self._store.uri(path)

    def _take(self, path: str) -> bytes | None:
        with self._lock:
            data = self._kept.pop(path, None)
            self._bytes -= len(data) if data is not None else 0
            return data
