"""What a Bronze object contains: its rows, their count, sequence range, shard coverage and hash, from its bytes.

Belongs here: parsing the bytes of one object. Does not belong here: where they come from (stats, chunks), what the rows
mean (silver).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion_assets.bronze.schema import SCHEMA
from medallion_assets.capture.coverage import COVERAGE_KEY, ShardCoverage
from medallion_assets.capture.sequence import SEQUENCE_DIGITS
from medallion_assets.errors import CorruptObject

_STATS_COLUMNS: Final = ["sequence_number", "approximate_creation_time"]


@dataclass(frozen=True)
class ObjectStats:
    """One object. Sequence numbers are padded; times are aware UTC, None where no row has one."""

    rows: int
    first_sequence: str
    last_sequence: str
    oldest_change: datetime | None
    newest_change: datetime | None
    content_hash: str
    coverage: ShardCoverage | None


def parse_stats(data: bytes) -> ObjectStats:
    """Return the stats of an object's bytes. Raises CorruptObject for anything but a Bronze Parquet file with rows."""
    return _parse(data, _STATS_COLUMNS)[1]


def parse_object(data: bytes) -> tuple[pa.Table, ObjectStats]:
    """Return the rows of an object's bytes, with all columns of Bronze, and their stats. Raises CorruptObject."""
    rows, stats = _parse(data, None)
    if set(rows.schema.names) != set(SCHEMA.names):
        raise CorruptObject(f"a Bronze object has the columns {', '.join(rows.schema.names)}; expected those of Bronze")
    try:
        rows = rows.select(SCHEMA.names).cast(SCHEMA)
        rows.validate(full=True)
    except (pa.ArrowException, ValueError) as broken:
        raise CorruptObject(f"{len(data)} bytes are not a Parquet file of Bronze: {broken}") from broken
    return rows, stats


def _parse(data: bytes, columns: list[str] | None) -> tuple[pa.Table, ObjectStats]:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        rows = file.read(columns, use_threads=False)
        coverage = (file.metadata.metadata or {}).get(COVERAGE_KEY.encode())
        numbers = pc.min_max(pc.utf8_lpad(rows["sequence_number"], SEQUENCE_DIGITS, "0"))
        changes = pc.min_max(rows["approximate_creation_time"])
    except (pa.ArrowException, KeyError, ValueError, OSError) as broken:
        raise CorruptObject(f"{len(data)} bytes are not a complete Parquet file of Bronze: {broken}") from broken
    if rows.num_rows == 0:
        raise CorruptObject("a Bronze object has no rows; capture writes none without")
    stats = ObjectStats(
        rows=rows.num_rows,
        first_sequence=numbers["min"].as_py(),
        last_sequence=numbers["max"].as_py(),
        oldest_change=changes["min"].as_py(),
        newest_change=changes["max"].as_py(),
        content_hash=hashlib.sha256(data).hexdigest(),
        coverage=ShardCoverage.from_json(coverage) if coverage is not None else None,
    )
    return rows, stats
