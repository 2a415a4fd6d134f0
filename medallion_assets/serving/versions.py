"""Which snapshot of each table is published, asked of the catalog at most once a second.

Belongs here: remembering the answers for many requests. Does not belong here: reading rows (reader).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from medallion_assets.lake.catalog import Lake
from medallion_assets.serving.reader import ReadTable

SECONDS: Final = 1.0


class Versions:
    """The published snapshots. Used by one event loop."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[str, tuple[float, str | None]] = {}
        self._asking = asyncio.Lock()

    async def of(self, tables: Iterable[str]) -> tuple[str | None, ...]:
        """Return the snapshots of tables, by name with schema; None for one without. Raises LakeUnavailable."""
        names = tuple(tables)
        if self._stale(names):
            async with self._asking:
                if stale := self._stale(names):
                    asked = time.monotonic()
                    found = await asyncio.to_thread(lambda: [self._ask(name) for name in stale])
                    self._known |= {name: (asked, snapshot) for name, snapshot in zip(stale, found, strict=True)}
        return tuple(self._known[name][1] for name in names)

    def saw(self, tables: Iterable[ReadTable]) -> None:
        """Remember what a query has just read."""
        for table in tables:
            snapshot = None if table.snapshot_id is None else str(table.snapshot_id)
            self._known[f"{table.schema}.{table.name}"] = (time.monotonic(), snapshot)

    def _stale(self, names: tuple[str, ...]) -> list[str]:
        since = time.monotonic() - SECONDS
        return [name for name in names if self._known.get(name, (since - 1, None))[0] < since]

    def _ask(self, name: str) -> str | None:
        schema, _, table = name.partition(".")
        found = self._lake.find(schema, table)
        snapshot = found.metadata.current_snapshot_id if found is not None else None
        return None if snapshot is None else str(snapshot)
