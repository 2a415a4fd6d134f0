"""Name a file of a table that is gone or cannot be read: since which snapshot it was there, and what to do.

The libraries that miss a file name it at best. What it was, and when it came, is in the metadata that this process read
of the table before, so that is remembered. Belongs here: the sentence. Does not belong here: which exception means that
a file is gone (outage).
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError as PydanticValidationError
from pyiceberg.exceptions import NoSuchPropertyException, ValidationError
from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.errors import LakeDamaged
from medallion_assets.lake.file_io import Kept

NOT_METADATA: Final = (UnicodeDecodeError, PydanticValidationError, ValidationError, NoSuchPropertyException)
"""What pyiceberg raises for a file that is not the JSON of a table, and for an entry of the catalog without a file."""

NOT_AVRO: Final = (
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    OverflowError,
    RuntimeError,
    SystemError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What pyiceberg's reader of Avro raises for bytes that are not Avro."""

_UNREADABLE: Final = (OSError, *NOT_METADATA, *NOT_AVRO)

_FILE: Final = re.compile(
    r"[^\s\"'(]*/(?P<namespace>silver|deleted|history|quarantine|gold|ops)/(?P<table>\w+)/(?:data|metadata)/[^\s\"'?)]+"
)

_seen: Final[Kept[Table]] = Kept(300, size=lambda _: 1)
"""The tables that this process has loaded last, by the path of their folder."""


def remember_table(table: Table) -> None:
    """Remember a table, so that a file of it that is missed later can be explained."""
    _seen.keep(_path(table.location()), table)


def missing_file(text: str) -> LakeDamaged:
    """Return the error for an exception's text, which names the file that is gone or cannot be read."""
    found = _FILE.search(text) or _FILE.search(_find_damaged() or "")
    if found is None:
        return LakeDamaged(
            f"A table of the lake needs a file that is gone or cannot be read ({text}). Restore it from an older "
            'version of the bucket: docs/runbook.md, "A file of the lake is gone".'
        )
    location = found.group().rstrip(".,;:")
    table = next((one for folder, one in _seen.items() if folder in location), None)
    since = _since(table, location) if table is not None else None
    return _damaged(
        f"{found['namespace']}.{found['table']}", location, since or "It is not known since when it is there"
    )


def unreadable_metadata(name: str, location: str | None, before: TableMetadata | None) -> LakeDamaged:
    """Return the error for the metadata of a table, which its entry in the catalog says is at `location`.

    `before` is the metadata that was current before; None if there is none, or if it is gone as well.
    """
    if location is None:
        return _damaged(name, "none: its entry in the catalog names no metadata", "")
    last = before.snapshot_by_id(before.current_snapshot_id) if before and before.current_snapshot_id else None
    since = f"It was committed after {_told(last)}" if last else "No metadata from before it is left"
    return _damaged(name, location, since)


def unreadable_manifest(table: Table, snapshot: Snapshot, location: str) -> LakeDamaged:
    """Return the error for a manifest, or the manifest list, of a snapshot."""
    return _damaged(".".join(table.name()), location, _since(table, location) or f"It is of {_told(snapshot)}")


def read_metadata(table_io: object, location: str | None) -> TableMetadata | None:
    """Return the metadata in a file; None if it is gone or cannot be read. `table_io` is a FileIO of pyiceberg."""
    if location is None:
        return None
    try:
        return FromInputFile.table_metadata(table_io.new_input(location))  # type: ignore[attr-defined]
    except _UNREADABLE:
        return None


def _damaged(name: str, location: str, since: str) -> LakeDamaged:
    return LakeDamaged(
        f"{name} lacks a file, or it cannot be read: {_kind(location)} {location}. {since}{'. ' if since else ''}"
        f"Restore it from an older version of the bucket, or rebuild the table with `medallion rebuild {name}`: "
        'docs/runbook.md, "A file of the lake is gone".'
    )


def _kind(location: str) -> str:
    name = location.rpartition("/")[2]
    if name.endswith(".metadata.json"):
        return "the metadata file"
    if name.endswith(".avro"):
        return "the manifest list" if name.startswith("snap-") else "the manifest"
    if name.endswith(".parquet"):
        return "the delete file" if name.endswith("-deletes.parquet") else "the data file"
    return "the file"


def _find_damaged() -> str | None:
    """Return a file that is gone, or whose size is not that in its manifest, of the tables seen last; None if none is.

    For an error that names no file. Asks for the size of every file, so it is slow, but only then.
    """

    def is_damaged(entry: ManifestEntry, table: Table) -> bool:
        try:
            return len(table.io.new_input(entry.data_file.file_path)) != entry.data_file.file_size_in_bytes
        except FileNotFoundError:
            return True

    for _, table in reversed(_seen.items()):
        for manifest in _manifests(table, {table.metadata.current_snapshot_id or 0}):
            entries = _entries(table, manifest)
            found = ExecutorFactory.get_or_create().map(is_damaged, entries, itertools.repeat(table))
            for entry, damaged in zip(entries, found, strict=True):
                if damaged:
                    return entry.data_file.file_path
    return None


def _since(table: Table, location: str) -> str | None:
    """Return since when a file is part of a table, as a sentence; None if no snapshot that can be read has it."""
    snapshots = table.metadata.snapshots
    for snapshot in snapshots:
        if _same(snapshot.manifest_list, location):
            return f"It has been part of the table since {_told(snapshot)}"
    added = _added_by(table, location)
    if added is None:
        return None
    known = table.snapshot_by_id(added)
    if known is not None:
        return f"It has been part of the table since {_told(known)}"
    oldest = min(snapshots, key=lambda one: one.timestamp_ms)
    return f"It has been part of the table since snapshot {added}, which is older than {_told(oldest)}"


def _added_by(table: Table, location: str) -> int | None:
    """Return the snapshot that added a manifest, a data file or a delete file."""
    known = {ref.snapshot_id for ref in table.metadata.refs.values()}
    for manifest in _manifests(table, known):
        if _same(manifest.manifest_path, location):
            return manifest.added_snapshot_id
        if location.endswith(".parquet"):
            for entry in _entries(table, manifest):
                if _same(entry.data_file.file_path, location):
                    return entry.snapshot_id
    return None


def _entries(table: Table, manifest: ManifestFile) -> list[ManifestEntry]:
    """Return the live files of a manifest; none if it cannot be read."""
    try:
        return manifest.fetch_manifest_entry(table.io)
    except _UNREADABLE:
        return []


def _manifests(table: Table, snapshot_ids: set[int]) -> Iterator[ManifestFile]:
    for snapshot in filter(None, map(table.snapshot_by_id, snapshot_ids)):
        try:
            yield from snapshot.manifests(table.io)
        except _UNREADABLE:
            continue


def _told(snapshot: Snapshot) -> str:
    at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    return f"snapshot {snapshot.snapshot_id} of {at:%Y-%m-%d %H:%M:%S} UTC"


def _same(location: str, other: str) -> bool:
    # A library may name a file by another scheme, or by its address on the network. Its name is unique.
    return location.rpartition("/")[2] == other.rpartition("/")[2]


def _path(location: str) -> str:
    """Return a location without scheme, and on S3 without the bucket, which an address has elsewhere."""
    scheme, _, path = location.rpartition("://")
    return "/" + path.partition("/")[2].strip("/") + "/" if scheme.startswith("s3") else path.rstrip("/") + "/"
