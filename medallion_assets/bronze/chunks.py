"""Read Bronze objects into Arrow tables, in chunks of bounded size.

Belongs here: fetching objects in parallel, or from compacted copies, and checking that each is complete and has
Bronze's columns. Does not belong here: which objects are read (silver.batches), what their rows mean (silver.decode).

The bytes come through the store and not through DuckDB, for two reasons. Bronze objects are small and many, and sixteen
requests at a time hide the round trips. And the error for an object that cannot be read names the object, and differs
from the error for a store that does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from medallion_assets.bronze.copies import Copies
from medallion_assets.bronze.schema import SCHEMA
from medallion_assets.capture.envelope import BRONZE_COLUMNS
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

OBJECT: Final = "object"

# The columns that Silver and quarantine need; the others are not read.
_SCHEMA: Final = pa.schema([field for field in SCHEMA if field.name != "table_name"])

# A chunk is decoded at once. To decode 64 MB of rows takes about 300 MB, while the next 64 MB are read. The summary of
# a commit names its objects: 500 take about 60 KB. An object is at most one capture batch, so a chunk exceeds the
# limits by little.
MAX_OBJECTS: Final = 500
MAX_BYTES: Final = 32 * 1024 * 1024
_CONCURRENCY: Final = 16


@dataclass(frozen=True)
class Chunk:
    """Objects that were read together: their names, and their rows with the additional column `object`."""

    names: tuple[str, ...]
    rows: pa.Table


def read_chunks(store: BronzeStore, names: Sequence[str]) -> Iterator[Chunk]:
    """Read the objects in the given order; the next chunk is read while the caller works on one.

    Raises CorruptObject that names the object, after the chunks before it were yielded.
    """
    with ThreadPoolExecutor(_CONCURRENCY) as pool, ThreadPoolExecutor(1) as ahead:
        chunks = _chunks(store, names, pool)
        coming = ahead.submit(list, islice(chunks, 1))
        while ready := coming.result():
            coming = ahead.submit(list, islice(chunks, 1))
            yield ready.pop()  # the caller decides how long these rows stay in memory


def _chunks(store: BronzeStore, names: Sequence[str], pool: ThreadPoolExecutor) -> Iterator[Chunk]:
    taken: list[tuple[str, pa.Table]] = []
    taken_bytes = 0
    copies = Copies(store, names)
    for at in range(0, len(names), _CONCURRENCY):
        batch = names[at : at + _CONCURRENCY]
        found = {name: _of_object(name, rows) for name in batch if (rows := copies.rows(name)) is not None}
        others = [name for name in batch if name not in found]
        found |= zip(others, pool.map(lambda name: read_object(store, name), others), strict=True)
        taken += ((name, found[name]) for name in batch)
        taken_bytes += sum(rows.nbytes for _, rows in taken[-len(batch) :])
        if len(taken) + _CONCURRENCY > MAX_OBJECTS or taken_bytes >= MAX_BYTES:
            yield _chunk(taken)
            taken, taken_bytes = [], 0
    if taken:
        yield _chunk(taken)


def read_object(store: BronzeStore, name: str) -> pa.Table:
    """Return one object's rows with the column `object`. Raises CorruptObject, and what the store raises."""
    data = store.read(name)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if set(file.schema_arrow.names) != set(BRONZE_COLUMNS):
            raise _corrupt(
                store,
                name,
                f"has the columns {', '.join(file.schema_arrow.names)}; expected {', '.join(BRONZE_COLUMNS)}",
            )
        rows = file.read(columns=_SCHEMA.names, use_threads=False).select(_SCHEMA.names).cast(_SCHEMA)
        rows.validate(full=True)
    except (pa.ArrowException, ValueError, OSError) as broken:
        raise _corrupt(store, name, f"is not a whole Parquet file of Bronze ({len(data)} bytes: {broken})") from broken
    return _of_object(name, rows)


def _of_object(name: str, rows: pa.Table) -> pa.Table:
    """Return the columns that readers need of an object's rows, and the column `object`."""
    numbers = pa.repeat(pa.scalar(0, pa.int32()), rows.num_rows)
    objects = pa.DictionaryArray.from_arrays(numbers, pa.array([name], pa.string()))
    return rows.select(_SCHEMA.names).append_column(OBJECT, objects)


def require_json(rows: pa.Table, store: BronzeStore) -> None:
    """Check that every image is JSON. Raises CorruptObject that names the first object with one that is not."""
    for column in ("keys", "new_image", "old_image"):
        for name, image in zip(rows[OBJECT].to_pylist(), rows[column].to_pylist(), strict=True):
            try:
                orjson.loads(image or "null")
            except orjson.JSONDecodeError as broken:
                raise _corrupt(store, name, f"has a row whose {column} is not JSON ({broken})") from broken


def _corrupt(store: BronzeStore, name: str, what: str) -> CorruptObject:
    return CorruptObject(
        f"Bronze object {store.uri(name)} {what}. Nothing was skipped: restore the object from a replica or an older "
        "version, or move it out of the Bronze prefix after its changes were captured again. Then run the day again."
    )


def _chunk(taken: list[tuple[str, pa.Table]]) -> Chunk:
    return Chunk(tuple(name for name, _ in taken), pa.concat_tables([rows for _, rows in taken]))
