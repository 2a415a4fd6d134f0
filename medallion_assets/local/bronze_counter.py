"""Count the changes in Bronze. A change counts once, however often it was delivered.

Belongs here: counting for the demo's progress. Does not belong here: the counts of production (`ledger`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore


class BronzeCounter:
    """The number of changes of some tables (DynamoDB names) in Bronze. Each object is read once."""

    def __init__(self, store: BronzeStore, tables: Iterable[str]) -> None:
        self._store = store
        self._positions = {table: Position.start() for table in tables}
        self._events: dict[str, set[str]] = {table: set() for table in self._positions}

    def count(self) -> Mapping[str, int]:
        """Return the number of changes of each table now."""
        import pyarrow.parquet as pq

        for table, position in self._positions.items():
            new = position.pending(self._store, table)
            for path in new:
                found = pq.read_table(io.BytesIO(self._store.read(path)), columns=["event_id"])
                self._events[table].update(found["event_id"].to_pylist())
            self._positions[table] = position.advance(new)
        return {table: len(events) for table, events in self._events.items()}
