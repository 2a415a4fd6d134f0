"""What a Bronze object is: its count, its range, its coverage and its hash, from its bytes.

Belongs here: reading objects for what the ledger records. Does not belong here: what their rows mean (silver).
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
    """One object. Sequence numbers are padded; times are aware UTC, None where no row tells one."""

    rows: int
    first_sequence: str
    last_sequence: str
    oldest_change: datetime | None
    newest_change: datetime | None
    content_hash: str
    coverage: ShardCoverage | None


def read_stats(store: BronzeStore, names: Iterable[str]) -> dict[str, ObjectStats | None]:
    """The facts of objects by name, read side by side; None for one that is gone or no whole object of Bronze.

    Raises what the store raises when it does not answer.
    """
    listed = list(names)
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return dict(zip(listed, pool.map(lambda name: _facts(store, name), listed), strict=True))


def _facts(store: BronzeStore, name: str) -> ObjectStats | None:
    try:
        return parse(store.read(name))
    except CorruptObject:
        return None


def parse(data: bytes) -> ObjectStats:
    """The facts of an object's bytes. Raises CorruptObject when they are no Parquet file of Bronze with rows."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        rows = file.read(["sequence_number", "approximate_creation_time"], use_threads=False)
        coverage = (file.metadata.metadata or {}).get(COVERAGE_KEY.encode())
        numbers = pc.min_max(pc.utf8_lpad(rows["sequence_number"], SEQUENCE_DIGITS, "0"))
        changes = pc.min_max(rows["approximate_creation_time"])
    except (pa.ArrowException, KeyError, ValueError, OSError) as broken:
        raise CorruptObject(f"no whole Parquet file of Bronze ({len(data)} bytes: {broken})") from broken
    if rows.num_rows == 0:
        raise CorruptObject("a Bronze object without rows")
    return ObjectStats(
        rows=rows.num_rows,
        first_sequence=numbers["min"].as_py(),
        last_sequence=numbers["max"].as_py(),
        oldest_change=changes["min"].as_py(),
        newest_change=changes["max"].as_py(),
        content_hash=hashlib.sha256(data).hexdigest(),
        coverage=ShardCoverage.from_json(coverage) if coverage is not None else None,
    )
