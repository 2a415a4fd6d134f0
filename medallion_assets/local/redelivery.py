"""Deliver captured batches a second time: a consumer of DynamoDB Streams gets each record at least once.

Belongs here: turning a Bronze object back into stream records and capturing these again. The second delivery is a real
one: the same records, a later capture time, another object. Does not belong here: how a record is captured.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from medallion_assets.capture.position import Position
from medallion_assets.capture.sequence import is_sequence
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import LocalStackError


class Redelivery:
    """A second delivery for a share of the Bronze objects of some tables (their names in contracts)."""

    def __init__(
        self,
        store: BronzeStore,
        tables: Iterable[str],
        *,
        share: float,
        seed: int,
        names: SourceNames = SAME_NAMES,
    ) -> None:
        self._store = store
        self._share = share
        self._names = names
        self._rng = random.Random(seed)  # noqa: S311 - test data, not secrets
        self._positions = {table: Position.start() for table in tables}
        self.count = 0

    def step(self) -> None:
        """Deliver a share of the objects that are new since the last step a second time."""
        for table, position in self._positions.items():
            new = position.pending(self._store, table)
            self._positions[table] = position.advance(new)
            for path in new:
                if self._rng.random() < self._share:
                    self._deliver(path)

    def _deliver(self, path: str) -> None:
        records = stream_records(self._store.read(path))
        if failed := write_bronze(records, store=self._store, captured_at=datetime.now(UTC), names=self._names):
            raise LocalStackError(
                f"{path}: {len(failed)} of its {len(records)} records failed on their second delivery"
            )
        self.count += 1


def stream_records(bronze_object: bytes) -> list[dict[str, Any]]:
    """Return the records of a Bronze object as a Lambda event has them, without what a repair or a backfill wrote."""
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(bronze_object)).to_pylist()
    return [_record(row) for row in rows if is_sequence(row["sequence_number"])]


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    created = row["approximate_creation_time"]
    change = {
        "SequenceNumber": row["sequence_number"],
        "ApproximateCreationDateTime": created.timestamp() if created else None,
        "Keys": json.loads(row["keys"]),
        "NewImage": json.loads(row["new_image"]) if row["new_image"] else None,
        "OldImage": json.loads(row["old_image"]) if row["old_image"] else None,
    }
    return {
        "eventID": row["event_id"],
        "eventName": row["event_name"],
        "eventSourceARN": row["stream_arn"],
        "dynamodb": {name: value for name, value in change.items() if value is not None},
        **({"userIdentity": json.loads(row["user_identity"])} if row["user_identity"] else {}),
    }
