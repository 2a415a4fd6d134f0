"""Objects that a reader finds in compacted copies, in place of reading each from the store.

Belongs here: when a copy is used, and that its objects are as they are listed. Does not belong here: its format
(compacted), reading other objects (chunks, stats).

Only what the store lists is asked for, and a copy has an object only if its size and tag are as listed. So each object
is read once, from a copy or by itself: one that came late, or was written again, is read by itself, and what is in a
copy and not in the store is not read.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from medallion_assets.bronze.compacted import FOLDER, CompactedCopy, CopyName, captured_text
from medallion_assets.bronze.object_stats import ObjectStats
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, Entry
from medallion_assets.errors import CorruptObject

log = logging.getLogger(__name__)

MIN_OBJECTS: Final = 64
"""A reader of fewer objects of a day reads them one by one: a copy is large, and to find it takes two listings."""


class Copies:
    """The copies of the objects `names` of one table. Ask for the objects in order: each copy is opened once.

    Takes the memory of one copy and one of its row groups. Not for threads.
    """

    def __init__(self, store: BronzeStore, names: Iterable[str]) -> None:
        self._store = store
        by_folder = defaultdict[str, list[str]](list)
        for name in names:
            by_folder[name.rpartition("/")[0]].append(name)
        self._asked = {folder: sorted(map(captured_text, found)) for folder, found in by_folder.items()}
        self._folder: str | None = None
        self._entries: dict[str, Entry] = {}
        self._unopened: list[CopyName] = []
        self._open: CompactedCopy | None = None

    def rows(self, name: str) -> pa.Table | None:
        """Return the rows of an object with all columns of Bronze; None: read the object. Raises what the store raises.

        A copy that is broken is named in the log and not used.
        """
        found = self._find(name)
        if found is None:
            return None
        copy, entry = found
        try:
            return copy.rows(entry)
        except CorruptObject as broken:
            log.warning("%s", broken)
            self._open = None
            return None

    def original(self, name: str) -> tuple[Entry, ObjectStats] | None:
        """Return an object as it is listed, and what it contains; None: read the object. Raises what the store raises.

        A copy that is broken is named in the log and not used.
        """
        found = self._find(name)
        if found is None:
            return None
        copy, entry = found
        stats = copy.stats(entry)
        return (entry, stats) if stats is not None else None

    def _find(self, name: str) -> tuple[CompactedCopy, Entry] | None:
        folder = name.rpartition("/")[0]
        if folder != self._folder:
            self._enter(folder, ObjectName.parse(name))
        entry = self._entries.get(name)
        if entry is None:
            return None
        while self._open is None or self._open.stats(entry) is None:
            if not self._open_next(captured_text(name)):
                return None
        return self._open, entry

    def _enter(self, folder: str, name: ObjectName) -> None:
        """List the copies of a day and, if there are any, its objects."""
        self._folder, self._entries, self._unopened, self._open = folder, {}, [], None
        asked = self._asked.get(folder, [])
        if len(asked) < MIN_OBJECTS:
            return
        day = name.captured_at.date()
        listed = map(CopyName.parse, self._store.list(f"{FOLDER}/{name.table}", day=day))
        for copy in listed:
            if copy is not None and bisect_right(asked, copy.last) - bisect_left(asked, copy.first) >= MIN_OBJECTS:
                self._unopened.append(copy)
        if self._unopened:
            self._entries = {entry.path: entry for entry in self._store.entries(name.table, day=day)}

    def _open_next(self, captured: str) -> bool:
        """Open a copy with objects of this capture time, if there is one that was not open before."""
        for copy in self._unopened:
            if copy.first <= captured <= copy.last:
                self._unopened.remove(copy)
                self._open = None  # not two in memory
                try:
                    self._open = CompactedCopy(copy, self._store.read(copy.path))
                except CorruptObject as broken:
                    log.warning("%s", broken)
                return True
        return False
