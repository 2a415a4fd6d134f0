"""The contents of a snapshot: its manifests, and in them its live data files and position-delete files.

Belongs here: reading them. Does not belong here: writing a snapshot (commit), reading rows (files).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.manifest import DataFile, DataFileContent, ManifestContent, ManifestEntry, ManifestFile
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

        Raises LakeDamaged for a manifest that cannot be read, and SchemaMismatch for equality deletes, which some
        streaming writers make and this package does not.
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
        for file in contents.delete_files():
            if file.content is not DataFileContent.POSITION_DELETES:
                raise SchemaMismatch(
                    f"{'.'.join(table.name())} has equality deletes that another writer made ({file.file_path}). "
                    "Compact the table with the engine that wrote them."
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
