from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table.snapshots import Operation

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake import commit, deletes, write
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import snapshot_summary
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows, sequence

PAIRED = ["id", "amount"]
DAY = dt.date(2026, 1, 26)


@pytest.mark.both_lakes
def test_a_newer_row_replaces_and_an_older_one_does_not(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    first = merge(lake, table, rows(ORDERS, order("a", 5, amount=Decimal("1.00")), order("b", 5)))
    assert (first.inserted, first.updated, first.superseded, first.unchanged) == (2, 0, 0, 0)
    second = merge(
        lake,
        table,
        rows(ORDERS, order("a", 6, amount=Decimal("2.00")), order("b", 4, amount=Decimal(9)), order("c", 1)),
    )
    assert (second.inserted, second.updated, second.superseded, second.unchanged) == (1, 1, 1, 0)
    assert read(lake, table, PAIRED) == [("a", Decimal("2.00")), ("b", None), ("c", None)]
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation is Operation.OVERWRITE


@pytest.mark.both_lakes
def test_a_row_deleted_by_position_is_not_found_again(lake: Lake) -> None:
    """Every version of "a" is in some file; only the live one is replaced, and deleted once."""
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    for number in (1, 2, 3, 4):
        merge(lake, table, rows(ORDERS, order("a", number, amount=Decimal(number))))
    assert read(lake, table, PAIRED) == [("a", Decimal("4.00"))]
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot_summary(table, snapshot.snapshot_id)["total-position-deletes"] == "3"


def test_a_replay_commits_nothing(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    batch = rows(ORDERS, order("a", 1), order("b", 2))
    first = merge(lake, table, batch)
    count = len(table.snapshots())
    replay = merge(lake, table, batch)
    assert not replay.changed
    assert (replay.snapshot_id, replay.unchanged) == (first.snapshot_id, 2)
    assert len(table.snapshots()) == count
    empty = merge(lake, table, batch.slice(0, 0))
    assert not empty.changed


def test_a_rerun_rewrites_rows_of_the_same_change_that_differ(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1, amount=Decimal(1)), order("b", 2), order("c", 3)))
    mended = rows(ORDERS, order("a", 1, amount=Decimal(7)), order("b", 2), order("c", 2, amount=Decimal(1)))
    assert not merge(lake, table, mended).changed
    rerun = merge(lake, table, mended, rewrite_equal=True)
    assert (rerun.updated, rerun.unchanged, rerun.superseded) == (1, 1, 1)
    assert read(lake, table, PAIRED) == [("a", Decimal("7.00")), ("b", None), ("c", None)]
    assert not merge(lake, table, mended, rewrite_equal=True).changed


def test_a_rerun_compares_values_that_are_not_plain(lake: Lake) -> None:
    """NaN equals NaN, null equals null, and a map, a list and a struct are compared by what they hold."""
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("double", pa.float64()),
            ("list", pa.list_(pa.string())),
            ("map", pa.map_(pa.string(), pa.int64())),
            ("struct", pa.struct([("a", pa.int32()), ("b", pa.binary())])),
            ("_sequence_number", pa.string()),
        ]
    )
    plain = {"double": float("nan"), "list": ["x", None], "map": [("k", 1)], "struct": {"a": None, "b": b"\xff"}}
    table = lake.ensure("silver", "odd", schema, key=["id"])
    there = [{"id": name, "_sequence_number": 1, **plain} for name in "abcde"]
    merge(lake, table, rows(schema, *there))
    differing: list[dict[str, Any]] = [
        {},
        {"double": None},
        {"list": ["x"]},
        {"map": [("k", None)]},
        {"struct": {"a": 0, "b": b"\xff"}},
    ]
    mended = rows(schema, *({**row, **change} for row, change in zip(there, differing, strict=True)))
    rerun = merge(lake, table, mended, rewrite_equal=True)
    assert (rerun.unchanged, rerun.updated) == (1, 4)
    assert not merge(lake, table, mended, rewrite_equal=True).changed


def test_null_orders_before_every_value(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    nulls = rows(ORDERS, order("a", 0), order("b", 0)).set_column(3, "_sequence_number", pa.nulls(2, pa.string()))
    merge(lake, table, nulls)
    assert merge(lake, table, nulls).unchanged == 2
    assert merge(lake, table, rows(ORDERS, order("a", 0))).updated == 1
    assert merge(lake, table, nulls).superseded == 1


def test_a_row_that_moves_to_another_partition_leaves_the_old_one(lake: Lake) -> None:
    table = lake.ensure(
        "silver",
        "orders",
        ORDERS,
        key=["id"],
        partition_by=[("day", "day"), ("id", "bucket[4]"), ("amount", "identity")],
    )
    days = [DAY + dt.timedelta(days=offset) for offset in range(3)]
    merge(lake, table, rows(ORDERS, *(order(name, 1, day=days[0], amount=Decimal("-1.5")) for name in "abcdefgh")))
    moved = rows(ORDERS, order("a", 2, day=days[1]), order("b", 2), order("c", 2, day=days[0], amount=Decimal("-1.5")))
    assert merge(lake, table, moved).updated == 3
    back = merge(lake, table, rows(ORDERS, order("a", 3, day=days[0]), order("b", 3, day=days[2], amount=Decimal(1))))
    assert back.updated == 2
    assert read(lake, table, ["id", "day"]) == [
        ("a", days[0]),
        ("b", days[2]),
        *((name, days[0]) for name in "cdefgh"),
    ]
    for file in Contents.of(table, table.metadata.current_snapshot_id).delete_files():
        assert len(file.partition) == 3, "a delete file belongs to the partition of the files it is about"


def test_a_partition_gathers_its_deletes_in_one_file(lake: Lake) -> None:
    """A reader opens every delete file first. Those of partitions that a merge deletes nothing in stay as they are."""
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[("day", "month")])
    months = [dt.date(2026, month, 1) for month in (1, 2, 3)]
    merge(lake, table, rows(ORDERS, *(order(f"{day}{name}", 1, day=day) for day in months for name in "abcdef")))

    def delete_files() -> dict[int, tuple[str, int]]:
        files = Contents.of(table, table.metadata.current_snapshot_id).delete_files()
        assert len(files) == len({file.partition for file in files})
        return {int(file.partition[0]) % 12 + 1: (file.file_path, file.record_count) for file in files}

    for number, name in enumerate("abc", start=2):
        merge(lake, table, rows(ORDERS, *(order(f"{day}{name}", number, day=day) for day in months[:2])))
    before = delete_files()
    assert {month: count for month, (_, count) in before.items()} == {1: 3, 2: 3}
    merge(lake, table, rows(ORDERS, order(f"{months[1]}a", 9, day=months[1]), order(f"{months[2]}a", 9, day=months[2])))
    assert delete_files()[1] == before[1]
    assert {month: count for month, (_, count) in delete_files().items()} == {1: 3, 2: 4, 3: 1}
    assert len(read(lake, table, ["id"])) == 18


def test_a_large_delete_file_is_not_written_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, *(order(name, 1) for name in "abc")))
    merge(lake, table, rows(ORDERS, order("a", 2)))
    monkeypatch.setattr(deletes, "SMALL_BYTES", 1)
    merge(lake, table, rows(ORDERS, order("b", 2)))
    files = Contents.of(table, table.metadata.current_snapshot_id).delete_files()
    assert [file.record_count for file in files] == [1, 1]
    assert len(read(lake, table, ["id"])) == 3


@pytest.mark.parametrize("transform", ["identity", "bucket[3]", "truncate[2]"])
def test_partitions_by_value_work_for_every_key_type(lake: Lake, transform: str) -> None:
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "text": (pa.string(), ["é1", "é2", "zz"]),
        "number": (pa.decimal128(38, 3), [Decimal("-1.500"), Decimal("0.000"), Decimal("99999999999999999999.125")]),
        "whole": (pa.int64(), [-1, 0, 2**60]),
        "bytes": (pa.binary(), [b"", b"\xff\xfe", b"\x00"]),
    }
    for name, (kind, values) in columns.items():
        schema = pa.schema([(name, kind), ("_sequence_number", pa.string())])
        table = lake.ensure("silver", name, schema, key=[name], partition_by=[(name, transform)])
        for number in (1, 2):
            batch = rows(schema, *({name: value, "_sequence_number": number} for value in values))
            staged = merge(lake, table, batch, key=[name])
            assert staged.inserted + staged.updated == 3
        assert sorted(read(lake, table, [name, "_sequence_number"])) == sorted((v, sequence(2)) for v in values)


@pytest.mark.parametrize("transform", ["year", "month", "day", "hour"])
def test_partitions_by_time_hold_times_before_1970_and_none(lake: Lake, transform: str) -> None:
    schema = pa.schema([("id", pa.string()), ("at", pa.timestamp("us", "UTC")), ("_sequence_number", pa.string())])
    table = lake.ensure("silver", "timed", schema, key=["id"], partition_by=[("at", transform)])
    times = [
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 26, 10, 30, tzinfo=dt.UTC),
        None,
    ]
    for number in (1, 2):
        batch = rows(schema, *({"id": str(i), "at": at, "_sequence_number": number} for i, at in enumerate(times)))
        merge(lake, table, batch)
    assert len(read(lake, table, ["id", "at"])) == 4
    with lake.duckdb() as connection:
        scan = lake.scan_sql(table, None)
        for bound, expected in (("\"at\" < '1970-01-01'", 1), ("\"at\" >= '2026-01-26'", 1), ('"at" IS NULL', 1)):
            found = connection.execute(f"SELECT count(*) FROM {scan} WHERE {bound}").fetchall()
            assert found == [(expected,)], "readers skip partitions by these values"


def test_only_files_whose_bounds_include_a_key_are_read(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """Keys with one long common beginning: bounds cut to 16 characters would tell nothing."""
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    prefix = "TENANT#0000000000000000#ORDER#"
    for block in range(5):
        merge(lake, table, rows(ORDERS, *(order(f"{prefix}{block}{n:03}", 1) for n in range(0, 100, 2))))
    with caplog.at_level("INFO", "medallion_assets.lake.merge"):
        assert merge(lake, table, rows(ORDERS, order(f"{prefix}3042", 2), order(f"{prefix}4998", 2))).updated == 1
        assert merge(lake, table, rows(ORDERS, order(f"{prefix}1999", 2), order("A", 2))).updated == 0
    looked_into = [record.message.partition("read ")[2].partition(":")[0] for record in caplog.records]
    assert looked_into == ["1 of 5 files", "0 of 6 files"]


def test_bounds_cut_short_by_another_writer_lose_no_row(lake: Lake) -> None:
    """pyiceberg's own append cuts bounds to 16 characters; the keys differ after that, or are the highest there are."""
    schema = pa.schema([("id", pa.binary()), ("name", pa.string()), ("_sequence_number", pa.string())])
    table = lake.ensure("silver", "foreign", schema, key=["id"])
    keys = [b"\xff" * 40, b"\x00" * 40, b"\xff" * 15 + b"\xfe" * 30, b"", b"a" * 2048]
    names = ["\U0010ffff" * 30, "a" * 30, "\uffff" * 20, "", "é" * 40]
    there = rows(schema, *({"id": k, "name": n, "_sequence_number": 1} for k, n in zip(keys, names, strict=True)))
    table.append(there.cast(table.schema().as_arrow()))
    newer = there.set_column(2, "_sequence_number", pa.array([sequence(2)] * 5))
    staged = merge(lake, table, newer)
    assert staged.updated == 5
    assert len(read(lake, table, ["id"])) == 5
    by_name = lake.ensure("silver", "foreign_by_name", schema, key=["name"])
    by_name.append(there.cast(by_name.schema().as_arrow()))
    assert merge(lake, by_name, newer, key=["name"]).updated == 5


def test_a_floating_key_is_refused(lake: Lake) -> None:
    schema = pa.schema([("id", pa.float64()), ("_sequence_number", pa.string())])
    with pytest.raises(SchemaMismatch, match="decimal, bigint or string"):
        lake.ensure("silver", "floats", schema, key=["id"])
    table = lake.ensure("silver", "floats", schema)
    with pytest.raises(SchemaMismatch, match="decimal, bigint or string"):
        stage_merge(lake, table, rows(schema, {"id": 1.5, "_sequence_number": 1}), key=["id"])


def test_text_too_long_for_bounds_does_not_hide_rows_from_readers(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet keeps no bounds for a row group with values over 4 KB; those of the others are not the file's."""
    monkeypatch.setattr(write, "ROW_GROUP_ROWS", 2)
    table = lake.ensure("silver", "long", schema := pa.schema([*ORDERS, pa.field("_extra", pa.string())]), key=["id"])
    long = "z" * 5000
    merge(lake, table, rows(schema, *(order(str(n), 1, _extra=long if n > 1 else "a") for n in range(4))))
    with lake.duckdb() as connection:
        scan = lake.scan_sql(table, None)
        assert connection.execute(f"SELECT count(*) FROM {scan} WHERE _extra = '{long}'").fetchall() == [(2,)]
    assert len(table.scan(row_filter=f"_extra == '{long}'").to_arrow()) == 2


def test_rows_that_are_not_the_tables_are_refused(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    good = rows(ORDERS, order("a", 1))
    for bad, word in (
        (good.drop_columns(["id"]), "Missing: id"),
        (good.append_column("more", pa.array([1])), "Not in the table: more"),
        (good.set_column(2, "amount", pa.array([Decimal("1.005")])), "amount"),
        (good.set_column(2, "amount", pa.array([True])), "amount"),
    ):
        with pytest.raises(SchemaMismatch, match=word):
            stage_merge(lake, table, bad, key=["id"])
    assert table.snapshots() == []


def test_a_null_or_repeated_key_is_refused(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS)
    with pytest.raises(ValueError, match="id is null in 1 of 2 rows"):
        nulls = rows(ORDERS, order("a", 1), {"id": None, "_sequence_number": 1})
        stage_merge(lake, table, nulls, key=["id"])
    with pytest.raises(ValueError, match="1 keys occur more than once"):
        stage_merge(lake, table, rows(ORDERS, order("a", 1), order("a", 2)), key=["id"])


def test_files_are_sorted_compressed_and_carry_field_ids(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, *(order(name, 1) for name in "cab")))
    merge(lake, table, rows(ORDERS, order("b", 2)))
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    data, (deletes,) = contents.data_files(), contents.delete_files()
    with table.io.new_input(data[-1].file_path).open() as stream:
        file = pq.ParquetFile(stream)
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        assert file.schema_arrow.field("amount").metadata[b"PARQUET:field_id"] == b"3"
    ids = {tuple(pq.read_table(table.io.new_input(f.file_path).open())["id"].to_pylist()) for f in data}
    assert ids == {("a", "b", "c"), ("b",)}
    with table.io.new_input(deletes.file_path).open() as stream:
        schema = pq.ParquetFile(stream).schema_arrow
    assert [(f.name, f.type, f.nullable, f.metadata[b"PARQUET:field_id"]) for f in schema] == [
        ("file_path", pa.string(), False, b"2147483546"),
        ("pos", pa.int64(), False, b"2147483545"),
    ]


def test_many_commits_leave_few_manifests(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader reads every manifest; without folding there would be two per commit."""
    monkeypatch.setattr(commit, "SMALL_MANIFESTS", 3)
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    for number in range(1, 11):
        merge(lake, table, rows(ORDERS, order("a", number), order(f"n{number}", 1)))
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    assert len(contents.manifests) <= 2 * 3
    assert len(contents.data_files()) == 10
    assert len(read(lake, table, ["id"])) == 11
    assert read(lake, table, ["id", "_sequence_number"])[0] == ("a", sequence(10))


def test_a_snapshot_says_what_it_was_staged_with(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    properties = {"medallion.objects": '["x"]', "medallion.run-id": "r1"}
    staged = stage_merge(lake, table, rows(ORDERS, order("a", 1)), key=["id"], properties=properties)
    publish(lake, table, staged, properties={"medallion.position": "{}"})
    reread = lake.table("silver", "orders")
    snapshot = reread.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.additional_properties.items() >= properties.items()
    assert snapshot.summary["total-records"] == "1"
    assert reread.properties["medallion.position"] == "{}"
