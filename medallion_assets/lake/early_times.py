"""Whether a table has rows from before 1970 in partitions that DuckDB's Iceberg reader skips by mistake.

Iceberg rounds a time down to its hour, day or month, so the partition of 1969-12-31T12:00 is -1. DuckDB 1.5 rounds the
constant of a filter towards zero, looks for partition 0, and finds no row. Dates, years and identity are not concerned.
"""

from __future__ import annotations

from typing import Final

from pyiceberg.table import Table
from pyiceberg.types import TimestampType, TimestamptzType

_ROUNDED: Final = frozenset({"hour", "day", "month"})


def has_early_times(table: Table, snapshot_id: int | None) -> bool:
    """Return whether a filter on a time may lose rows of the snapshot (None: of the one that the table is at).

    Reads the list of manifests, and only for a table that is partitioned by such a time.
    """
    times = {
        field.field_id
        for field in table.schema().fields
        if isinstance(field.field_type, TimestampType | TimestamptzType)
    }
    concerned = {
        spec.spec_id: [
            position
            for position, field in enumerate(spec.fields)
            if str(field.transform) in _ROUNDED and field.source_id in times
        ]
        for spec in table.specs().values()
    }
    snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    if snapshot is None or not any(concerned.values()):
        return False
    return any(
        bound is not None and int.from_bytes(bound, "little", signed=True) < 0
        for manifest in snapshot.manifests(table.io)
        for position in concerned.get(manifest.partition_spec_id, ())
        for bound in [manifest.partitions[position].lower_bound if manifest.partitions else None]
    )
