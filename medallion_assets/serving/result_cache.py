"""Answers of saved queries that are still true: kept by what was asked and by the snapshots that were read.

Belongs here: keeping at most so many bytes of them. Does not belong here: which snapshots are published (versions).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from medallion_assets.serving.answer import Answer, Format

AskedFor = tuple[str, str, Format, tuple[tuple[str, str], ...], str]
"""Name and version of a saved query, the format, the values in order of their names, and the day."""


@dataclass(frozen=True)
class Kept:
    """An answer, what of it stays the same while it is true, and the snapshots of its tables.

    - body: JSON of its rows, or the whole body in another format
    - etag: of its rows
    """

    answer: Answer
    body: bytes
    snapshots: tuple[str | None, ...]
    etag: str


class ResultCache:
    """The answers that were asked for last."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._kept: OrderedDict[AskedFor, Kept] = OrderedDict()

    def find(self, asked: AskedFor, snapshots: tuple[str | None, ...]) -> Kept | None:
        """Return the answer if it was computed from these snapshots."""
        kept = self._kept.get(asked)
        if kept is None or kept.snapshots != snapshots:
            return None
        self._kept.move_to_end(asked)
        return kept

    def keep(self, asked: AskedFor, kept: Kept) -> None:
        """Keep an answer in place of an older one, and forget those that were not asked for the longest."""
        self._forget(asked)
        self._kept[asked] = kept
        self._bytes += len(kept.body)
        while self._bytes > self._limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, asked: AskedFor) -> None:
        if (gone := self._kept.pop(asked, None)) is not None:
            self._bytes -= len(gone.body)
