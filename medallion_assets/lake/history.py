"""What changed in a table between two snapshots of main: rows that were removed and rows that were added.

Belongs here: reading changes from Iceberg's metadata and delete files. Does not belong here: what follows from a change
(silver.enrich, gold.changes).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import duckdb
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of

from medallion_assets.errors import TableMissing
from medallion_assets.lake import duck
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.files import AT, at_sql, deletes_sql, rows_sql
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.schema import file_schema
from medallion_assets.lake.snapshot import Contents


@translate_outages()
def changed_rows(lake: Lake, table: Table, *, since: int | None, until: int, columns: Sequence[str]) -> pa.Table | None:
    """Return the rows that were removed or added after snapshot `since`, up to and with snapshot `until`.

    The result has `columns` and `_side`: 'old' for a removed row, 'new' for an added one; an update is one of each.
    Compaction moves rows and changes none, so it is left out; but a row that is updated before and after a compaction
    shows its middle state as both 'new' and 'old'. Returns None if `since` is None or is not a known ancestor of
    `until`: then any row may have changed. Raises TableMissing if `until` is not a snapshot of the table.
    """
    lineage = _lineage(table, since, until)
    if lineage is None:
        return None
    parts = []
    with lake.reading([table]), lake.duckdb() as connection:
        for first, last in _spans_between_compactions(lineage):
            before, after = Contents.of(table, first.snapshot_id), Contents.of(table, last.snapshot_id)
            parts += _difference(connection, table.schema(), before, after, columns)
    types = file_schema(table.schema())
    fields = [pa.field(name, types.field(name).type) for name in columns]
    return pa.concat_tables(
        [part.cast(pa.schema([*fields, _SIDE])) for part in parts] or [pa.schema([*fields, _SIDE]).empty_table()]
    )


def snapshot_summary(table: Table, snapshot_id: int) -> dict[str, str]:
    """Return the summary of a snapshot: Iceberg's counts and the properties it was staged with. Raises TableMissing."""
    summary = _snapshot(table, snapshot_id).summary
    return dict(summary.additional_properties) if summary else {}


def last_change(table: Table, snapshot_id: int | None = None) -> Snapshot | None:
    """Return the newest snapshot that is no compaction, of the history up to `snapshot_id` or (None) of main.

    Returns None if all known ones are compactions, or if the snapshot is not known any more.
    """
    newest = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    lineage = ancestors_of(newest, table.metadata)
    return next((snapshot for snapshot in lineage if not _is_compaction(snapshot)), None)


def changes_after(table: Table, snapshot_id: int | None) -> list[Snapshot]:
    """Return main's snapshots after `snapshot_id`, newest first, without compactions.

    If `snapshot_id` is None, has expired or was never on main, these are all known ones.
    """
    later = itertools.takewhile(
        lambda snapshot: snapshot.snapshot_id != snapshot_id, ancestors_of(table.current_snapshot(), table.metadata)
    )
    return [snapshot for snapshot in later if not _is_compaction(snapshot)]


_SIDE = pa.field("_side", pa.string())


def _is_compaction(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE


def _snapshot(table: Table, snapshot_id: int) -> Snapshot:
    snapshot = table.snapshot_by_id(snapshot_id)
    if snapshot is None:
        raise TableMissing(
            f"{'.'.join(table.name())} has no snapshot {snapshot_id}: it has expired, or is another table's."
        )
    return snapshot


def _lineage(table: Table, since: int | None, until: int) -> list[Snapshot] | None:
    """Return the snapshots from `since` to `until`, both included, oldest first."""
    lineage = []
    for snapshot in ancestors_of(_snapshot(table, until), table.metadata):
        lineage.append(snapshot)
        if snapshot.snapshot_id == since:
            return lineage[::-1]
    return None


def _spans_between_compactions(lineage: list[Snapshot]) -> list[tuple[Snapshot, Snapshot]]:
    """Return (first, last) pairs of snapshots with no compaction between them, which together cover the lineage."""
    spans = []
    start = lineage[0]
    for before, snapshot in itertools.pairwise(lineage):
        if _is_compaction(snapshot):
            spans.append((start, before))
            start = snapshot
    spans.append((start, lineage[-1]))
    return [(first, last) for first, last in spans if first is not last]


def _difference(
    connection: duckdb.DuckDBPyConnection, schema: Schema, before: Contents, after: Contents, columns: Sequence[str]
) -> list[pa.Table]:
    """Return the rows that only one of two snapshots has. Rows are compared by file and position, not by value."""
    was, now = _by_path(before.data_files()), _by_path(after.data_files())
    names = ", ".join(f"t.c{schema.find_field(name).field_id} AS {duck.identifier(name)}" for name in columns)
    deleted_before, deleted_after = deletes_sql(before.delete_files()), deletes_sql(after.delete_files())
    parts = []
    for side, files, deleted in (
        ("old", [file for path, file in was.items() if path not in now], deleted_before),
        ("new", [file for path, file in now.items() if path not in was], deleted_after),
    ):
        if files:
            parts.append(
                connection.execute(f"""
                    SELECT {names}, '{side}' AS _side FROM {rows_sql(connection, schema, files)} t
                    ANTI JOIN {at_sql(files, deleted)} d ON d.at = {AT}
                """).to_arrow_table()
            )
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE newly_deleted AS
        SELECT DISTINCT file_path, pos FROM {deleted_after} d ANTI JOIN {deleted_before} b USING (file_path, pos)
    """)
    touched = {path for (path,) in connection.execute("SELECT DISTINCT file_path FROM newly_deleted").fetchall()}
    files = [file for path, file in was.items() if path in now and path in touched]
    if files:
        parts.append(
            connection.execute(f"""
                SELECT {names}, 'old' AS _side FROM {rows_sql(connection, schema, files)} t
                SEMI JOIN {at_sql(files, "newly_deleted")} g ON g.at = {AT}
            """).to_arrow_table()
        )
    return parts


def _by_path(files: Sequence[DataFile]) -> dict[str, DataFile]:
    return {file.file_path: file for file in files}
