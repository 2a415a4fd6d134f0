"""The keys of a batch, looked up in a snapshot that should contain their changes.

Belongs here: which keys are missing, should not be there, or are there twice. Does not belong here: whether that stops
the batch (audit), the keys of a whole table (whole_table).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES
from medallion_assets.lake.file_io import read_file
from medallion_assets.lake.files import AT, at_sql, by_field_id, rows_sql
from medallion_assets.lake.lookup import column_ids, find_rows, numbered
from medallion_assets.lake.prune import files_with_keys
from medallion_assets.lake.snapshot import Contents
from medallion_assets.silver.table import VERSION

_NOWHERE: Final = "SELECT 0::BIGINT AS row, FALSE AS reached, FALSE AS passed WHERE FALSE"


@dataclass(frozen=True)
class BatchKeys:
    """How many keys of a batch are wrong in a snapshot, and some of them.

    - missing: keys that it lacks or has with an older change
    - surviving: deleted keys that it has
    - repeated: keys that it has twice
    """

    missing: int
    surviving: int
    repeated: int
    examples: list[str]


def look_up(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    contents: Contents,
    *,
    rows: pa.Table,
    deletions: pa.Table,
    key: Sequence[str],
    before: Contents,
    matched: pa.Table | None,
) -> BatchKeys:
    """Compare key and version of rows and deletions, each key once, with the snapshot that has these contents.

    `matched` has the positions (row, file_path, pos) of the live rows of these keys in the snapshot `before`, where
    `row` counts rows first and deletions after them. Then only the files are read that are not in `before`, and the
    versions of those of these rows that are left: the work follows the batch. If it is None, the keys are read from
    every file that may have one of them.
    """
    schema, names = table.schema(), [*key, *VERSION]
    changed = rows.select(names)
    changed = pa.concat_tables([changed, deletions.select(names).cast(changed.schema)])
    connection.register("incoming", numbered(changed, schema))
    try:
        if matched is None:
            selects = _find(connection, schema, contents, changed, key)
        else:
            selects = _find_changes(connection, table, contents, before=before, matched=matched, key=key)
        shown = f"concat_ws('/', {', '.join(f'{column}::VARCHAR' for column in column_ids(schema, key))})"
        ((missing, surviving, repeated, examples),) = connection.execute(f"""
            WITH there AS (SELECT row, count(*) AS times, bool_or(reached) AS reached, bool_or(passed) AS passed
                FROM ({" UNION ALL ".join([_NOWHERE, *selects])}) GROUP BY row),
            compared AS (SELECT {shown} AS shown, row >= {rows.num_rows} AS is_deletion,
                    NOT is_deletion AND NOT coalesce(reached, FALSE) AS missing,
                    is_deletion AND NOT coalesce(passed, TRUE) AS surviving,
                    coalesce(times > 1, FALSE) AS repeated
                FROM incoming LEFT JOIN there USING (row))
            SELECT count(*) FILTER (missing), count(*) FILTER (surviving), count(*) FILTER (repeated),
                min(shown, {MAX_EXAMPLES}) FILTER (missing OR surviving OR repeated) FROM compared""").fetchall()
    finally:
        for name in ("incoming", "written", "left_over", "newly_deleted"):
            connection.unregister(name)
    return BatchKeys(missing, surviving, repeated, examples or [])


def _find(
    connection: duckdb.DuckDBPyConnection, schema: Schema, contents: Contents, keys: pa.Table, key: Sequence[str]
) -> list[str]:
    """Return SELECTs of row, reached and passed of each live row whose key is in `incoming`."""
    files = files_with_keys(schema, contents.data_files(), keys, key) if keys.num_rows else []
    if not files:
        return []
    find_rows(connection, schema, [(files, _compared(schema))], contents.delete_files(), key=key)
    return ["SELECT row, reached, passed FROM found"]


def _find_changes(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    contents: Contents,
    *,
    before: Contents,
    matched: pa.Table,
    key: Sequence[str],
) -> list[str]:
    """Return the same SELECTs from the positions `matched` in the snapshot `before`, and what was written since."""
    schema = table.schema()
    old = {file.file_path: file for file in (*before.data_files(), *before.delete_files())}
    written = [file for file in contents.data_files() if file.file_path not in old]
    deletes = [file for file in contents.delete_files() if file.file_path not in old]
    kept = pa.array([file.file_path for file in contents.data_files() if file.file_path in old], pa.string())
    left = matched.filter(pc.is_in(matched["file_path"], kept))
    if deletes and left.num_rows:
        connection.register("left_over", left)
        connection.register("newly_deleted", _read(table, deletes, ["file_path", "pos"]))
        left = connection.execute("FROM left_over ANTI JOIN newly_deleted USING (file_path, pos)").to_arrow_table()
    selects = []
    if written:
        connection.register("written", by_field_id(_read(table, written, [*key, *VERSION]), schema))
        same_key = " AND ".join(f"t.{column} = i.{column}" for column in column_ids(schema, key))
        selects.append(f"SELECT i.row, {_compared(schema)} FROM written t JOIN incoming i ON {same_key}")
    if left.num_rows:
        connection.register("left_over", left)
        holding = [old[path] for path in pc.unique(left["file_path"]).to_pylist()]
        selects.append(f"""
            SELECT row, {_compared(schema)} FROM {rows_sql(connection, schema, holding)} t
                JOIN {at_sql(holding, "left_over")} l ON l.at = {AT} JOIN incoming i USING (row)""")
    return selects


def _read(table: Table, files: Sequence[DataFile], columns: Sequence[str]) -> pa.Table:
    """Return columns of files that were just written, each read in one request."""
    contents = (pa.BufferReader(read_file(table.io, file.file_path)) for file in files)
    return pa.concat_tables([pq.read_table(content, columns=list(columns)) for content in contents])


def _compared(schema: Schema) -> str:
    """Return SQL of whether the version of a row `t` is not older, and is newer, than that of the row `i`."""
    theirs, ours = _version(schema, "t"), _version(schema, "i")
    return f"{theirs} >= {ours} AS reached, {theirs} > {ours} AS passed"


def _version(schema: Schema, alias: str) -> str:
    """Return `version_sql` of a row of `rows_sql`."""
    created, number = column_ids(schema, VERSION)
    return f"{{'created': {alias}.{created}, 'number': {alias}.{number}}}"
