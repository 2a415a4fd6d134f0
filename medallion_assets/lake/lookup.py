"""Find the live rows of some keys, in only the files that can contain them.

Hash tables are built of the wanted keys and of the rows that have them, never of the table's rows or of its deleted
positions: so the memory follows the keys, and the work, too, but for reading the key from those files. Belongs here:
finding rows. Does not belong here: which of two rows wins (merge), what is expected of them (silver.audit).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from medallion_assets.lake.duck import identifier
from medallion_assets.lake.files import AT, at_sql, by_field_id, deletes_sql, positions_sql, rows_sql
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.prune import files_with_keys
from medallion_assets.lake.schema import file_schema
from medallion_assets.lake.snapshot import Contents


@translate_outages()
def rows_of_keys(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    keys: pa.Table,
    *,
    key: Sequence[str],
    columns: Sequence[str],
) -> pa.Table:
    """Return `columns` of the rows of the published table whose key is in `keys`.

    `keys` has each key once, and possibly further columns.
    """
    schema = table.schema()
    types = file_schema(schema)
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    files = files_with_keys(schema, contents.data_files(), keys, key) if keys.num_rows else []
    empty = pa.schema([types.field(name) for name in columns]).empty_table()
    if not files:
        return empty
    connection.register("incoming", numbered(keys.select(key), schema))
    ids = {name: f"c{schema.find_field(name).field_id}" for name in columns}
    read = ", ".join(f"t.{column}" for column in ids.values())
    shown = ", ".join(f"{column} AS {identifier(name)}" for name, column in ids.items())
    try:
        find_rows(connection, schema, [(files, read)], contents.delete_files(), key=key)
        return connection.execute(f"SELECT {shown} FROM found").to_arrow_table().cast(empty.schema)
    finally:
        connection.execute("DROP TABLE IF EXISTS found")
        connection.unregister("incoming")


def numbered(keys: pa.Table, schema: Schema) -> pa.Table:
    """Return keys as `find_rows` takes them in the relation `incoming`: columns by field id, and their number `row`."""
    return by_field_id(keys, schema).append_column("row", pa.arange(0, keys.num_rows))


def find_rows(
    connection: duckdb.DuckDBPyConnection,
    schema: Schema,
    files: Sequence[tuple[Sequence[DataFile], str]],
    delete_files: Sequence[DataFile],
    *,
    key: Sequence[str],
) -> None:
    """Create the temp table `found`: one row for each live row of these files whose key is in `incoming`.

    It has `row`, the number of the key in `incoming`, and the row's position (file_path, pos). Each group of `files`
    has SQL of further columns, of the row `t` in the file and of `i` in `incoming`, or ''. One group has a file.
    """
    same_key = " AND ".join(f"t.{column} = i.{column}" for column in column_ids(schema, key))
    selects: list[str] = []
    every: list[DataFile] = []
    for group, more in files:
        if group:
            columns = f"i.row, {AT} + ({len(every)}::BIGINT << 40) AS at" + (f", {more}" if more else "")
            selects.append(
                f"SELECT {columns} FROM {rows_sql(connection, schema, group)} t JOIN incoming i ON {same_key}"
            )
            every += group
    connection.execute(f"CREATE OR REPLACE TEMP TABLE matched AS {' UNION ALL '.join(selects)}")
    live = "matched"
    if delete_files:
        deleted = f"SELECT d.at FROM {at_sql(every, deletes_sql(delete_files))} d SEMI JOIN matched m ON m.at = d.at"
        live = f"(SELECT m.* FROM matched m ANTI JOIN ({deleted}) d ON d.at = m.at)"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS FROM {positions_sql(every, live)}")
    connection.execute("DROP TABLE matched")


def column_ids(schema: Schema, names: Sequence[str]) -> list[str]:
    """Return the names that these columns have in `rows_sql`."""
    return [f"c{schema.find_field(name).field_id}" for name in names]
