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
from pyiceberg.schema import Schema

from medallion_assets.checks.results import MAX_EXAMPLES
from medallion_assets.lake.files import AT, at_sql, deletes_sql, rows_sql
from medallion_assets.lake.lookup import column_ids, find_rows, numbered
from medallion_assets.lake.prune import files_with_keys
from medallion_assets.lake.snapshot import Contents
from medallion_assets.silver.table import VERSION

NOTHING_MATCHED: Final = pa.schema([("row", pa.int64()), ("file_path", pa.string()), ("pos", pa.int64())]).empty_table()


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
    schema: Schema,
    contents: Contents,
    *,
    rows: pa.Table,
    deletions: pa.Table,
    key: Sequence[str],
    before: Contents,
    matched: pa.Table,
) -> BatchKeys:
    """Compare key and version of rows and deletions, each key once, with the snapshot that has these contents.

    `matched` has the positions (row, file_path, pos) of the live rows of these keys in the snapshot `before`, where
    `row` counts rows first and deletions after them. The keys are read from the files that are not in `before`, and the
    versions of rows in other files only where one is left. So the work follows the batch.
    """
    names = [*key, *VERSION]
    changed = rows.select(names)
    changed = pa.concat_tables([changed, deletions.select(names).cast(changed.schema)])
    old = {file.file_path: file for file in before.data_files()}
    old_deletes = {file.file_path for file in before.delete_files()}
    added = [file for file in contents.data_files() if file.file_path not in old]
    deletes = [file for file in contents.delete_files() if file.file_path not in old_deletes]
    added = files_with_keys(schema, added, changed, key) if changed.num_rows else []
    kept = pa.array(sorted(old.keys() & {file.file_path for file in contents.data_files()}), pa.string())
    theirs, ours = _version(schema, "t"), _version(schema, "i")
    selects = ["SELECT 0::BIGINT AS row, FALSE AS reached, FALSE AS passed WHERE FALSE"]
    connection.register("incoming", numbered(changed, schema))
    connection.register("matched_before", matched.filter(pc.is_in(matched["file_path"], kept)))
    try:
        if added:
            compared = f"{theirs} >= {ours} AS reached, {theirs} > {ours} AS passed"
            find_rows(connection, schema, [(added, compared)], deletes, key=key)
            selects.append("SELECT row, reached, passed FROM found")
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE left_over AS
            FROM matched_before ANTI JOIN {deletes_sql(deletes)} USING (file_path, pos)""")
        paths = connection.execute("SELECT DISTINCT file_path FROM left_over").fetchall()
        if paths:
            holding = [old[path] for (path,) in paths]
            selects.append(f"""
                SELECT row, {theirs} >= {ours} AS reached, {theirs} > {ours} AS passed
                FROM {rows_sql(connection, schema, holding)} t
                    JOIN {at_sql(holding, "left_over")} l ON l.at = {AT} JOIN incoming i USING (row)""")
        shown = f"concat_ws('/', {', '.join(f'{column}::VARCHAR' for column in column_ids(schema, key))})"
        ((missing, surviving, repeated, examples),) = connection.execute(f"""
            WITH there AS (SELECT row, count(*) AS times, bool_or(reached) AS reached, bool_or(passed) AS passed
                FROM ({" UNION ALL ".join(selects)}) GROUP BY row),
            compared AS (SELECT {shown} AS shown, row >= {rows.num_rows} AS is_deletion,
                    NOT is_deletion AND NOT coalesce(reached, FALSE) AS missing,
                    is_deletion AND NOT coalesce(passed, TRUE) AS surviving,
                    coalesce(times > 1, FALSE) AS repeated
                FROM incoming LEFT JOIN there USING (row))
            SELECT count(*) FILTER (missing), count(*) FILTER (surviving), count(*) FILTER (repeated),
                min(shown, {MAX_EXAMPLES}) FILTER (missing OR surviving OR repeated) FROM compared""").fetchall()
    finally:
        for name in ("found", "left_over"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for name in ("incoming", "matched_before"):
            connection.unregister(name)
    return BatchKeys(missing, surviving, repeated, examples or [])


def _version(schema: Schema, alias: str) -> str:
    """Return `version_sql` of a row of `rows_sql`."""
    created, number = column_ids(schema, VERSION)
    return f"{{'created': {alias}.{created}, 'number': {alias}.{number}}}"
