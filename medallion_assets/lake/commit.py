"""Make a snapshot of written files, with pyiceberg's manifest classes, and commit to the catalog.

pyiceberg 0.12 writes no delete manifests, and it repeats a commit that lost a race on top of the winner, which would be
wrong for position deletes: they point into files that may be gone. So this module builds the snapshot itself, and a
lost race is a CommitConflict. Belongs here: manifests, snapshots, one catalog commit. Does not belong here: which files
a change adds and removes (merge, replace, maintenance), when a snapshot is committed (publish).
"""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotSummaryCollector, Summary, update_snapshot_summaries
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
    update_table_metadata,
)

from medallion_assets.errors import CommitConflict
from medallion_assets.lake.outage import ANSWER_LOST
from medallion_assets.lake.snapshot import FORMAT_VERSION, Contents, require_format
from medallion_assets.telemetry.spans import span

log = logging.getLogger(__name__)

# Every query and every merge reads all manifests. Once there are this many small ones, the next commit merges them.
SMALL_MANIFESTS, SMALL_MANIFEST_ENTRIES = 12, 500

COMPRESSION: Literal["deflate"] = "deflate"  # Iceberg's default for manifests


@dataclass(frozen=True)
class Staged:
    """A snapshot whose files are written and which the catalog does not know yet, or nothing to write.

    - `base_snapshot_id`: main when it was planned; None for a table without a snapshot
    - `snapshot`: the staged snapshot; None if there was nothing to write
    - `files`: the locations of all files that were written for it
    - `inserted`, `updated`: rows with a new key, and rows that replace one
    - `removed`: rows of the table that are removed
    - `superseded`: rows and removals that lost, because the table has a newer row of their key
    - `unchanged`: rows that are in the table already
    - `removals`: the removals that did not lose, whether or not the table had a row to remove
    - `matched`: the positions of the base's rows with an incoming key (row, file_path, pos); `row` counts the incoming
      rows first and `removals` after them. None if nobody looked
    - `more_rows`: how many rows more than the base the snapshot has
    """

    table_id: str
    base_snapshot_id: int | None
    snapshot: Snapshot | None = None
    files: tuple[str, ...] = ()
    inserted: int = 0
    updated: int = 0
    removed: int = 0
    superseded: int = 0
    unchanged: int = 0
    removals: pa.Table | None = None
    matched: pa.Table | None = None
    more_rows: int = 0

    @property
    def changed(self) -> bool:
        """Whether publishing moves main."""
        return self.snapshot is not None

    @property
    def snapshot_id(self) -> int | None:
        """What main will be once this is published."""
        return self.base_snapshot_id if self.snapshot is None else self.snapshot.snapshot_id

    def applied_to(self, table: Table) -> Table:
        """Return `table` with this snapshot as main, for the audit. Only this process can read it."""
        if self.snapshot is None:
            return table
        metadata = update_table_metadata(table.metadata, make_main(self.snapshot))
        return Table(table.name(), metadata, table.metadata_location, table.io, table.catalog)


def stage_snapshot(
    table: Table,
    base: Contents,
    *,
    operation: Operation,
    added: Collection[DataFile],
    removed: Collection[DataFile] = (),
    properties: Mapping[str, str] = {},
    replaces: bool = False,
) -> Staged:
    """Write the manifests of one snapshot on top of main, and return it. Its counts are zero.

    `base` is the contents of main. `added` has data files and position-delete files, `removed` files that are live in
    `base`. A snapshot that `replaces` the table has no parent, and `base` is empty. Raises SchemaMismatch if another
    writer made it a table of another version of Iceberg's format.
    """
    metadata = table.metadata
    require_format(table)
    main = metadata.current_snapshot_id
    snapshot_id = metadata.new_snapshot_id()
    sequence_number = metadata.next_sequence_number()
    manifests = _Manifests(table, snapshot_id).write(base, added, {file.file_path for file in removed})
    manifest_list = table.location_provider().new_metadata_location(f"snap-{snapshot_id}-0-{uuid.uuid4()}.avro")
    with write_manifest_list(
        format_version=FORMAT_VERSION,
        output_file=table.io.new_output(manifest_list),
        snapshot_id=snapshot_id,
        parent_snapshot_id=None if replaces else main,
        sequence_number=sequence_number,
        avro_compression=COMPRESSION,
    ) as writer:
        writer.add_manifests(manifests)
    snapshot = Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=None if replaces else main,
        sequence_number=sequence_number,
        manifest_list=manifest_list,
        summary=_summary(
            table,
            operation,
            parent=None if replaces else main,
            added=added,
            removed=removed,
            properties=properties,
        ),
        schema_id=metadata.current_schema_id,
    )
    written = [one.manifest_path for one in manifests if one.added_snapshot_id == snapshot_id]
    files = (*(file.file_path for file in added), *written, manifest_list)
    return Staged(".".join(table.name()), main, snapshot, files)


def stage_unchanged(table: Table, *, properties: Mapping[str, str] = {}) -> Staged:
    """Stage a snapshot with the contents of main.

    Publishing it changes no row, but every commit that was planned on main before is then a conflict. Raises as
    stage_snapshot does.
    """
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    return stage_snapshot(table, contents, operation=Operation.APPEND, added=[], properties=properties)


def make_main(snapshot: Snapshot) -> tuple[TableUpdate, ...]:
    """Return the updates that add a staged snapshot to a table and make it main, at the time of now."""
    published = snapshot.model_copy(update={"timestamp_ms": int(time.time() * 1000)})
    return (
        AddSnapshotUpdate(snapshot=published),
        SetSnapshotRefUpdate(
            ref_name=MAIN_BRANCH,
            type=SnapshotRefType.BRANCH,
            snapshot_id=snapshot.snapshot_id,
            max_ref_age_ms=None,
            max_snapshot_age_ms=None,
            min_snapshots_to_keep=None,
        ),
    )


def commit(
    table: Table,
    updates: tuple[TableUpdate, ...],
    *,
    expected_main: int | None,
    landed: Callable[[TableMetadata], bool],
    further: tuple[TableRequirement, ...] = (),
) -> None:
    """Make one catalog commit on condition that main is still `expected_main`. `table` is up to date afterwards.

    `further` are more conditions.

    If the catalog's answer is lost, `landed` decides from the table's new metadata whether the commit is in. Raises
    CommitConflict if another writer was first, and what the catalog raises.
    """
    with span("commit", table=".".join(table.name())):
        _commit(table, updates, expected_main=expected_main, landed=landed, further=further)


def _commit(
    table: Table,
    updates: tuple[TableUpdate, ...],
    *,
    expected_main: int | None,
    landed: Callable[[TableMetadata], bool],
    further: tuple[TableRequirement, ...],
) -> None:
    planned = table.last_sequence_number
    requirements: tuple[TableRequirement, ...] = (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=expected_main),
        *further,
    )
    try:
        table._do_commit(updates, requirements)
    except (CommitFailedException, ValueError) as refused:
        # If an answer is lost, the client repeats its request. It is refused, because the first one was successful.
        table.refresh()
        if landed(table.metadata):
            return
        # pyiceberg raises a plain ValueError if another commit took the sequence number meanwhile.
        if isinstance(refused, CommitFailedException) or table.last_sequence_number != planned:
            raise CommitConflict(
                f"{'.'.join(table.name())} was changed by another writer ({refused}). Read it again and try again."
            ) from refused
        raise
    except ANSWER_LOST:
        table.refresh()
        if not landed(table.metadata):
            raise
        log.warning(
            "the catalog's answer to a commit on %s was lost; the commit is in the table", ".".join(table.name())
        )


class _DeleteManifestWriter(ManifestWriterV2):
    """Writes a manifest of position-delete files. pyiceberg has only the writer for data files."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Manifests:
    """Writes the manifests of one new snapshot."""

    def __init__(self, table: Table, snapshot_id: int) -> None:
        self._table = table
        self._snapshot_id = snapshot_id
        self._names = (f"{uuid.uuid4()}-m{number}.avro" for number in itertools.count())

    def write(self, base: Contents, added: Collection[DataFile], removed: Collection[str]) -> list[ManifestFile]:
        """Return all manifests of the new snapshot.

        New ones list the added files, rewritten ones leave out the removed files, and the others are taken over.
        """
        rewritten: dict[tuple[ManifestContent, int], list[ManifestEntry]] = defaultdict(list)
        for file in added:
            content = ManifestContent.DATA if file.content is DataFileContent.DATA else ManifestContent.DELETES
            rewritten[content, file.spec_id].append(
                ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=file)
            )
        kept = []
        small: dict[tuple[ManifestContent, int], list[tuple[ManifestFile, list[ManifestEntry]]]] = defaultdict(list)
        for manifest, entries in base.manifests:
            kind = (manifest.content, manifest.partition_spec_id)
            if any(entry.data_file.file_path in removed for entry in entries):
                rewritten[kind] += _carried(entries, removed)
            elif len(entries) < SMALL_MANIFEST_ENTRIES:
                small[kind].append((manifest, entries))
            else:
                kept.append(manifest)
        for kind, manifests in small.items():
            if len(manifests) >= SMALL_MANIFESTS:
                for _, entries in manifests:
                    rewritten[kind] += _carried(entries, removed)
            else:
                kept += [manifest for manifest, entries in manifests if entries]
        return [self._manifest(content, spec_id, entries) for (content, spec_id), entries in rewritten.items()] + kept

    def _manifest(self, content: ManifestContent, spec_id: int, entries: list[ManifestEntry]) -> ManifestFile:
        kind = ManifestWriterV2 if content is ManifestContent.DATA else _DeleteManifestWriter
        path = self._table.location_provider().new_metadata_location(next(self._names))
        writer: ManifestWriter = kind(
            self._table.specs()[spec_id],
            self._table.schema(),
            self._table.io.new_output(path),
            self._snapshot_id,
            COMPRESSION,
        )
        with writer:
            for entry in entries:
                if entry.status is ManifestEntryStatus.ADDED:
                    writer.add(entry)
                elif entry.status is ManifestEntryStatus.DELETED:
                    writer.delete(entry)
                else:
                    writer.existing(entry)
        return writer.to_manifest_file()


def _carried(entries: list[ManifestEntry], removed: Collection[str]) -> list[ManifestEntry]:
    """Return entries of an older manifest for a new one; they keep their sequence numbers."""
    return [
        ManifestEntry.from_args(
            status=ManifestEntryStatus.DELETED
            if entry.data_file.file_path in removed
            else ManifestEntryStatus.EXISTING,
            snapshot_id=entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )
        for entry in entries
    ]


def _summary(
    table: Table,
    operation: Operation,
    *,
    parent: int | None,
    added: Collection[DataFile],
    removed: Collection[DataFile],
    properties: Mapping[str, str],
) -> Summary:
    collector = SnapshotSummaryCollector()
    for file in added:
        collector.add_file(file, table.schema(), table.specs()[file.spec_id])
    for file in removed:
        collector.remove_file(file, table.schema(), table.specs()[file.spec_id])
    main = table.snapshot_by_id(parent) if parent is not None else None
    # pyiceberg computes totals only for an overwrite. The sums of a replace are the same.
    summed = update_snapshot_summaries(
        Summary(Operation.OVERWRITE, **collector.build(), **properties),
        cast(Mapping[str, str] | None, main.summary if main else None),
    )
    return Summary(operation, **summed.additional_properties)
