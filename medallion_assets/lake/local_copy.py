"""Copies of a snapshot's metadata on this machine, for DuckDB.

DuckDB's Iceberg reader fetches the metadata file, the manifest list and every manifest by itself, with a request or
two each. This process has them already, because it plans with them. So DuckDB gets copies: the metadata with one
snapshot, a manifest list that names copies of the manifests, and the manifests as they are. Data files stay where they
are.

DuckDB ends the process when a manifest is gone or garbage. So a manifest is read before it is copied. What cleans a
machine's temporary folder may take copies away: those of a snapshot are looked at before DuckDB gets them, and written
again.

Belongs here: these files. Does not belong here: the SQL that names them (catalog).
"""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile, write_manifest_list
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.lake.one_at_a_time import OneAtATime
from medallion_assets.lake.snapshot import FORMAT_VERSION, read_manifest_list, require_format, require_readable

KEPT: Final = 2000
"""Copies of snapshots in a folder. When it is full, a new one is begun and the one before it removed, so that a process
that runs for weeks keeps no more than two."""


class LocalCopies:
    """Folders of copies, made when the first one is asked for. Close it: that removes them."""

    def __init__(self) -> None:
        self._root: TemporaryDirectory[str] | None = None
        self._folder: _Folder | None = None
        self._before: _Folder | None = None
        self._lock = threading.Lock()
        self._copying = OneAtATime()

    def close(self) -> None:
        """Remove all copies."""
        with self._lock:
            self._begin_folder()
            self._begin_folder()
            if self._root is not None:
                self._root.cleanup()
                self._root = None

    @property
    def root(self) -> str:
        """The directory that all copies are in."""
        with self._lock:
            return self._open_root()

    def metadata(self, table: Table, snapshot: Snapshot) -> str:
        """Return the path of a metadata file whose only snapshot is this one.

        Raises SchemaMismatch for a table of another version of Iceberg's format, and what the table's `io` raises.
        """
        require_format(table)
        key = (table.metadata_location, snapshot.snapshot_id)
        with self._copying.alone(key):
            with self._lock:
                if self._folder is not None and key not in self._folder.known and len(self._folder.known) >= KEPT:
                    self._begin_folder()
                if self._folder is None:
                    self._folder = _Folder(self._open_root())
                folder = self._folder
            if not all(copy.is_whole for copy in folder.known.get(key, [_NONE])):
                folder.known[key] = folder.copy(table, snapshot)
            return str(folder.known[key][0].path)

    def _open_root(self) -> str:
        if self._root is None:
            self._root = TemporaryDirectory(prefix="medallion-lake-")
        Path(self._root.name).mkdir(exist_ok=True)
        return self._root.name

    def _begin_folder(self) -> None:
        if self._before is not None:
            self._before.remove()
        self._before, self._folder = self._folder, None


class _Copy(NamedTuple):
    """A file on this machine, with its size in bytes."""

    path: Path
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether the file is there with its size."""
        try:
            return self.path.stat().st_size == self.size
        except FileNotFoundError:
            return False


_NONE: Final = _Copy(Path("/nonexistent"), 0)


class _Folder:
    """A temporary folder of copies. Threads may share it.

    `known` has them by metadata location and snapshot: the metadata, the manifest list, then the manifests.
    """

    def __init__(self, root: str) -> None:
        self.known: dict[tuple[str, int], list[_Copy]] = {}
        self._folder = TemporaryDirectory(dir=root)
        self._manifests: dict[str, _Copy] = {}

    def remove(self) -> None:
        """Remove the folder with all copies."""
        self._folder.cleanup()

    def copy(self, table: Table, snapshot: Snapshot) -> list[_Copy]:
        """Copy a snapshot, but for manifests that are there already; return its files as `known` has them."""
        folder = Path(self._folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        manifests = read_manifest_list(table, snapshot)
        new = [one for one in manifests if not self._manifests.get(one.manifest_path, _NONE).is_whole]

        def copy(manifest: ManifestFile) -> _Copy:
            require_readable(table, snapshot, manifest)
            with table.io.new_input(manifest.manifest_path).open() as stream:
                # A name of its own, because another thread may copy the same manifest for another snapshot.
                return _written(folder / f"{uuid.uuid4()}.avro", stream.read())

        copied = zip(new, ExecutorFactory.get_or_create().map(copy, new), strict=True)
        self._manifests |= {manifest.manifest_path: made for manifest, made in copied}
        copies = [self._manifests[one.manifest_path] for one in manifests]
        manifest_list = folder / f"{uuid.uuid4()}.avro"
        with write_manifest_list(
            format_version=FORMAT_VERSION,
            output_file=PyArrowFileIO().new_output(str(manifest_list)),
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number,
            avro_compression="null",
        ) as writer:
            writer.add_manifests([_moved(one, str(at.path)) for one, at in zip(manifests, copies, strict=True)])
        metadata = table.metadata.model_copy(
            update={
                "current_snapshot_id": snapshot.snapshot_id,
                "snapshots": [snapshot.model_copy(update={"manifest_list": str(manifest_list)})],
                "refs": {},
                "snapshot_log": [],
                "metadata_log": [],
                "statistics": [],
            }
        )
        text = metadata.model_dump_json(exclude_none=True).encode()
        written = _written(folder / f"{uuid.uuid4()}.metadata.json", text)
        return [written, _Copy(manifest_list, manifest_list.stat().st_size), *copies]


def _written(path: Path, content: bytes) -> _Copy:
    path.write_bytes(content)
    return _Copy(path, len(content))


def _moved(manifest: ManifestFile, path: str) -> ManifestFile:
    """Return the entry of a manifest list for a manifest that lies at `path`."""
    moved = ManifestFile(*(manifest[position] for position in range(len(manifest))))
    moved[0] = path
    return moved
