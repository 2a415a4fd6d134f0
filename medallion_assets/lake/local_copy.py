"""Copies of a snapshot's metadata on this machine, for DuckDB.

DuckDB's Iceberg reader fetches the metadata file, the manifest list and every manifest by itself, with a request or
two each. This process has them already, because it plans with them. So DuckDB gets copies: the metadata with one
snapshot, a manifest list that names copies of the manifests, and the manifests as they are. Data files stay where they
are.

Belongs here: these files. Does not belong here: the SQL that names them (catalog).
"""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile, write_manifest_list
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.lake.one_at_a_time import OneAtATime

KEPT: Final = 2000
"""Copies of snapshots in a folder. When it is full, a new one is begun and the one before it removed, so that a process
that runs for weeks keeps no more than two."""


class LocalCopies:
    """Folders of copies, made when the first one is asked for. Close it: that removes them."""

    def __init__(self) -> None:
        self._folder: _Folder | None = None
        self._before: _Folder | None = None
        self._lock = threading.Lock()
        self._copying = OneAtATime()

    def close(self) -> None:
        """Remove all copies."""
        with self._lock:
            self._begin_folder()
            self._begin_folder()

    def metadata(self, table: Table, snapshot: Snapshot) -> str:
        """Return the path of a metadata file whose only snapshot is this one. Raises what the table's `io` raises."""
        key = (table.metadata_location, snapshot.snapshot_id)
        with self._copying.alone(key):
            with self._lock:
                if self._folder is not None and key not in self._folder.known and len(self._folder.known) >= KEPT:
                    self._begin_folder()
                if self._folder is None:
                    self._folder = _Folder()
                folder = self._folder
            if key not in folder.known:
                folder.known[key] = folder.copy(table, snapshot)
            return folder.known[key]

    def _begin_folder(self) -> None:
        if self._before is not None:
            self._before.remove()
        self._before, self._folder = self._folder, None


class _Folder:
    """A temporary folder of copies. `known` has their paths by metadata location and snapshot. Threads may share it."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], str] = {}
        self._folder = TemporaryDirectory(prefix="medallion-lake-")
        self._manifests: dict[str, str] = {}

    def remove(self) -> None:
        """Remove the folder with all copies."""
        self._folder.cleanup()

    def copy(self, table: Table, snapshot: Snapshot) -> str:
        """Copy a snapshot; return the path of its metadata."""
        folder = Path(self._folder.name)
        manifests = snapshot.manifests(table.io)
        new = [one.manifest_path for one in manifests if one.manifest_path not in self._manifests]

        def copy(location: str) -> str:
            # A name of its own, because another thread may copy the same manifest for another snapshot.
            path = folder / f"{uuid.uuid4()}.avro"
            with table.io.new_input(location).open() as stream:
                path.write_bytes(stream.read())
            return str(path)

        self._manifests |= zip(new, ExecutorFactory.get_or_create().map(copy, new), strict=True)
        manifest_list = str(folder / f"{uuid.uuid4()}.avro")
        with write_manifest_list(
            format_version=2,
            output_file=PyArrowFileIO().new_output(manifest_list),
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number,
            avro_compression="null",
        ) as writer:
            writer.add_manifests([_moved(one, self._manifests[one.manifest_path]) for one in manifests])
        metadata = table.metadata.model_copy(
            update={
                "current_snapshot_id": snapshot.snapshot_id,
                "snapshots": [snapshot.model_copy(update={"manifest_list": manifest_list})],
                "refs": {},
                "snapshot_log": [],
                "metadata_log": [],
                "statistics": [],
            }
        )
        path = folder / f"{uuid.uuid4()}.metadata.json"
        path.write_text(metadata.model_dump_json(exclude_none=True), encoding="utf-8")
        return str(path)


def _moved(manifest: ManifestFile, path: str) -> ManifestFile:
    """Return the entry of a manifest list for a manifest that lies at `path`."""
    moved = ManifestFile(*(manifest[position] for position in range(len(manifest))))
    moved[0] = path
    return moved
