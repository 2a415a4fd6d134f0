"""What each engine calls an Iceberg type, and its values as values that compare between engines.

Some engines quote the names of a struct's fields; here they have no quotes.

Belongs here: types and values. Does not belong here: which tables are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pyiceberg.types import (
    DecimalType,
    DoubleType,
    IcebergType,
    ListType,
    MapType,
    StructType,
    TimestamptzType,
)

PRIMITIVES: Final[Mapping[str, tuple[str, str, str]]] = {
    # Iceberg: (Trino, Spark, DuckDB)
    "string": ("varchar", "string", "VARCHAR"),
    "boolean": ("boolean", "boolean", "BOOLEAN"),
    "int": ("integer", "int", "INTEGER"),
    "long": ("bigint", "bigint", "BIGINT"),
    "double": ("double", "double", "DOUBLE"),
    "binary": ("varbinary", "binary", "BLOB"),
    "date": ("date", "date", "DATE"),
    "timestamptz": ("timestamp(6) with time zone", "timestamp", "TIMESTAMP WITH TIME ZONE"),
}
"""The types without parts that a table of ours may have, with their names in each engine."""


def trino_type(kind: IcebergType) -> str:
    """Return Trino's name of the type."""
    if isinstance(kind, DecimalType):
        return f"decimal({kind.precision},{kind.scale})"
    if isinstance(kind, ListType):
        return f"array({trino_type(kind.element_type)})"
    if isinstance(kind, MapType):
        return f"map({trino_type(kind.key_type)}, {trino_type(kind.value_type)})"
    if isinstance(kind, StructType):
        return "row(" + ", ".join(f"{field.name} {trino_type(field.field_type)}" for field in kind.fields) + ")"
    return PRIMITIVES[str(kind)][0]


def spark_type(kind: IcebergType) -> str:
    """Return Spark's name of the type."""
    if isinstance(kind, DecimalType):
        return f"decimal({kind.precision},{kind.scale})"
    if isinstance(kind, ListType):
        return f"array<{spark_type(kind.element_type)}>"
    if isinstance(kind, MapType):
        return f"map<{spark_type(kind.key_type)},{spark_type(kind.value_type)}>"
    if isinstance(kind, StructType):
        return "struct<" + ",".join(f"{field.name}:{spark_type(field.field_type)}" for field in kind.fields) + ">"
    return PRIMITIVES[str(kind)][1]


def duckdb_type(kind: IcebergType) -> str:
    """Return DuckDB's name of the type."""
    if isinstance(kind, DecimalType):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if isinstance(kind, ListType):
        return f"{duckdb_type(kind.element_type)}[]"
    if isinstance(kind, MapType):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.value_type)})"
    if isinstance(kind, StructType):
        return "STRUCT(" + ", ".join(f"{field.name} {duckdb_type(field.field_type)}" for field in kind.fields) + ")"
    return PRIMITIVES[str(kind)][2]


def comparable(kind: IcebergType, value: Any) -> Any:
    """Return a value of this type, from whichever engine, as one that is equal only to the same value.

    A struct becomes a tuple, a map a sorted tuple of pairs, a time one in UTC. Python's own equality would take 1 for
    1.0 and for True, so every value comes with its type.
    """
    if value is None:
        return None
    if isinstance(kind, ListType):
        return tuple(comparable(kind.element_type, one) for one in value)
    if isinstance(kind, MapType):
        pairs = value.items() if isinstance(value, Mapping) else value
        return tuple(
            sorted(((comparable(kind.key_type, k), comparable(kind.value_type, v)) for k, v in pairs), key=repr)
        )
    if isinstance(kind, StructType):
        parts = list(value.values()) if isinstance(value, Mapping) else list(value)
        return tuple(comparable(field.field_type, one) for field, one in zip(kind.fields, parts, strict=True))
    if isinstance(kind, TimestamptzType) and isinstance(value, datetime):
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(kind, DoubleType) and isinstance(value, float) and math.isnan(value):
        value = "NaN"
    return (type(value).__name__, value)


def comparable_rows(types: Mapping[str, IcebergType], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the rows, whose values are in the order of `types`, comparable and in one order."""
    kinds = list(types.values())
    return sorted(
        (tuple(comparable(kind, one) for kind, one in zip(kinds, row, strict=True)) for row in rows), key=repr
    )
