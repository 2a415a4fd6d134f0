"""One table as DuckDB and pyiceberg read it, and as an engine does: columns, types and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyiceberg.table import Table
from pyiceberg.types import IcebergType, ListType, StructType

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.values import comparable_rows, duckdb_type

Read = Callable[[tuple[str, str]], tuple[Mapping[str, str], Answer]]
"""Reads a table with an engine: the types that it tells of the columns, and the answer to SELECT *."""


def differences(
    lake: Lake, tables: Iterable[tuple[str, str]], read: Read, type_name: Callable[[IcebergType], str]
) -> dict[str, list[str]]:
    """Return what an engine reads differently from DuckDB and pyiceberg, by table, without the tables that agree."""
    found = {".".join(name): _compare(lake, name, read, type_name) for name in tables}
    return {name: one for name, one in found.items() if one}


def _compare(lake: Lake, name: tuple[str, str], read: Read, type_name: Callable[[IcebergType], str]) -> list[str]:
    table = lake.table(*name)
    types = {field.name: field.field_type for field in table.schema().fields}
    duckdb_types, duckdb_rows = read_with_duckdb(lake, table)
    engine_types, answer = read(name)
    found = _unequal_types("DuckDB", duckdb_types, {name: duckdb_type(kind) for name, kind in types.items()})
    found += _unequal_types("the engine", engine_types, {name: type_name(kind) for name, kind in types.items()})
    if list(answer.columns) != list(types):
        return [*found, f"columns: expected {list(types)}, found {list(answer.columns)}"]
    expected = comparable_rows(types, duckdb_rows)
    found += _unequal_rows("the engine", list(types), comparable_rows(types, answer.rows), expected)
    # pyiceberg 0.12 reads a null list of structs as an empty list.
    same = {name: kind for name, kind in types.items() if not _is_list_of_structs(kind)}
    places = [list(types).index(name) for name in same]
    there = comparable_rows(same, [[row[place] for place in places] for row in duckdb_rows])
    found += _unequal_rows(
        "pyiceberg", list(same), comparable_rows(same, read_with_pyiceberg(table, list(same))), there
    )
    return found


def read_with_duckdb(lake: Lake, table: Table) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return the columns' types and the rows of a table as it is published."""
    with lake.duckdb() as connection:
        columns = ", ".join(identifier(field.name) for field in table.schema().fields)
        query = f"SELECT {columns} FROM {lake.scan_sql(table, None)}"
        types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {query}").fetchall()}
        rows = connection.execute(query).to_arrow_table()
    return types, [tuple(row.values()) for row in rows.to_pylist()]


def read_with_pyiceberg(table: Table, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the rows of a table as it is published."""
    return [tuple(row[name] for name in columns) for row in table.scan().to_arrow().to_pylist()]


def _is_list_of_structs(kind: IcebergType) -> bool:
    return isinstance(kind, ListType) and isinstance(kind.element_type, StructType)


def _unequal_types(reader: str, found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return [
        f"{reader}: {name} is {found.get(name)}, expected {kind}"
        for name, kind in expected.items()
        if found.get(name, "missing").replace('"', "") != kind
    ]


def _unequal_rows(
    reader: str, names: list[str], found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]
) -> list[str]:
    if len(found) != len(expected):
        return [f"{reader}: {len(found)} rows, expected {len(expected)}"]
    return [
        f"{reader}: {name} is {one!r}, expected {other!r}"
        for row, wanted in zip(found, expected, strict=True)
        if row != wanted
        for name, one, other in zip(names, row, wanted, strict=True)
        if one != other
    ]
