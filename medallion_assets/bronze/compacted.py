"""A compacted copy: the rows of many Bronze objects of one table and capture day, in one Parquet file, in their order.

Belongs here: which objects share a copy, its name and its format. Does not belong here: when a reader may use it
(copies), when it is written (maintenance).

A copy is at `_compacted/<table>/<day>/<first>-<last>_<number>-of-<count>_<hash>.parquet` below the Bronze root, where
no listing of the table's objects sees it. `first` and `last` are the capture times of its first and last object. The
hash is of the names, sizes and tags of its objects, so it changes when one of them comes, goes or is written again. The
key-value metadata says of each object how many of the rows are its own, and what the ledger records of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import accumulate
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from medallion_assets.bronze.object_stats import ObjectStats, parse_object
from medallion_assets.bronze.schema import SCHEMA
from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.naming import TABLE_NAME
from medallion_assets.capture.store import Entry
from medallion_assets.errors import CorruptObject

FOLDER: Final = "_compacted"

MAX_BYTES: Final = 32 * 1024 * 1024
"""Size of the objects that share a copy. The copy is smaller: each object is compressed alone and has a footer."""

_ROW_GROUP_BYTES: Final = 8 * 1024 * 1024
_ORIGINALS_KEY: Final = b"medallion.originals"
_COMPRESSION_LEVEL: Final = 3
_REPEATING: Final = ["event_name", "table_name", "stream_arn", "captured_at"]

_PATH: Final = re.compile(
    rf"{FOLDER}/(?P<table>{TABLE_NAME})/year=(?P<year>\d{{4}})/month=(?P<month>\d{{2}})/day=(?P<day>\d{{2}})/"
    r"(?P<first>\d{8}T\d{12}Z)-(?P<last>\d{8}T\d{12}Z)_(?P<number>\d{5})-of-(?P<count>\d{5})_[0-9a-f]{16}\.parquet",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class CopyName:
    """The path of a copy and what it says. `first` and `last` are as in the names of objects; `number` begins at 1."""

    path: str
    day: date
    first: str
    last: str
    number: int
    count: int

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the parts of a path below the Bronze root; None for what is no copy."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        day = date(int(found["year"]), int(found["month"]), int(found["day"]))
        return cls(path, day, found["first"], found["last"], int(found["number"]), int(found["count"]))


def captured_text(name: str) -> str:
    """Return the capture time in the name of an object, as text that sorts by time."""
    return name.rpartition("/")[2].partition("_")[0]


def plan_copies(entries: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
    """Return the copies that the listed objects of one table and day get, by path: which objects share each.

    The same listing gives the same copies, so a writer that died is followed by one that writes what is missing.
    """
    groups: list[list[Entry]] = []
    size = MAX_BYTES
    for entry in entries:
        if size >= MAX_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += entry.bytes
    return {_path(group, number, len(groups)): group for number, group in enumerate(groups, 1)}


def encode(objects: Iterable[tuple[Entry, bytes]]) -> bytes:
    """Return the copy of these objects. Raises CorruptObject that names one that is not a complete Bronze object.

    Takes the memory of the copy, and of one row group of 8 MB.
    """
    out = io.BytesIO()
    originals: list[tuple[Entry, ObjectStats]] = []
    with pq.ParquetWriter(
        out,
        SCHEMA,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        use_dictionary=_REPEATING,
        write_page_checksum=True,
    ) as writer:
        gathered: list[pa.Table] = []
        gathered_bytes = 0
        for entry, data in objects:
            try:
                rows, stats = parse_object(data)
            except CorruptObject as broken:
                raise CorruptObject(f"{entry.path}: {broken}") from broken
            originals.append((entry, stats))
            gathered.append(rows)
            gathered_bytes += rows.nbytes
            if gathered_bytes >= _ROW_GROUP_BYTES:
                _write_row_group(writer, gathered)
                gathered, gathered_bytes = [], 0
        if gathered:
            _write_row_group(writer, gathered)
        writer.add_key_value_metadata({_ORIGINALS_KEY: _pack(originals)})
    return out.getvalue()


class CompactedCopy:
    """A copy that was read: the objects in it, and their rows."""

    def __init__(self, name: CopyName, data: bytes) -> None:
        """Check the copy against itself. Raises CorruptObject if it is not what `encode` writes for its name."""
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            self._originals = _unpack((self._file.metadata.metadata or {})[_ORIGINALS_KEY])
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, zlib.error, CorruptObject) as broken:
            raise _corrupt(name, f"it is no whole compacted copy ({type(broken).__name__}: {broken})") from broken
        entries = [entry for entry, _ in self._originals]
        if not entries or _path(entries, name.number, name.count) != name.path:
            raise _corrupt(name, "its objects are others than those that its name stands for")
        self._name = name
        self._index = {entry.path: number for number, entry in enumerate(entries)}
        self._starts = [0, *accumulate(stats.rows for _, stats in self._originals)]
        metadata = self._file.metadata
        self._group_ends = list(accumulate(metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)))
        if self._starts[-1] != metadata.num_rows or self._file.schema_arrow.names != SCHEMA.names:
            raise _corrupt(name, f"it has {metadata.num_rows} rows of {self._starts[-1]}, or other columns than Bronze")
        self._group: tuple[int, pa.Table] | None = None

    def stats(self, entry: Entry) -> ObjectStats | None:
        """Return what an object contained when it was copied; None if it is not in the copy as it is listed."""
        number = self._index.get(entry.path)
        if number is None or self._originals[number][0] != entry:
            return None
        return self._originals[number][1]

    def rows(self, entry: Entry) -> pa.Table | None:
        """Return an object's rows as it has them; None if it is not in the copy as it is listed.

        Objects are read in the order of the copy, or else a row group is read again. Raises CorruptObject.
        """
        if self.stats(entry) is None:
            return None
        number = self._index[entry.path]
        start, end = self._starts[number], self._starts[number + 1]
        at = next(at for at, group_end in enumerate(self._group_ends) if start < group_end)
        if self._group is None or self._group[0] != at:
            try:
                read = self._file.read_row_group(at, use_threads=False).select(SCHEMA.names).cast(SCHEMA)
            except (pa.ArrowException, OSError, ValueError) as broken:
                raise _corrupt(self._name, f"it cannot be read ({type(broken).__name__}: {broken})") from broken
            self._group = (at, read)
        before = self._group_ends[at - 1] if at else 0
        return self._group[1].slice(start - before, end - start)


def _write_row_group(writer: pq.ParquetWriter, parts: Sequence[pa.Table]) -> None:
    """Write whole objects as one row group."""
    rows = pa.concat_tables(parts)
    writer.write_table(rows, row_group_size=rows.num_rows)


def _path(entries: Sequence[Entry], number: int, count: int) -> str:
    digest = hashlib.sha256("\n".join(f"{one.path} {one.bytes} {one.tag}" for one in entries).encode())
    folder = entries[0].path.rpartition("/")[0]
    first, last = captured_text(entries[0].path), captured_text(entries[-1].path)
    return f"{FOLDER}/{folder}/{first}-{last}_{number:05d}-of-{count:05d}_{digest.hexdigest()[:16]}.parquet"


def _pack(originals: Sequence[tuple[Entry, ObjectStats]]) -> bytes:
    """Return the objects as ASCII: JSON of a list for each, compressed."""
    fields = [
        [
            entry.path,
            entry.bytes,
            entry.tag,
            stats.rows,
            stats.first_sequence,
            stats.last_sequence,
            stats.oldest_change.isoformat() if stats.oldest_change else None,
            stats.newest_change.isoformat() if stats.newest_change else None,
            stats.content_hash,
            asdict(stats.coverage) if stats.coverage else None,
        ]
        for entry, stats in originals
    ]
    return b85encode(zlib.compress(json.dumps(fields).encode()))


def _unpack(data: bytes) -> list[tuple[Entry, ObjectStats]]:
    found = []
    for path, size, tag, rows, first, last, oldest, newest, content, coverage in json.loads(
        zlib.decompress(b85decode(data))
    ):
        stats = ObjectStats(
            rows=rows,
            first_sequence=first,
            last_sequence=last,
            oldest_change=_time(oldest),
            newest_change=_time(newest),
            content_hash=content,
            coverage=ShardCoverage(**coverage) if coverage is not None else None,
        )
        found.append((Entry(path, size, tag), stats))
    return found


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _corrupt(name: CopyName, what: str) -> CorruptObject:
    return CorruptObject(
        f"Compacted copy {name.path} is not used, because {what}; its Bronze objects are read in its place. Remove it: "
        "the next maintenance writes it again."
    )
