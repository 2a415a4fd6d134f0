"""Maintenance of one table: compaction, expiry of snapshots, and removal of what dead writers left. No row changes.

Belongs here: what happens to one table. Does not belong here: which tables, when, and which snapshots are still needed
(maintenance).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

import duckdb
import pyarrow as pa
from pyarrow.fs import FileSelector, FileType
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import REMOVED_FILE_SIZE, Operation, Snapshot, ancestors_of
from pyiceberg.table.update import RemoveSnapshotsUpdate
from pyiceberg.typedef import Record

from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, commit, stage_snapshot
from medallion_assets.lake.file_io import delete_files
from medallion_assets.lake.files import AT, at_sql, deleted_counts, deletes_sql, rows_sql
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data, write_deletes

log = logging.getLogger(__name__)

# A scan opens every file, and so does a merge whose keys are spread: more often makes both cheaper, and costs more
# commits. With these two a partition has fewer than 20 files between two compactions.
COMMITS_BETWEEN = 8
# This many files of about one size are folded into one, so that a row is rewritten once per size and not with every
# compaction. All files below the smallest size are one class; a file of the largest size or more stays.
FOLD_FILES, SMALLEST_BYTES, LARGEST_BYTES = 4, 64 * 1024, 16 * 1024 * 1024
# A file is rewritten when more than this share of its rows is deleted, because every reader reads them in vain.
DELETED_SHARE = 0.2
# It is rewritten from this share on, with the smaller files of its partition and up to the largest size, while what was
# replaced and is still stored is less than this part of the live files: each partition in its turn.
EARLY_SHARE, REPLACED_PART = 0.02, 0.2
# One compaction writes about so much again, and leaves the rest to the next: the table's next merge waits for it.
MOST_BYTES = 64 * 1024 * 1024
# A writer that has not committed or published within a day is dead.
ABANDONED = dt.timedelta(days=1)


def compact(
    lake: Lake,
    table: Table,
    *,
    order_by: Sequence[str] = ("_stream_created_at", "_sequence_number"),
    sort_by: Sequence[str] | None = None,
) -> Staged | None:
    """Fold small data files, files with many deleted rows and many delete files, and publish the result.

    Files are sorted by `sort_by`, by the table's key if it is None; their bounds of these columns and of `order_by` are
    whole, so that readers skip files by them.

    Returns None if there was nothing to do, or if another writer committed meanwhile; then the next call does it. Cheap
    enough to call after every publication: it reads the list of files only every COMMITS_BETWEEN commits. Raises
    LakeUnavailable.
    """
    try:
        return _compact(lake, table, order_by, sort_by)
    except CommitConflict as lost:
        log.info("compaction of %s is left to the next commit: %s", ".".join(table.name()), lost)
        return None


@translate_outages()
def _compact(lake: Lake, table: Table, order_by: Sequence[str], sort_by: Sequence[str] | None) -> Staged | None:
    table.refresh()
    main = table.metadata.current_snapshot_id
    if main is None or _commits_since_compaction(table) < COMMITS_BETWEEN:
        return None
    contents = Contents.of(table, main)
    data_files, delete_files = contents.data_files(), contents.delete_files()
    schema = table.schema()
    key = sort_by or [schema.find_field(field_id).name for field_id in schema.identifier_field_ids]
    bounded = [*key, *(field.name for field in schema.fields if field.name in order_by)]
    added: list[DataFile] = []
    with lake.duckdb() as connection:
        counts = deleted_counts(connection, delete_files)
        early = _groups_to_fold_early(data_files, counts, spare_bytes=_spare_bytes(table, data_files))
        taken = {file.file_path for group in early for file in group}
        others = _groups_to_fold([file for file in data_files if file.file_path not in taken], counts)
        groups = _within_limit([*early, *others])
        for group in groups:
            rows = _live_rows(connection, table, group, delete_files)
            added += write_data(table, rows, sort_by=key, prune_by=bounded)
        folded = {file.file_path for group in groups for file in group}
        kept = [file for file in data_files if file.file_path not in folded and file.file_path in counts]
        gathered = _deletes_to_fold(delete_files, kept, counts)
        if not groups and not gathered:
            return None
        if gathered:
            added += write_deletes(table, _positions(connection, gathered, kept), kept)
    removed = [*(file for file in data_files if file.file_path in folded), *gathered]
    staged = stage_snapshot(table, contents, operation=Operation.REPLACE, added=added, removed=removed)
    publish(lake, table, staged)
    log.info("compacted %s: %d files are now %d", staged.table_id, len(removed), len(added))
    return staged


@translate_outages()
def expire(
    lake: Lake, table: Table, *, keep: Collection[int] = (), older_than: dt.timedelta = dt.timedelta(hours=1)
) -> int:
    """Remove snapshots and the files that only they need; return the number of snapshots.

    Keeps main and its ancestors back to the oldest snapshot in `keep`, so that changes since then can still be
    computed; the heads of branches; and snapshots younger than `older_than`, which may still be read.
    """
    table.refresh()
    lineage = list(ancestors_of(table.current_snapshot(), table.metadata))
    needed = max((place for place, snapshot in enumerate(lineage) if snapshot.snapshot_id in keep), default=0)
    protected = {snapshot.snapshot_id for snapshot in lineage[: needed + 1]}
    protected |= {reference.snapshot_id for reference in table.refs().values()}
    horizon = _before(older_than).timestamp() * 1000
    expired = [s for s in table.snapshots() if s.snapshot_id not in protected and s.timestamp_ms < horizon]
    if not expired:
        return 0
    gone = {snapshot.snapshot_id for snapshot in expired}
    unneeded = _files_only_of(table, expired, [s for s in table.snapshots() if s.snapshot_id not in gone])
    commit(
        table,
        (RemoveSnapshotsUpdate(snapshot_ids=sorted(gone)),),
        expected_main=table.metadata.current_snapshot_id,
        landed=lambda now: gone.isdisjoint(snapshot.snapshot_id for snapshot in now.snapshots),
    )
    delete_files(table.io, unneeded)
    log.info("expired %d snapshots of %s and %d files", len(gone), ".".join(table.name()), len(unneeded))
    return len(gone)


@translate_outages()
def remove_orphans(lake: Lake, table: Table, *, older_than: dt.timedelta = ABANDONED) -> int:
    """Delete the files below the table's location that its metadata does not refer to; return how many.

    Files younger than `older_than` stay, because their writer may be about to commit them.
    """
    found = files_below(table, written_before=_before(older_than))  # listed first: later commits add only younger files
    table.refresh()
    orphans = found - _metadata_files(table) - _files_of(table, table.snapshots())
    delete_files(table.io, orphans)
    if orphans:
        log.warning("removed %d files of %s that dead writers left", len(orphans), ".".join(table.name()))
    return len(orphans)


def _before(older_than: dt.timedelta) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - older_than


def files_below(table: Table, *, written_before: dt.datetime | None = None) -> set[str]:
    """Return the locations of the files below the table's location, possibly only those that are so old."""
    location = table.location().rstrip("/")
    scheme, netloc, path = PyArrowFileIO.parse_location(location, table.io.properties)
    if not isinstance(table.io, PyArrowFileIO):
        raise TypeError(f"{'.'.join(table.name())} uses {type(table.io).__name__}; expected PyArrowFileIO")
    files = table.io.fs_by_scheme(scheme, netloc).get_file_info(
        FileSelector(path, recursive=True, allow_not_found=True)
    )
    return {
        location + file.path.removeprefix(path)
        for file in files
        if file.type is FileType.File and (written_before is None or file.mtime < written_before)
    }


def _metadata_files(table: Table) -> set[str]:
    """Return the current metadata file, those in its log, and the files of statistics."""
    metadata = table.metadata
    statistics = [*metadata.statistics, *metadata.partition_statistics]
    return {
        table.metadata_location,
        *(entry.metadata_file for entry in metadata.metadata_log),
        *(file.statistics_path for file in statistics),
    }


def _files_of(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """Return the manifest lists and manifests of these snapshots, and the files that are live in one of them."""
    lists, manifests = set(), {}
    for snapshot in snapshots:
        lists.add(snapshot.manifest_list)
        manifests.update({manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)})
    live = {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io)
    }
    return lists | manifests.keys() | live


def _commits_since_compaction(table: Table) -> int:
    commits = 0
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        if snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE:
            break
        commits += 1
    return commits


def _groups_to_fold(files: Iterable[DataFile], deleted: Counter[str]) -> list[list[DataFile]]:
    """Return groups of files to write as one: of one partition and size class, or with many deleted rows."""
    by_class: dict[tuple[int, Record, int], list[DataFile]] = defaultdict(list)
    groups = []
    for file in files:
        if file.file_size_in_bytes < LARGEST_BYTES:
            size_class = max(file.file_size_in_bytes, SMALLEST_BYTES).bit_length() // 3  # a factor of eight
            by_class[file.spec_id, file.partition, size_class].append(file)
        elif deleted[file.file_path] > DELETED_SHARE * file.record_count:
            groups.append([file])
    for group in by_class.values():
        thinned = [file for file in group if deleted[file.file_path] > DELETED_SHARE * file.record_count]
        fold = group if len(group) >= FOLD_FILES else thinned
        if fold:
            groups.append(fold)
    return groups


def _groups_to_fold_early(
    files: Collection[DataFile], deleted: Counter[str], *, spare_bytes: int
) -> list[list[DataFile]]:
    """Return the files with the largest shares of deleted rows, each with the smaller ones of its partition."""
    by_partition: dict[tuple[int, Record], list[DataFile]] = defaultdict(list)
    for file in files:
        by_partition[file.spec_id, file.partition].append(file)
    groups: list[list[DataFile]] = []
    taken: set[str] = set()
    for thinned in sorted(files, key=lambda file: deleted[file.file_path] / file.record_count, reverse=True):
        if deleted[thinned.file_path] <= EARLY_SHARE * thinned.record_count:
            break
        group = [
            file
            for file in by_partition[thinned.spec_id, thinned.partition]
            if file.file_size_in_bytes <= thinned.file_size_in_bytes
            and file.file_path not in taken
            and (file is thinned or file.file_size_in_bytes < LARGEST_BYTES)
        ]
        size = sum(file.file_size_in_bytes for file in group)
        if thinned in group and size <= min(spare_bytes, LARGEST_BYTES):
            groups.append(group)
            spare_bytes -= size
            taken |= {file.file_path for file in group}
    return groups


def _spare_bytes(table: Table, files: Iterable[DataFile]) -> int:
    """Return how many bytes may be replaced before the next expiry."""
    stored = {snapshot.snapshot_id for snapshot in table.snapshots()}
    replaced = sum(
        int(snapshot.summary.additional_properties.get(REMOVED_FILE_SIZE, 0))
        for snapshot in table.snapshots()
        if snapshot.summary is not None and snapshot.parent_snapshot_id in stored
    )
    return int(REPLACED_PART * sum(file.file_size_in_bytes for file in files)) - replaced


def _deletes_to_fold(
    delete_files: Iterable[DataFile], kept: Iterable[DataFile], deleted: Counter[str]
) -> list[DataFile]:
    """Return the delete files of partitions that have many, or whose positions are to a large part in files that go.

    A position in a file that is gone does no harm, but is counted as a deleted row.
    """
    by_partition: dict[tuple[int, Record], list[DataFile]] = defaultdict(list)
    live: Counter[tuple[int, Record]] = Counter()
    for file in delete_files:
        by_partition[file.spec_id, file.partition].append(file)
    for file in kept:
        live[file.spec_id, file.partition] += deleted[file.file_path]
    return [
        file
        for partition, files in by_partition.items()
        if len(files) >= FOLD_FILES or live[partition] < (1 - DELETED_SHARE) * sum(file.record_count for file in files)
        for file in files
    ]


def _within_limit(groups: Iterable[list[DataFile]]) -> list[list[DataFile]]:
    """Return the groups of the smallest files, or parts of them, with MOST_BYTES in all or one file that is larger."""
    chosen, total = [], 0
    for group in sorted(groups, key=lambda group: sum(file.file_size_in_bytes for file in group)):
        part = []
        for file in sorted(group, key=lambda file: file.file_size_in_bytes):
            if total and total + file.file_size_in_bytes > MOST_BYTES:
                break
            part.append(file)
            total += file.file_size_in_bytes
        if len(part) > 1 or part == group:
            chosen.append(part)
    return chosen


def _live_rows(
    connection: duckdb.DuckDBPyConnection, table: Table, files: list[DataFile], delete_files: list[DataFile]
) -> pa.Table:
    schema = table.schema()
    columns = ", ".join(f"t.c{field.field_id}" for field in schema.fields)
    rows = connection.execute(f"""
        SELECT {columns} FROM {rows_sql(connection, schema, files)} t
        ANTI JOIN {at_sql(files, deletes_sql(delete_files))} d ON d.at = {AT}
    """).to_arrow_table()
    return rows.rename_columns([field.name for field in schema.fields])


def _positions(connection: duckdb.DuckDBPyConnection, delete_files: list[DataFile], kept: list[DataFile]) -> pa.Table:
    """Return the deletes that apply to a data file that stays."""
    connection.register("kept", pa.table({"file_path": pa.array([file.file_path for file in kept], pa.string())}))
    return connection.execute(
        f"SELECT DISTINCT file_path, pos FROM {deletes_sql(delete_files)} SEMI JOIN kept USING (file_path)"
    ).to_arrow_table()


def _files_only_of(table: Table, expired: Collection[Snapshot], remaining: Iterable[Snapshot]) -> set[str]:
    """Return the manifest lists, manifests, data and delete files that no remaining snapshot needs."""
    needed = _files_of(table, remaining)
    manifests = {
        manifest.manifest_path: manifest
        for snapshot in expired
        for manifest in snapshot.manifests(table.io)
        if manifest.manifest_path not in needed
    }
    files = {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    }
    return ({snapshot.manifest_list for snapshot in expired} | manifests.keys() | files) - needed
