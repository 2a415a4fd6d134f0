"""Bronze with faults: a store in memory, and any store with the plan's faults around its calls.

Belongs here: the points `bronze.put`, `bronze.list`, `bronze.read`, `bronze.remove`. Does not belong here: what objects
mean.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Final, TypeVar

from medallion_assets.capture.store import OBJECT_SUFFIX, Entry
from medallion_assets.errors import CorruptObject, LakeUnavailable
from medallion_assets.simulation.faults import Faults

if TYPE_CHECKING:
    from medallion_assets.capture.store import BronzeStore

T = TypeVar("T")

_PAGE: Final = 1_000


class MemoryStore:
    """A BronzeStore in memory, as consistent as S3. Its addresses are names only: `memory://bronze/<path>`."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._written: dict[str, int] = {}
        self._count = itertools.count(1)
        self._paths: list[str] = []

    def put(self, path: str, data: bytes) -> None:
        """Write an object."""
        if path not in self._objects:
            insort(self._paths, path)
        self._objects[path] = data
        self._written[path] = next(self._count)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """Yield the paths below `table`, sorted, a thousand at a time as they are then."""
        prefix = f"{table}/" + (f"year={day:%Y}/month={day:%m}/day={day:%d}/" if day else "")
        start = bisect_left(self._paths, prefix)
        if after is not None:
            start = max(start, bisect_right(self._paths, after))
        while page := [path for path in self._paths[start : start + _PAGE] if path.startswith(prefix)]:
            yield from (path for path in page if path.endswith(suffix))
            start = bisect_right(self._paths, page[-1])

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """List with size and tag; the tag counts the writes."""
        for path in self.list(table, after=after, day=day):
            yield Entry(path, len(self._objects[path]), f"{self._written[path]:x}")

    def read(self, path: str) -> bytes:
        """Return an object's bytes. Raises CorruptObject when there is none."""
        if path not in self._objects:
            raise CorruptObject(f"Bronze object {self.uri(path)} is missing; restore it, nothing is skipped")
        return self._objects[path]

    def remove(self, path: str) -> None:
        """Remove an object."""
        if self._objects.pop(path, None) is not None:
            self._paths.remove(path)

    def uri(self, path: str) -> str:
        """Return the object's address."""
        return f"memory://bronze/{path}"


class FaultyStore:
    """A BronzeStore around another, whose errors are LakeUnavailable; a listing may also break off half-way."""

    def __init__(self, inner: BronzeStore, faults: Faults) -> None:
        self.inner = inner
        self._faults = faults

    def put(self, path: str, data: bytes) -> None:
        """Write an object, or not, or so that the caller does not know."""
        self._faults.call("bronze.put", lambda: self.inner.put(path, data), error=_unavailable(f"writing {path}"))

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """Yield the paths of the inner store; an error after the call comes after half of them."""
        return self._listed(table, self.inner.list(table, after=after, day=day, suffix=suffix))

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """Yield the entries of the inner store, as `list` does."""
        return self._listed(table, self.inner.entries(table, after=after, day=day))

    def read(self, path: str) -> bytes:
        """Return an object's bytes."""
        return self._faults.call("bronze.read", lambda: self.inner.read(path), error=_unavailable(f"reading {path}"))

    def remove(self, path: str) -> None:
        """Remove an object, or not, or so that the caller does not know."""
        self._faults.call("bronze.remove", lambda: self.inner.remove(path), error=_unavailable(f"removing {path}"))

    def uri(self, path: str) -> str:
        """Return the inner store's address."""
        return self.inner.uri(path)

    def _listed(self, table: str, found: Iterator[T]) -> Iterator[T]:
        seen: list[T] = []
        try:
            self._faults.call("bronze.list", lambda: seen.extend(found), error=_unavailable(f"listing {table}"))
        except LakeUnavailable:
            yield from seen[: len(seen) // 2]
            raise
        yield from seen


def _unavailable(what: str) -> Callable[[str], Exception]:
    return lambda kind: LakeUnavailable(f"simulated {kind} when {what}")
