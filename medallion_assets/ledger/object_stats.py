"""What a Bronze object contains: row count, sequence range, shard coverage and hash, from its bytes.

Belongs here: reading objects for the ledger. Does not belong here: what their rows mean (silver).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion_assets.capture.coverage import COVERAGE_KEY, ShardCoverage
from medallion_assets.capture.sequence import SEQUENCE_DIGITS
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

_CONCURRENCY: Final = 16


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


def read_stats(store: BronzeStore, names: Iterable[str]) -> dict[str, ObjectStats | None]:
    """Return the stats of objects by name, read concurrently; None for one that is gone or not a complete object.

    Raises what the store raises when it does not answer.
    """
    listed = list(names)
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return dict(zip(listed, pool.map(lambda name: _read(store, name), listed), strict=True))


def _read(store: BronzeStore, name: str) -> ObjectStats | None:
    try:
        return parse_stats(store.read(name))
    except CorruptObject:
        return None


def parse_stats(data: bytes) -> ObjectStats:
    """Return the stats of an object's bytes. Raises CorruptObject for anything but a Bronze Parquet file with rows."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        rows = file.read(["sequence_number", "approximate_creation_time"], use_threads=False)
        coverage = (file.metadata.metadata or {}).get(COVERAGE_KEY.encode())
        numbers = pc.min_max(pc.utf8_lpad(rows["sequence_number"], SEQUENCE_DIGITS, "0"))
        changes = pc.min_max(rows["approximate_creation_time"])
    except (pa.ArrowException, KeyError, ValueError, OSError) as broken:
        raise CorruptObject(f"{len(data)} bytes are not a complete Parquet file of Bronze: {broken}") from broken
    if rows.num_rows == 0:
        raise CorruptObject("a Bronze object has no rows; capture writes none without")
    return ObjectStats(
        rows=rows.num_rows,
        first_sequence=numbers["min"].as_py(),
        last_sequence=numbers["max"].as_py(),
        oldest_change=changes["min"].as_py(),
        newest_change=changes["max"].as_py(),
        content_hash=hashlib.sha256(data).hexdigest(),
        coverage=ShardCoverage.from_json(coverage) if coverage is not None else None,
    )
