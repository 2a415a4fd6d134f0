"""What another engine may do to a table: its columns stay, and what this package cannot read or write is said."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.snapshots import Operation
from pyiceberg.typedef import Record
from pyiceberg.types import IntegerType, StringType

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.duck import wrong_columns
from medallion_assets.lake.history import changed_rows
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows

PLACE = pa.struct([("lat", pa.int32())])
TALL = pa.struct([*PLACE, ("height", pa.int32())])
NESTED = pa.schema([*ORDERS, ("place", PLACE), ("parts", pa.list_(PLACE)), ("by_name", pa.map_(pa.string(), PLACE))])


def test_a_foreign_column_stays_and_is_null_in_our_rows(files_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(files_lake, table, rows(ORDERS, order("a", 1), order("b", 1)))
    with table.update_schema() as change:
        change.add_column("remark", StringType())
        change.move_first("remark")
    theirs = {**rows(ORDERS, order("c", 1)).to_pylist()[0], "remark": "theirs"}
    table.append(pa.Table.from_pylist([theirs], schema=table.schema().as_arrow()))
    since = table.metadata.current_snapshot_id

    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(files_lake, table, rows(ORDERS, order("a", 2), order("d", 2)))
    expected = [("a", None), ("b", None), ("c", "theirs"), ("d", None)]
    assert read(files_lake, table, ["id", "remark"]) == expected
    main = table.metadata.current_snapshot_id
    assert main is not None
    changed = changed_rows(files_lake, table, since=since, until=main, columns=["id", "remark"])
    assert changed is not None
    assert sorted(map(repr, changed.to_pylist())) == [
        "{'id': 'a', 'remark': None, '_side': 'new'}",
        "{'id': 'a', 'remark': None, '_side': 'old'}",
        "{'id': 'd', 'remark': None, '_side': 'new'}",
    ]

    again = merge(files_lake, table, rows(ORDERS, order("c", 1)), rewrite_equal=True)
    assert not again.changed, "a day that is merged again leaves a row that differs only in their column"

    monkeypatch.setattr("medallion_assets.lake.maintenance.COMMITS_BETWEEN", 1)
    monkeypatch.setattr("medallion_assets.lake.maintenance.FOLD_FILES", 2)
    assert compact(files_lake, table) is not None
    assert read(files_lake, table, ["id", "remark"]) == expected


def test_a_foreign_field_of_a_struct_stays_at_any_depth(files_lake: Lake) -> None:
    table = files_lake.ensure("silver", "orders", NESTED, key=["id"])
    values = {"place": {"lat": 1}, "parts": [{"lat": 2}, None], "by_name": [("x", {"lat": 3})]}
    merge(files_lake, table, rows(NESTED, order("a", 1, **values)))
    with table.update_schema() as change:
        change.add_column(("place", "height"), IntegerType())
        change.add_column(("parts", "height"), IntegerType())
        change.add_column(("by_name", "height"), IntegerType())
    table = files_lake.ensure("silver", "orders", NESTED, key=["id"])
    merge(files_lake, table, rows(NESTED, order("b", 2, **values)))
    high = {"place": {"lat": 1, "height": None}, "by_name": [("x", {"lat": 3, "height": None})]}
    scanned = table.scan().to_arrow().select(["place", "by_name", "parts"]).to_pylist()
    assert scanned == [{**high, "parts": [{"lat": 2, "height": None}, None]}] * 2


@pytest.mark.parametrize(
    ("found", "declared", "wrong"),
    [
        (ORDERS.append(pa.field("remark", pa.string())), ORDERS, []),
        (ORDERS.remove(0), ORDERS, ["id: expected VARCHAR, is missing"]),
        (ORDERS.set(0, pa.field("id", pa.int64())), ORDERS, ["id: expected VARCHAR, is BIGINT"]),
        (pa.schema([("place", TALL)]), pa.schema([("place", PLACE)]), []),
        (
            pa.schema([("place", PLACE)]),
            pa.schema([("place", TALL)]),
            ["place: expected STRUCT(lat INTEGER, height INTEGER), is STRUCT(lat INTEGER)"],
        ),
        (pa.schema([("parts", pa.list_(TALL))]), pa.schema([("parts", pa.list_(PLACE))]), []),
        (pa.schema([("m", pa.map_(pa.string(), TALL))]), pa.schema([("m", pa.map_(pa.string(), PLACE))]), []),
    ],
    ids=["more", "missing", "type", "more in a struct", "less in a struct", "more in a list", "more in a map"],
)
def test_only_declared_columns_are_compared(
    files_lake: Lake, found: pa.Schema, declared: pa.Schema, wrong: list[str]
) -> None:
    with files_lake.duckdb() as connection:
        connection.register("found", found.empty_table())
        assert wrong_columns(connection, "found", declared) == wrong


def test_a_required_foreign_column_becomes_optional(files_lake: Lake) -> None:
    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.add_column("remark", StringType(), required=True)
    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(files_lake, table, rows(ORDERS, order("a", 1)))
    assert read(files_lake, table, ["id", "remark"]) == [("a", None)]


@pytest.mark.parametrize(
    ("content", "file_format", "words"),
    [
        (DataFileContent.EQUALITY_DELETES, FileFormat.PARQUET, "equality deletes"),
        (DataFileContent.POSITION_DELETES, FileFormat.PUFFIN, "deletion vectors"),
        (DataFileContent.POSITION_DELETES, FileFormat.AVRO, "AVRO files"),
        (DataFileContent.DATA, FileFormat.ORC, "ORC files"),
    ],
)
def test_files_that_we_do_not_read_are_refused_with_the_way_out(
    files_lake: Lake, content: DataFileContent, file_format: FileFormat, words: str
) -> None:
    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(files_lake, table, rows(ORDERS, order("a", 1)))
    file = DataFile.from_args(
        content=content,
        file_path=f"{table.location()}/data/foreign",
        file_format=file_format,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=1,
        equality_ids=[1] if content is DataFileContent.EQUALITY_DELETES else None,
    )
    file.spec_id = 0
    base = Contents.of(table, table.metadata.current_snapshot_id)
    publish(files_lake, table, stage_snapshot(table, base, operation=Operation.OVERWRITE, added=[file]))
    with pytest.raises(
        SchemaMismatch, match=rf"silver.orders has {words} that another writer made.*rewrite_data_files"
    ):
        merge(files_lake, table, rows(ORDERS, order("a", 2)))


def test_a_table_of_another_format_version_is_refused_with_the_way_out(files_lake: Lake) -> None:
    table = files_lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(files_lake, table, rows(ORDERS, order("a", 1)))
    metadata = Path(table.metadata_location)
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "format-version": 3, "next-row-id": 1}))
    table = files_lake.table("silver", "orders")
    with pytest.raises(SchemaMismatch, match=r"silver.orders has version 3 of Iceberg's format.*expected 2"):
        merge(files_lake, table, rows(ORDERS, order("a", 2)))
    with pytest.raises(SchemaMismatch, match=r"silver.orders has version 3 of Iceberg's format.*expected 2"):
        files_lake.scan_sql(table, None)
