"""Merge rows and removals into a table by key: find the rows they replace, delete those by position, add the new ones.

This is merge-on-read of Iceberg v2: no data file is rewritten. It reads only files that can contain one of the keys, of
these only the key columns, and the ordering column only where the bounds do not show that all rows are older. Belongs
here: which row wins. Does not belong here: choosing files (prune), committing (commit).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, stage_snapshot
from medallion_assets.lake.deletes import gather_deletes
from medallion_assets.lake.files import AT, at_sql, rows_sql
from medallion_assets.lake.lookup import column_ids, find_rows, numbered
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.prune import files_surely_older, files_with_keys
from medallion_assets.lake.schema import conform, refuse_floating_key
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data, write_deletes

log = logging.getLogger(__name__)


@translate_outages()
def stage_merge(
    lake: Lake,
    table: Table,
    rows: pa.Table,
    *,
    key: Sequence[str],
    removals: pa.Table | None = None,
    properties: Mapping[str, str] = {},
    rewrite_equal: bool = False,
    order_by: Sequence[str] = ("_sequence_number",),
) -> Staged:
    """Stage one snapshot in which each row replaces the table's row of the same key if its `order_by` is greater.

    `rows` has the table's columns. `removals` has the key, `order_by` and possibly other columns; each removes the
    table's row of its key unless that is newer. A key stands once in both together. The columns of `order_by` are
    compared one after the other; null is older than every value. A row whose `order_by` is equal changes nothing,
    unless `rewrite_equal` is set and another column differs. If nothing wins, nothing is written and Staged.changed
    is False. Raises SchemaMismatch if the columns are not the table's, ValueError for a null or repeated key.
    """
    table.refresh()
    schema, main = table.schema(), table.metadata.current_snapshot_id
    given = rows.column_names
    rows = conform(rows, schema)
    refuse_floating_key(rows.schema, key)
    ordered = [*key, *order_by]
    incoming = rows.select(ordered)
    if removals is not None:
        incoming = pa.concat_tables([incoming, removals.select(ordered).cast(incoming.schema)])
    contents = Contents.of(table, main)
    data_files = contents.data_files()
    candidates = files_with_keys(schema, data_files, incoming, key) if incoming.num_rows else []
    with lake.duckdb() as connection:
        _register(connection, schema, rows, incoming)
        _refuse_bad_keys(connection, incoming, key, schema)
        _match(
            connection,
            schema,
            incoming,
            candidates=candidates,
            delete_files=contents.delete_files(),
            key=key,
            order_by=order_by,
        )
        connection.execute(f"UPDATE decided SET verdict = 'older' WHERE verdict = 'equal' AND row >= {rows.num_rows}")
        if rewrite_equal:
            _let_different_win(connection, schema, candidates, given)
        counts: Counter[tuple[str, bool]] = Counter()
        for verdict, is_row, number in connection.execute(
            f"SELECT verdict, row < {rows.num_rows}, count(*) FROM decided GROUP BY ALL"
        ).fetchall():
            counts[verdict, is_row] = number
        losers = connection.execute("SELECT row FROM decided WHERE verdict <> 'older'").to_arrow_table()["row"]
        matched = connection.execute("SELECT row, file_path, pos FROM found").to_arrow_table()
        replaced = connection.execute(
            "SELECT file_path, pos FROM found JOIN decided USING (row) WHERE decided.verdict = 'older'"
        ).to_arrow_table()
        positions, reaching, gathered = gather_deletes(connection, contents, replaced)
    winners = _without(rows, losers, first=0)
    staged = Staged(".".join(table.name()), main)
    if winners.num_rows or replaced.num_rows:
        added = write_data(table, winners, sort_by=key, prune_by=ordered) if winners.num_rows else []
        deletes = write_deletes(table, positions, reaching)
        staged = stage_snapshot(
            table,
            contents,
            operation=Operation.APPEND if not deletes else Operation.OVERWRITE if added else Operation.DELETE,
            added=[*added, *deletes],
            removed=gathered,
            properties=properties,
        )
    staged = replace(
        staged,
        inserted=rows.num_rows - sum(number for (_, is_row), number in counts.items() if is_row),
        updated=counts["older", True],
        removed=counts["older", False],
        superseded=counts["newer", True] + counts["newer", False],
        unchanged=counts["equal", True],
        removals=_without(removals, losers, first=rows.num_rows) if removals is not None else None,
        matched=_renumbered(matched, incoming.num_rows, losers, first_removal=rows.num_rows),
        more_rows=winners.num_rows - replaced.num_rows,
    )
    log.info("merge into %s read %d of %d files: %s", staged.table_id, len(candidates), len(data_files), staged)
    return staged


def _register(connection: duckdb.DuckDBPyConnection, schema: Schema, rows: pa.Table, incoming: pa.Table) -> None:
    """Register `incoming` (key and order of rows and removals) and `rows`, with row numbers; removals come last."""
    connection.register("incoming", numbered(incoming, schema))
    connection.register("rows", numbered(rows, schema))


def _without(rows: pa.Table, numbers: pa.ChunkedArray, *, first: int) -> pa.Table:
    """Return the rows without those of these numbers; the rows are numbered from `first` on."""
    if not len(numbers):
        return rows
    own = pa.arange(first, first + rows.num_rows)
    return rows.filter(pc.invert(pc.is_in(own, numbers.combine_chunks())))


def _renumbered(matched: pa.Table, incoming: int, losers: pa.ChunkedArray, *, first_removal: int) -> pa.Table:
    """Return the positions without those of removals that lost; the other removals get new numbers."""
    numbers = pa.table({"row": pa.arange(0, incoming)})
    kept = [numbers.slice(0, first_removal), _without(numbers.slice(first_removal), losers, first=first_removal)]
    number = pc.index_in(matched["row"], value_set=pa.concat_tables(kept)["row"].combine_chunks())
    return matched.set_column(0, "row", number.cast(pa.int64())).filter(pc.is_valid(number))


def _match(
    connection: duckdb.DuckDBPyConnection,
    schema: Schema,
    incoming: pa.Table,
    *,
    candidates: Sequence[DataFile],
    delete_files: Sequence[DataFile],
    key: Sequence[str],
    order_by: Sequence[str],
) -> None:
    """Create the tables `found` and `decided`.

    `found` has the row number, position and verdict of each live row with an incoming key; `decided` has one verdict
    per incoming row. The verdict says what the table's row is in `order_by`: 'older' than the incoming one, 'equal' or
    'newer'.
    """
    if not candidates:
        connection.execute("CREATE TEMP TABLE found (row BIGINT, file_path VARCHAR, pos BIGINT, verdict VARCHAR)")
    else:
        older = files_surely_older(schema, candidates, incoming, order_by)
        contested = [file for file in candidates if file not in older]
        parts = [
            f"""WHEN t.{order} IS DISTINCT FROM i.{order}
                THEN CASE WHEN t.{order} IS NULL OR t.{order} < i.{order} THEN 'older' ELSE 'newer' END"""
            for order in column_ids(schema, order_by)
        ]
        compared = f"CASE {' '.join(parts)} ELSE 'equal' END AS verdict" if parts else "'equal' AS verdict"
        find_rows(connection, schema, [(older, "'older' AS verdict"), (contested, compared)], delete_files, key=key)
    # If another writer left two rows of one key in the table, the newest of them decides.
    connection.execute("""
        CREATE TEMP TABLE decided AS
        SELECT row, CASE WHEN bool_or(verdict = 'newer') THEN 'newer'
                         WHEN bool_or(verdict = 'equal') THEN 'equal' ELSE 'older' END AS verdict
        FROM found GROUP BY row
    """)


def _let_different_win(
    connection: duckdb.DuckDBPyConnection, schema: Schema, candidates: Sequence[DataFile], columns: Sequence[str]
) -> None:
    """Change the verdict 'equal' to 'older' where the two rows differ in any of these columns."""
    paths = connection.execute(
        "SELECT DISTINCT file_path FROM found JOIN decided USING (row) WHERE decided.verdict = 'equal'"
    )
    holding = {path for (path,) in paths.fetchall()}
    files = [file for file in candidates if file.file_path in holding]
    if not files:
        return
    differs = " OR ".join(f"t.{column} IS DISTINCT FROM i.{column}" for column in column_ids(schema, columns))
    connection.execute(f"""
        UPDATE decided SET verdict = 'older' WHERE verdict = 'equal' AND row IN (
            SELECT f.row FROM {rows_sql(connection, schema, files)} t
            JOIN {at_sql(files, "found")} f ON f.at = {AT}
            JOIN rows i ON i.row = f.row
            WHERE {differs}
        )
    """)


def _refuse_bad_keys(connection: duckdb.DuckDBPyConnection, rows: pa.Table, key: Sequence[str], schema: Schema) -> None:
    for name in key:
        if rows.column(name).null_count:
            raise ValueError(f"the key column {name} is null in {rows.column(name).null_count} of {rows.num_rows} rows")
    columns = ", ".join(column_ids(schema, key))
    query = f"SELECT count(*) FROM (SELECT 1 FROM incoming GROUP BY {columns} HAVING count(*) > 1)"
    ((repeated,),) = connection.execute(query).fetchall()
    if repeated:
        raise ValueError(f"{repeated} keys occur more than once; pass only the latest row of each key")
