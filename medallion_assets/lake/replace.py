"""Stage new rows in place of whole days, or of the whole table: for a mart that recomputes some days.

Belongs here: which files go and which come. Does not belong here: which days (gold.changes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import DateType
from pyiceberg.utils.datetime import date_to_days

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, stage_snapshot
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.schema import conform
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data


@translate_outages()
def stage_replace(
    lake: Lake,
    table: Table,
    rows: pa.Table,
    *,
    branch: str,
    partitions: Sequence[date | None] | None,
    partition_column: str | None,
    properties: Mapping[str, str] = {},
    sort_by: Sequence[str] = (),
) -> Staged:
    """Stage one snapshot in which `rows` replace the rows of these days, or of the whole table if `partitions` is None.

    The table is partitioned by the day of `partition_column`. A None in `partitions` stands for the rows whose day is
    null. With nothing to remove and nothing to add, nothing is committed and Staged.changed is False. Raises
    SchemaMismatch if the table is partitioned otherwise, ValueError for a row of another day, CommitConflict if another
    writer was first.
    """
    table.refresh()
    main = table.metadata.current_snapshot_id
    rows = conform(rows, table.schema())
    contents = Contents.of(table, main)
    files = [*contents.data_files(), *contents.delete_files()]
    if partitions is not None:
        if partition_column is None:
            raise ValueError("days are given but no partition column")
        _refuse_other_days(rows, partition_column, partitions)
        days = {None if day is None else date_to_days(day) for day in partitions}
        day_of = {spec.spec_id: _day_position(table, spec, partition_column) for spec in table.specs().values()}
        files = [file for file in files if file.partition[day_of[file.spec_id]] in days]
    snapshot_id = main
    if files or rows.num_rows:
        snapshot_id = stage_snapshot(
            table,
            contents,
            branch=branch,
            operation=Operation.OVERWRITE if files else Operation.APPEND,
            added=write_data(table, rows, sort_by=sort_by, prune_by=sort_by),
            removed=files,
            properties=properties,
        )
    return Staged(".".join(table.name()), branch, main, snapshot_id, inserted=rows.num_rows)


def _day_position(table: Table, spec: PartitionSpec, column: str) -> int:
    """Return the index of the partition field that is the day of `column`, in days since 1970."""
    source = table.schema().find_field(column)
    for position, field in enumerate(spec.fields):
        by_date = isinstance(field.transform, IdentityTransform) and isinstance(source.field_type, DateType)
        if field.source_id == source.field_id and (by_date or isinstance(field.transform, DayTransform)):
            return position
    raise SchemaMismatch(
        f"{'.'.join(table.name())} is partitioned by {spec}, not by the day of {column}, so single days cannot be "
        "replaced. Create it with partition_by=[(column, 'day')]."
    )


def _refuse_other_days(rows: pa.Table, column: str, days: Sequence[date | None]) -> None:
    """Raise ValueError for a row of another day: the rows of that day stay, so it would be there twice."""
    distinct = pc.unique(rows.column(column).cast(pa.date32()))
    strangers = sorted({str(day) for day in distinct.to_pylist()} - {str(day) for day in days})
    if strangers:
        raise ValueError(
            f"{len(strangers)} days have rows but are not replaced, such as {strangers[0]}; pass all days of the rows"
        )
