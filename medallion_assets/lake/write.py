"""Write Arrow rows as Parquet files of a table: data files and position-delete files, with statistics for pruning.

Belongs here: files. Does not belong here: the snapshot that makes them visible (commit).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionFieldValue, PartitionKey
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import IcebergType, TimestampType, TimestamptzType
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.lake.schema import conform

ROW_GROUP_ROWS = 128 * 1024
# On orders, files of level 3 are as large (12.5 and 12.4 MB of 36 MB) and take 1.7 times the CPU.
COMPRESSION_LEVEL = 1
# Bytes in memory. Compressed on disk that is about 64 to 128 MB, the size that Iceberg and Athena prefer.
FILE_BYTES = 512 * 1024 * 1024

# Reserved ids: https://iceberg.apache.org/spec/#reserved-field-ids. `pos` is a long there; DuckDB aborts on an int.
PATH_ID, POS_ID = 2147483546, 2147483545
POSITIONS = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(PATH_ID)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POS_ID)}),
    ]
)


def write_data(
    table: Table, rows: pa.Table, *, sort_by: Sequence[str] = (), prune_by: Sequence[str] = ()
) -> list[DataFile]:
    """Write rows as data files, one or more per partition, each sorted by `sort_by`, and return the files.

    The columns `prune_by` get bounds of full length, the others truncated ones, which is Iceberg's default. Raises
    SchemaMismatch if the rows do not have the table's columns.
    """
    rows = conform(rows, table.schema())
    metrics = {f"write.metadata.metrics.column.{name}": "full" for name in prune_by}
    plan = compute_statistics_plan(table.schema(), {**table.properties, **metrics})
    ids = parquet_path_to_id_mapping(table.schema())

    def write(part: tuple[PartitionKey | None, pa.Table]) -> DataFile:
        partition, content = part
        # Without the partition's value, which may be too long for a path. Readers find it in the metadata.
        path = table.location_provider().new_data_location(f"{uuid.uuid4()}.parquet")
        size, metadata = _write_parquet(table, path, content)
        statistics = data_file_statistics_from_parquet_metadata(metadata, plan, ids)
        for field_id in _unbounded(metadata, ids):
            statistics.column_aggregates.pop(field_id, None)
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=partition.partition if partition else Record(),
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        file.spec_id = table.spec().spec_id
        return file

    return list(ExecutorFactory.get_or_create().map(write, _parts(table, rows, sort_by)))


def write_deletes(table: Table, positions: pa.Table, data_files: Iterable[DataFile]) -> list[DataFile]:
    """Write position deletes (file_path, pos) and return the files, one per partition of `data_files`.

    One file per partition and not one per data file: otherwise a small batch with scattered keys writes hundreds.
    """
    partitions: dict[tuple[int, Record], list[DataFile]] = {}
    for file in data_files:
        partitions.setdefault((file.spec_id, file.partition), []).append(file)
    positions = (
        positions.select(POSITIONS.names).cast(POSITIONS).sort_by([("file_path", "ascending"), ("pos", "ascending")])
    )

    def write(group: tuple[tuple[int, Record], list[DataFile]]) -> DataFile | None:
        (spec_id, partition), files = group
        paths = pa.array([file.file_path for file in files], pa.string())
        own = positions.filter(pc.is_in(positions["file_path"], paths)) if len(partitions) > 1 else positions
        if own.num_rows == 0:
            return None
        path = f"{files[0].file_path.rpartition('/')[0]}/{uuid.uuid4()}-deletes.parquet"
        size, _ = _write_parquet(table, path, own)
        first, last = own["file_path"][0].as_py(), own["file_path"][-1].as_py()
        low, high = pc.min_max(own["pos"]).as_py().values()
        deletes = DataFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=partition,
            record_count=own.num_rows,
            file_size_in_bytes=size,
            # Bounds with whole paths: a reader finds by them which data files the deletes apply to.
            lower_bounds={PATH_ID: first.encode(), POS_ID: struct.pack("<q", low)},
            upper_bounds={PATH_ID: last.encode(), POS_ID: struct.pack("<q", high)},
        )
        deletes.spec_id = spec_id
        return deletes

    written = ExecutorFactory.get_or_create().map(write, partitions.items())
    return [file for file in written if file is not None]


def _write_parquet(table: Table, path: str, content: pa.Table) -> tuple[int, pq.FileMetaData]:
    """Write one file and return its size in bytes, taken from the stream to save a request, and its footer."""
    with table.io.new_output(path).create(overwrite=True) as stream:
        with pq.ParquetWriter(
            stream,
            content.schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            store_decimal_as_integer=True,
        ) as writer:
            writer.write_table(content, row_group_size=ROW_GROUP_ROWS)
        return stream.tell(), writer.writer.metadata


def _unbounded(metadata: pq.FileMetaData, ids: dict[str, int]) -> set[int]:
    """Return the field ids of columns that have values but no bounds in a row group: long texts, only NaN.

    pyiceberg would take the bounds of the other row groups, and readers would skip rows that match.
    """
    unbounded = set()
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        for column in (group.column(i) for i in range(metadata.num_columns)):
            found = column.statistics
            if found is None or (not found.has_min_max and found.null_count != column.num_values):
                unbounded.add(ids[column.path_in_schema])
    return unbounded


def _parts(table: Table, rows: pa.Table, sort_by: Sequence[str]) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """Yield the sorted rows, cut at the borders of partitions and at the size of a file."""
    if rows.num_rows == 0:
        return
    order = [(name, "ascending") for name in sort_by]
    fields = table.spec().fields
    values: list[list[object]] = []
    keys = rows
    for number, field in enumerate(fields):
        distinct, codes = _partition_values(table, rows, field)
        values.append(distinct)
        keys = keys.append_column(f"\0partition {number}", codes)
    codes_of = [f"\0partition {number}" for number in range(len(fields))]
    if codes_of or order:
        sorting = pc.sort_indices(keys, [(name, "ascending") for name in codes_of] + order)
        rows, keys = rows.take(sorting), keys.select(codes_of).take(sorting)
    step = max(ROW_GROUP_ROWS, int(FILE_BYTES / max(1, rows.nbytes) * rows.num_rows))
    start = 0
    for combination, count in _runs(keys.select(codes_of), rows.num_rows):
        partition = None
        if fields:
            partition = PartitionKey(
                [PartitionFieldValue(field, values[i][combination[i]]) for i, field in enumerate(fields)],
                table.spec(),
                table.schema(),
            )
        for offset in range(start, start + count, step):
            yield partition, rows.slice(offset, min(step, start + count - offset))
        start += count


def _runs(codes: pa.Table, total: int) -> Iterator[tuple[list[int], int]]:
    """Yield each distinct row of the sorted codes with its count, in order."""
    if not codes.column_names:
        yield [], total
        return
    order = [(name, "ascending") for name in codes.column_names]
    counted = codes.group_by(codes.column_names).aggregate([([], "count_all")]).sort_by(order)
    for row in counted.to_pylist():
        count = row.pop("count_all")
        yield list(row.values()), count


def _partition_values(table: Table, rows: pa.Table, field: PartitionField) -> tuple[list[object], pa.Array]:
    """Return the distinct values of a partition field, and per row the index of its value.

    Iceberg's transforms are Python functions of one value, so they run once per distinct source value. Timestamps are
    rounded to hours first, the finest unit of a time transform.
    """
    kind: IcebergType = table.schema().find_type(field.source_id)
    column = rows.column(table.schema().find_column_name(field.source_id))
    if isinstance(kind, TimestampType | TimestamptzType) and str(field.transform) in ("hour", "day", "month", "year"):
        column = pc.floor_temporal(column, unit="hour")
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    transform = field.transform.transform(kind)
    transformed = [transform(value) for value in encoded.dictionary.to_pylist()]
    distinct = list(dict.fromkeys(transformed))
    number = {value: i for i, value in enumerate(distinct)}
    codes = pa.array([number[value] for value in transformed], pa.int32())
    return distinct, codes.take(encoded.indices)
