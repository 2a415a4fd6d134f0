"""How many changes have reached Bronze, each counted once however often it was delivered."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore


class Captured:
    """Counts the changes of some tables (DynamoDB names) in Bronze; reads each object once."""

    def __init__(self, store: BronzeStore, tables: Iterable[str]) -> None:
        self._store = store
        self._positions = {table: Position.start() for table in tables}
        self._events: dict[str, set[str]] = {table: set() for table in self._positions}

    def count(self) -> Mapping[str, int]:
        """The number of changes of each table now."""
        import pyarrow.parquet as pq

        for table, position in self._positions.items():
            new = position.pending(self._store, table)
            for path in new:
                found = pq.read_table(io.BytesIO(self._store.read(path)), columns=["event_id"])
                self._events[table].update(found["event_id"].to_pylist())
            self._positions[table] = position.advance(new)
        return {table: len(events) for table, events in self._events.items()}
