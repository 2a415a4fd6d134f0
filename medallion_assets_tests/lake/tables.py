"""Small tables the lake's tests share: a schema with a key and a sequence number, and reading back both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish

ORDERS = pa.schema(
    [
        ("id", pa.string()),
        ("day", pa.date32()),
        ("amount", pa.decimal128(18, 2)),
        ("_sequence_number", pa.string()),
        ("_deleted", pa.bool_()),
    ]
)


def sequence(number: int) -> str:
    """A sequence number as tables hold it."""
    return str(number).zfill(40)


def rows(schema: pa.Schema, *values: Mapping[str, Any]) -> pa.Table:
    """Rows from dicts; a number for the sequence number, and columns that are not given are null."""
    filled = [{**row, "_sequence_number": sequence(row["_sequence_number"])} for row in values]
    return pa.Table.from_pylist(filled, schema=schema)


def order(id: str, number: int, **more: Any) -> dict[str, Any]:
    return {"id": id, "_sequence_number": number, "_deleted": False, **more}


def merge(lake: Lake, table: Table, changes: pa.Table, *, key: Sequence[str] = ("id",), **options: Any) -> Staged:
    """Stage and publish."""
    staged = stage_merge(lake, table, changes, key=key, **options)
    publish(lake, table, staged)
    return staged


def read(lake: Lake, table: Table, columns: Iterable[str], snapshot_id: int | None = None) -> list[tuple[Any, ...]]:
    """The rows of a snapshot, sorted, having checked that DuckDB and pyiceberg read the same."""
    names = list(columns)
    scan = table.scan(snapshot_id=snapshot_id, selected_fields=tuple(names)).to_arrow().select(names)
    by_pyiceberg = sorted((tuple(row[name] for name in names) for row in scan.to_pylist()), key=repr)
    listed = ", ".join(f'"{name}"' for name in names)
    with lake.duckdb() as connection:
        by_duckdb = connection.execute(f"SELECT {listed} FROM {lake.scan_sql(table, snapshot_id)}").fetchall()
    assert sorted(by_duckdb, key=repr) == by_pyiceberg
    return by_pyiceberg


def stored(lake: Lake) -> set[str]:
    """Return the locations of all files of the tables, those of metadata included."""
    if lake.settings.catalog == "sqlite":
        return {str(path) for path in Path(lake.settings.warehouse, "silver").rglob("*") if path.is_file()}
    bucket = lake.settings.warehouse.split("/")[2]
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = (found["Key"] for page in pages for found in page.get("Contents", []))
    return {f"s3://{bucket}/{key}" for key in keys if not key.endswith("/")}
