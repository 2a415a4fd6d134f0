"""Read the rows of some keys, from only the files that can contain them.

Belongs here: that one read. Does not belong here: replacing these rows (merge).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.lake.duck import identifier
from medallion_assets.lake.files import by_field_id, deletes_sql, rows_sql
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
    """Return `columns` of the rows of the published table whose key is in `keys`. `keys` may have further columns."""
    schema = table.schema()
    types = file_schema(schema)
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    files = files_with_keys(schema, contents.data_files(), keys, key) if keys.num_rows else []
    empty = pa.schema([types.field(name) for name in columns]).empty_table()
    if not files:
        return empty
    ids = {name: f"c{schema.find_field(name).field_id}" for name in [*key, *columns]}
    connection.register("wanted", by_field_id(keys.select(key), schema))
    same_key = " AND ".join(f"t.{ids[name]} = w.{ids[name]}" for name in key)
    shown = ", ".join(f"t.{ids[name]} AS {identifier(name)}" for name in columns)
    try:
        found = connection.execute(f"""
            SELECT {shown} FROM {rows_sql(connection, schema, files)} t
            SEMI JOIN wanted w ON {same_key}
            ANTI JOIN {deletes_sql(contents.delete_files())} d ON d.file_path = t.filename AND d.pos = t.file_row_number
        """).to_arrow_table()
    finally:
        connection.unregister("wanted")
    return found.cast(empty.schema)
