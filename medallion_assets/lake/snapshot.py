"""The contents of a snapshot: its manifests, and in them its live data files and position-delete files.

Belongs here: reading them. Does not belong here: writing a snapshot (commit), reading rows (files).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.outage import damaged

# What pyiceberg's reader of Avro raises for bytes that are not Avro.
_NOT_AVRO = (ValueError, EOFError, TypeError, LookupError, OverflowError, RuntimeError)


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
        try:
            manifests = snapshot.manifests(table.io)
            entries = ExecutorFactory.get_or_create().map(lambda one: one.fetch_manifest_entry(table.io), manifests)
            contents = cls(list(zip(manifests, entries, strict=True)))
        except _NOT_AVRO as broken:
            written_at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
            raise damaged(
                f"a manifest of {'.'.join(table.name())}, snapshot {snapshot_id} of {written_at:%Y-%m-%d %H:%M:%S} UTC"
            ) from broken
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


def _unreadable(file: DataFile) -> str | None:
    """Return what a file is, if this package cannot read it."""
    if file.content is DataFileContent.EQUALITY_DELETES:
        return "equality deletes"
    if file.file_format is FileFormat.PUFFIN:
        return "deletion vectors"
    if file.file_format is not FileFormat.PARQUET:
        return f"{file.file_format.value} files"
    return None
