"""The contents of a snapshot: its manifests, and in them its live data files and position-delete files.

Belongs here: reading them. Does not belong here: writing a snapshot (commit), reading rows (files).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.damage import NOT_AVRO, unreadable_manifest
from medallion_assets.lake.file_io import Kept

T = TypeVar("T")

FORMAT_VERSION: Final = 2
"""The version of Iceberg's format that is read and written."""

_whole: Final[Kept[bool]] = Kept(100_000, size=lambda _: 1)
"""The manifests and manifest lists that this process has read, by location."""


def require_format(table: Table) -> None:
    """Raise SchemaMismatch if another writer made it a table of another version of Iceberg's format."""
    version = table.metadata.format_version
    if version != FORMAT_VERSION:
        raise SchemaMismatch(
            f"{'.'.join(table.name())} has version {version} of Iceberg's format, to which another writer changed it; "
            f"expected {FORMAT_VERSION}. Iceberg knows no way back: copy the table to a new one of version "
            f"{FORMAT_VERSION}, or drop it and run its days again."
        )


@dataclass(frozen=True)
class Contents:
    """A snapshot's manifests with their live entries."""

    manifests: list[tuple[ManifestFile, list[ManifestEntry]]]

    @classmethod
    def of(cls, table: Table, snapshot_id: int | None) -> Contents:
        """Read the manifests of a snapshot; None stands for the table before its first snapshot.

        Raises LakeDamaged for a manifest that cannot be read, and SchemaMismatch for what other writers may make and
        this package does not read: equality deletes (some streaming writers), deletion vectors (version 3 of the
        format), files that are not Parquet.
        """
        snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
        if snapshot is None:
            return cls([])
        manifests = read_manifest_list(table, snapshot)
        entries = ExecutorFactory.get_or_create().map(lambda one: _read_entries(table, snapshot, one), manifests)
        contents = cls(list(zip(manifests, entries, strict=True)))
        for file in (*contents.data_files(), *contents.delete_files()):
            if (foreign := _unreadable(file)) is not None:
                raise SchemaMismatch(
                    f"{'.'.join(table.name())} has {foreign} that another writer made ({file.file_path}). Expected "
                    "only Parquet files and position deletes. Set the table's write.format.default to parquet and "
                    "rewrite its files: in Spark rewrite_data_files with the options rewrite-all and "
                    "remove-dangling-deletes."
                )
        return contents

    def data_files(self) -> list[DataFile]:
        """Return the live data files."""
        return self._files(ManifestContent.DATA)

    def delete_files(self) -> list[DataFile]:
        """Return the live position-delete files."""
        return self._files(ManifestContent.DELETES)

    def _files(self, content: ManifestContent) -> list[DataFile]:
        return [e.data_file for manifest, entries in self.manifests if manifest.content is content for e in entries]


def read_manifest_list(table: Table, snapshot: Snapshot) -> list[ManifestFile]:
    """Return the manifests of a snapshot. Raises LakeDamaged, and what the table's `io` raises."""
    return _read(table, snapshot, snapshot.manifest_list, lambda: snapshot.manifests(table.io))


def require_readable(table: Table, snapshot: Snapshot, manifest: ManifestFile) -> None:
    """Check that a manifest of a snapshot can be read, once in this process: DuckDB ends the process if it cannot.

    Raises LakeDamaged, and what the table's `io` raises.
    """
    if _whole.get(manifest.manifest_path) is None:
        _read_entries(table, snapshot, manifest)


def _read_entries(table: Table, snapshot: Snapshot, manifest: ManifestFile) -> list[ManifestEntry]:
    return _read(table, snapshot, manifest.manifest_path, lambda: manifest.fetch_manifest_entry(table.io))


def _read(table: Table, snapshot: Snapshot, location: str, read: Callable[[], list[T]]) -> list[T]:
    try:
        _require_whole(table, location)
        found = read()
    except (FileNotFoundError, *NOT_AVRO) as broken:
        raise unreadable_manifest(table, snapshot, location) from broken
    _whole.keep(location, True)
    return found


def _require_whole(table: Table, location: str) -> None:
    """Check that a file is a whole Avro file, unless this process has read it before.

    pyiceberg's reader ends the process for some bytes that are none. An Avro file begins with four known bytes, and its
    last 16 bytes are a marker that its header has as well. Raises ValueError, and what the `io` raises.
    """
    if _whole.get(location) is not None:
        return
    with table.io.new_input(location).open() as stream:
        content = stream.read()
    if not content.startswith(b"Obj\x01") or content.find(content[-16:]) == len(content) - 16:
        raise ValueError(f"{location} is not a whole Avro file")


def _unreadable(file: DataFile) -> str | None:
    """Return what a file is, if this package cannot read it."""
    if file.content is DataFileContent.EQUALITY_DELETES:
        return "equality deletes"
    if file.file_format is FileFormat.PUFFIN:
        return "deletion vectors"
    if file.file_format is not FileFormat.PARQUET:
        return f"{file.file_format.value} files"
    return None
