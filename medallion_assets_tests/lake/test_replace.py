from __future__ import annotations

import datetime as dt
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

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
    only = ("day", pa.array(days, pa.date32())) if days is not None else None
    staged = stage_replace(lake, table, new, only=only)
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
    with pytest.raises(ValueError, match="1 of 2 rows have a day whose rows are not replaced"):
        replace(lake, table, sales((ONE, "EU", "1"), (TWO, "EU", "1")), [ONE])


def test_days_of_a_table_that_is_partitioned_otherwise_are_replaced_too(lake: Lake) -> None:
    table = lake.ensure("gold", "months", SALES, partition_by=[("day", "month")])
    replace(lake, table, sales((ONE, "EU", "1"), (TWO, "EU", "2"), (None, "EU", "4")), None)
    replace(lake, table, sales((ONE, "US", "10")), [ONE, None])
    assert read(lake, table, ["day", "region"]) == [(ONE, "US"), (TWO, "EU")]


KEYED: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (pa.string(), ["", "a", "A", "ä", "a" * 40, "a" * 39 + "b", "\U0001f600", "'"]),
    "integer": (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1]),
    "decimal": (pa.decimal128(38, 2), [Decimal("-1.50"), Decimal(0), Decimal("1.50"), Decimal("9" * 36 + ".99")]),
    "date": (pa.date32(), [dt.date(1, 1, 1), dt.date(1969, 12, 31), ONE, dt.date(9999, 12, 31)]),
    "binary": (pa.binary(), [b"", b"\x00", b"\xff" * 40, b"a"]),
}


@pytest.mark.both_lakes
@pytest.mark.parametrize("kind", KEYED)
def test_exactly_the_rows_of_the_given_keys_are_replaced(lake: Lake, kind: str) -> None:
    """Any number of times, in files with rows of other keys, without keys, and with rows that are deleted already."""
    type_, some = KEYED[kind]
    keys: list[Any] = [*some, None]
    schema = pa.schema([("key", type_), ("line", pa.int64()), ("version", pa.int64())])
    table = lake.ensure("gold", "keyed", schema)
    random = Random(kind)
    expected: dict[Any, int] = {}

    def rows_of(chosen: list[Any], version: int) -> pa.Table:
        found = [{"key": key, "line": line, "version": version} for key in chosen for line in range(3)]
        return pa.Table.from_pylist(found, schema=schema)

    for version in range(8):
        chosen = random.sample(keys, random.randint(1, len(keys))) if version else keys
        present = [key for key in chosen if random.random() < 0.8]
        only = ("key", pa.array(chosen, type_)) if version else None
        staged = stage_replace(lake, table, rows_of(present, version), only=only, sort_by=["key"])
        publish(lake, table, staged)
        expected = {key: old for key, old in expected.items() if key not in chosen} | dict.fromkeys(present, version)
        wanted = [(key, line, version) for key, version in expected.items() for line in range(3)]
        assert sorted(read(lake, table, ["key", "line", "version"]), key=repr) == sorted(wanted, key=repr)


def test_few_keys_of_a_large_file_are_deleted_by_position_and_a_file_of_nothing_else_goes(lake: Lake) -> None:
    schema = pa.schema([("key", pa.int64())])
    table = lake.ensure("gold", "keyed", schema)

    def files() -> list[list[int]]:
        contents = Contents.of(table, table.metadata.current_snapshot_id)
        both = contents.data_files(), contents.delete_files()
        return [sorted(file.record_count for file in some) for some in both]

    def replace_keys(*keys: int) -> None:
        new = pa.table({"key": keys}, schema=schema)
        publish(lake, table, stage_replace(lake, table, new, only=("key", pa.array(keys)), sort_by=["key"]))

    publish(lake, table, stage_replace(lake, table, pa.table({"key": range(1000)}, schema=schema)))
    replace_keys(3, 900)
    assert files() == [[2, 1000], [2]]
    replace_keys(3, 900)
    assert files() == [[2, 1000], [2]]
    replace_keys(3)
    assert files() == [[1, 2, 1000], [3]]
    replace_keys(*range(1000))
    assert files()[0] == [1000]
    assert sorted(read(lake, table, ["key"])) == [(number,) for number in range(1000)]
