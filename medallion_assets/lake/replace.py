"""Stage new rows in place of the rows of some days or keys, or of the whole table: for a mart that recomputes a part.

Belongs here: which files go, which rows are deleted by position, and what comes. Does not belong here: which days or
keys (gold.changes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import DateType

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, stage_snapshot
from medallion_assets.lake.deletes import gather_deletes
from medallion_assets.lake.files import by_field_id, deleted_counts, deletes_sql, rows_sql
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.prune import files_with_keys
from medallion_assets.lake.schema import conform
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data, write_deletes


@translate_outages()
def stage_replace(
    lake: Lake,
    table: Table,
    rows: pa.Table,
    *,
    only: tuple[str, pa.Array] | None = None,
    properties: Mapping[str, str] = {},
    sort_by: Sequence[str] = (),
) -> Staged:
    """Stage one snapshot in which `rows` replace the rows that `only` names, or the whole table if it is None.

    `only` = (column, values): the rows whose column has one of these values; null may be among them. If the table is
    partitioned by the day of that column, whole files go; otherwise rows are deleted by position, so that other rows
    are not written again. With nothing to remove and nothing to add, nothing is written and Staged.changed is False.
    Raises ValueError for a row of another value.
    """
    table.refresh()
    main = table.metadata.current_snapshot_id
    rows = conform(rows, table.schema())
    contents = Contents.of(table, main)
    removed, positions = [*contents.data_files(), *contents.delete_files()], _NO_POSITIONS
    deletes: list[DataFile] = []
    if only is not None:
        _refuse_others(rows, *only)
        removed, positions = _find(lake, table, contents, *only)
    if positions.num_rows:
        with lake.duckdb() as connection:
            positions, reaching, gathered = gather_deletes(connection, contents, positions)
        deletes, removed = write_deletes(table, positions, reaching), [*removed, *gathered]
    staged = Staged(".".join(table.name()), main)
    if removed or deletes or rows.num_rows:
        staged = stage_snapshot(
            table,
            contents,
            operation=Operation.OVERWRITE if removed or deletes else Operation.APPEND,
            added=[*write_data(table, rows, sort_by=sort_by, prune_by=sort_by), *deletes],
            removed=removed,
            properties=properties,
        )
    return replace(staged, inserted=rows.num_rows)


_NO_POSITIONS = pa.table({"file_path": pa.array([], pa.string()), "pos": pa.array([], pa.int64())})


def _find(
    lake: Lake, table: Table, contents: Contents, column: str, values: pa.Array
) -> tuple[list[DataFile], pa.Table]:
    """Return the files in which every row has one of the values, and the positions of such rows in other files."""
    place = {spec.spec_id: _day_position(table, spec, column) for spec in table.specs().values()}
    days = set(values.cast(pa.int32()).to_pylist()) if set(place.values()) != {None} else set()
    whole = [
        file
        for file in (*contents.data_files(), *contents.delete_files())
        if (position := place[file.spec_id]) is not None and file.partition[position] in days
    ]
    mixed = [file for file in contents.data_files() if place[file.spec_id] is None]
    files, positions = _find_by_value(lake, table, mixed, contents.delete_files(), pa.table({column: values}))
    return [*whole, *files], positions


def _find_by_value(
    lake: Lake,
    table: Table,
    data_files: Sequence[DataFile],
    delete_files: Sequence[DataFile],
    wanted: pa.Table,
) -> tuple[list[DataFile], pa.Table]:
    """Do it by reading the column of `wanted` from the files that can have one of its values."""
    (column,), schema = wanted.column_names, table.schema()
    candidates = files_with_keys(schema, data_files, wanted, [column])
    if not candidates:
        return [], _NO_POSITIONS
    name = f"c{schema.find_field(column).field_id}"
    with lake.duckdb() as connection:
        connection.register("wanted", by_field_id(wanted, schema))
        found = connection.execute(f"""
            SELECT t.filename AS file_path, t.file_row_number AS pos FROM {rows_sql(connection, schema, candidates)} t
            SEMI JOIN wanted w ON t.{name} IS NOT DISTINCT FROM w.{name}
            ANTI JOIN {deletes_sql(delete_files)} d ON d.file_path = t.filename AND d.pos = t.file_row_number
        """).to_arrow_table()
        deleted = deleted_counts(connection, delete_files)
    counted = found.group_by("file_path").aggregate([([], "count_all")])
    counts = Counter(dict(zip(*(counted[one].to_pylist() for one in ("file_path", "count_all")), strict=True)))
    emptied = [file for file in candidates if counts[file.file_path] == file.record_count - deleted[file.file_path]]
    gone = pa.array([file.file_path for file in emptied], pa.string())
    return emptied, found.filter(pc.invert(pc.is_in(found["file_path"], value_set=gone)))


def _day_position(table: Table, spec: PartitionSpec, column: str) -> int | None:
    """Return the index of the partition field that is the day of a date, in days since 1970; None without one."""
    source = table.schema().find_field(column)
    for position, field in enumerate(spec.fields):
        by_day = isinstance(field.transform, IdentityTransform | DayTransform)
        if by_day and isinstance(source.field_type, DateType) and field.source_id == source.field_id:
            return position
    return None


def _refuse_others(rows: pa.Table, column: str, values: pa.Array) -> None:
    """Raise ValueError for a row of another value: the rows of that value stay, so it would be there twice."""
    strangers = rows.num_rows - (pc.sum(pc.is_in(rows.column(column), value_set=values)).as_py() or 0)
    if strangers:
        raise ValueError(
            f"{strangers} of {rows.num_rows} rows have a {column} whose rows are not replaced; expected rows of the "
            f"{len(values)} values only"
        )
