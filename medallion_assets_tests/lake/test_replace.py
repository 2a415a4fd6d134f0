from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.lake.snapshot import Contents
from medallion_assets_tests.lake.tables import merge, read, rows

SALES = pa.schema([("day", pa.date32()), ("region", pa.string()), ("revenue", pa.decimal128(38, 2))])
ONE, TWO, THREE = (dt.date(2026, 1, number) for number in (1, 2, 3))


def sales(*values: tuple[dt.date | None, str, str]) -> pa.Table:
    records = [{"day": day, "region": region, "revenue": Decimal(revenue)} for day, region, revenue in values]
    return pa.Table.from_pylist(records, schema=SALES)


def replace(lake: Lake, table: Any, new: pa.Table, days: list[dt.date | None] | None) -> Any:
    staged = stage_replace(lake, table, new, branch="audit", partitions=days, partition_column="day")
    publish(lake, table, staged)
    return staged


@pytest.mark.both_lakes
@pytest.mark.parametrize("transform", ["day", "identity"])
def test_exactly_the_given_days_are_replaced(lake: Lake, transform: str) -> None:
    table = lake.ensure("gold", "sales", SALES, partition_by=[("day", transform)])
    replace(lake, table, sales((ONE, "EU", "1"), (TWO, "EU", "2"), (TWO, "US", "3"), (None, "EU", "4")), None)
    kept = {file.file_path for file in Contents.of(table, table.metadata.current_snapshot_id).data_files()}
    replace(lake, table, sales((TWO, "EU", "20"), (THREE, "EU", "30")), [TWO, THREE])
    assert read(lake, table, ["day", "region", "revenue"]) == [
        (None, "EU", Decimal("4.00")),
        (ONE, "EU", Decimal("1.00")),
        (TWO, "EU", Decimal("20.00")),
        (THREE, "EU", Decimal("30.00")),
    ]
    now = {file.file_path for file in Contents.of(table, table.metadata.current_snapshot_id).data_files()}
    assert len(kept & now) == 2, "files of other days are not touched"
    replace(lake, table, sales(), [ONE, None])
    assert read(lake, table, ["day"]) == [(TWO,), (THREE,)]


def test_replacing_the_whole_table_leaves_only_the_new_rows(lake: Lake) -> None:
    table = lake.ensure("gold", "products", SALES)
    replace(lake, table, sales((ONE, "EU", "1"), (TWO, "EU", "2")), None)
    replace(lake, table, sales((ONE, "US", "5")), None)
    assert read(lake, table, ["region"]) == [("US",)]
    replace(lake, table, sales(), None)
    assert read(lake, table, ["region"]) == []


def test_nothing_for_nothing_commits_nothing(lake: Lake) -> None:
    table = lake.ensure("gold", "sales", SALES, partition_by=[("day", "day")])
    replace(lake, table, sales((ONE, "EU", "1")), [ONE])
    count = len(table.snapshots())
    assert not replace(lake, table, sales(), [TWO]).changed
    assert len(table.snapshots()) == count


def test_deletes_in_a_replaced_day_go_with_it_and_others_stay(lake: Lake) -> None:
    schema = pa.schema([("id", pa.string()), ("day", pa.date32()), ("_sequence_number", pa.string())])
    table = lake.ensure("gold", "keyed", schema, key=["id"], partition_by=[("day", "day")])
    values = [{"id": name, "day": day, "_sequence_number": 1} for name, day in (("a", ONE), ("b", ONE), ("c", TWO))]
    merge(lake, table, rows(schema, *values, {"id": "d", "day": TWO, "_sequence_number": 1}))
    merge(lake, table, rows(schema, *({**row, "_sequence_number": 2} for row in (values[0], values[2]))))
    replace(lake, table, rows(schema, {"id": "e", "day": ONE, "_sequence_number": 1}), [ONE])
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    assert len(contents.delete_files()) == 1
    assert [id for (id,) in read(lake, table, ["id"])] == ["c", "d", "e"]
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert (snapshot.summary["total-data-files"], snapshot.summary["total-delete-files"]) == ("3", "1")


def test_a_row_of_a_day_that_is_not_replaced_is_refused(lake: Lake) -> None:
    table = lake.ensure("gold", "sales", SALES, partition_by=[("day", "day")])
    with pytest.raises(ValueError, match="2026-01-02"):
        replace(lake, table, sales((ONE, "EU", "1"), (TWO, "EU", "1")), [ONE])


def test_days_of_a_table_that_is_not_partitioned_by_them_are_refused(lake: Lake) -> None:
    table = lake.ensure("gold", "months", SALES, partition_by=[("day", "month")])
    with pytest.raises(SchemaMismatch, match="not by the day of day"):
        replace(lake, table, sales((ONE, "EU", "1")), [ONE])
