"""Bronze with faults: a store in memory, and any store with the plan's faults around its calls.

Belongs here: the points `bronze.put`, `bronze.list`, `bronze.read`. Does not belong here: what objects mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from medallion_assets.simulation.faults import Faults

if TYPE_CHECKING:
    from medallion_assets.capture.store import BronzeStore


class MemoryStore:
    """A BronzeStore in memory. Addresses are `memory://bronze/<path>`."""

    def __init__(self) -> None:
        raise NotImplementedError

    def put(self, path: str, data: bytes) -> None:
        """Write an object."""
        raise NotImplementedError

    def list(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[str]:
        """Yield the paths of a table's `.parquet` objects, sorted."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """Return an object's bytes. Raises CorruptObject when there is none."""
        raise NotImplementedError

    def uri(self, path: str) -> str:
        """Return the object's address."""
        raise NotImplementedError


class FaultyStore:
    """A BronzeStore around another: errors are LakeUnavailable; a listing may also break off half-way."""

    inner: BronzeStore

    def __init__(self, inner: BronzeStore, faults: Faults) -> None:
        raise NotImplementedError

    def put(self, path: str, data: bytes) -> None:
        """Write an object, or not, or so that the caller does not know."""
        raise NotImplementedError

    def list(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[str]:
        """Yield the paths of the inner store."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """Return an object's bytes."""
        raise NotImplementedError

    def uri(self, path: str) -> str:
        """Return the inner store's address."""
        raise NotImplementedError
