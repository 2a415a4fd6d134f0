"""Choose the data files that a merge has to read, by the bounds in the table's metadata.

Belongs here: comparing bounds with incoming rows. Does not belong here: reading rows (files).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, PrimitiveType


def files_with_keys(schema: Schema, files: Sequence[DataFile], rows: pa.Table, key: Sequence[str]) -> list[DataFile]:
    """Return the files whose bounds include at least one of the rows' values in every key column.

    Bounds may be truncated: then a lower bound is a prefix and an upper bound is rounded up, so both remain bounds. A
    missing bound includes every value. A null finds the files that may have one.
    """
    remaining = list(files)
    for name in key:
        column, field = rows.column(name), schema.find_field(name)
        values = _SortedValues(column.drop_null())
        remaining = [
            file
            for file in remaining
            if values.any_between(*_bounds(file, field)) or (column.null_count and _may_have_null(file, field))
        ]
    return remaining


def files_surely_older(
    schema: Schema, files: Sequence[DataFile], rows: pa.Table, order_by: Sequence[str]
) -> list[DataFile]:
    """Return the files whose rows are all older than all of `rows`, so that their `order_by` need not be read.

    The greatest values of the columns, taken together, are not smaller than any row: the comparison stays right.
    """
    columns = [rows.column(name) for name in order_by]
    if any(column.null_count or pa.types.is_floating(column.type) for column in columns):  # bounds do not include NaN
        return []
    oldest = tuple(pc.min(_physical(column)).as_py() for column in columns)
    fields = [schema.find_field(name) for name in order_by]
    newest = ((file, tuple(_bounds(file, field)[1] for field in fields)) for file in files)
    return [file for file, bounds in newest if None not in bounds and bounds < oldest]


def files_with_null(schema: Schema, files: Sequence[DataFile], names: Sequence[str]) -> list[DataFile]:
    """Return the files in which one of these columns may be null."""
    fields = [schema.find_field(name) for name in names]
    return [file for file in files if any(_may_have_null(file, field) for field in fields)]


def greatest(schema: Schema, files: Sequence[DataFile], name: str) -> tuple[bool, Any]:
    """Return whether the bounds of all files show the greatest value of a column, and that value, None without any.

    It is as in Iceberg's bounds: microseconds since 1970 for timestamps. Deleted rows count, too.
    """
    field = schema.find_field(name)
    having = [file for file in files if (file.null_value_counts or {}).get(field.field_id) != file.record_count]
    values = [_bounds(file, field)[1] for file in having]
    return None not in values, max(values, default=None) if None not in values else None


class _SortedValues:
    """A column as a sorted sequence of Python values; a binary search converts only the values it reads.

    It is sorted when the first search needs it. Keys are often hashes: then the bounds of nearly every file include any
    value, so also the first one.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._unsorted = _physical(column)

    @cached_property
    def _values(self) -> pa.Array:
        physical = self._unsorted.combine_chunks()
        return physical.take(pc.sort_indices(physical))

    def __len__(self) -> int:
        return len(self._unsorted)

    def __getitem__(self, index: int) -> Any:
        return self._values[index].as_py()

    def any_between(self, low: Any, high: Any) -> bool:
        """Return whether a value is in [low, high]; None is no bound."""
        if not len(self):
            return False
        any_value = self._unsorted[0].as_py()
        if any_value is not None and (low is None or low <= any_value) and (high is None or any_value <= high):
            return True
        first = 0 if low is None else bisect_left(self, low)
        return first < len(self) and (high is None or self[first] <= high)


def _physical(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values as in Iceberg's bounds: days since 1970 for dates, microseconds for timestamps."""
    if pa.types.is_date32(column.type):
        return column.cast(pa.int32())
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    return column


def _may_have_null(file: DataFile, field: NestedField) -> bool:
    return (file.null_value_counts or {}).get(field.field_id, 1) > 0


def _bounds(file: DataFile, field: NestedField) -> tuple[Any, Any]:
    if not isinstance(field.field_type, PrimitiveType):
        raise TypeError(f"{field.name} is {field.field_type}: expected a column of a primitive type as key or order")
    low = (file.lower_bounds or {}).get(field.field_id)
    high = (file.upper_bounds or {}).get(field.field_id)
    return (
        from_bytes(field.field_type, low) if low is not None else None,
        from_bytes(field.field_type, high) if high is not None else None,
    )
