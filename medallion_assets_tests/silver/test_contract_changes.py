"""A contract changes while its table has rows: what Iceberg allows goes on, the rest is refused with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake import maintenance
from medallion_assets.silver.table import DELETED, QUARANTINE, SILVER
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

BEFORE = {
    "Id": "string",
    "N": "int",
    "D": "decimal(10,2)",
    "S": "struct<A:int>",
    "L": "list<int>",
    "M": "map<struct<A:int>>",
    "Gone": "string",
}
AFTER = {
    "Id": "string",
    "N": "bigint",
    "D": "decimal(38,2)",
    "S": "struct<A:bigint,B:string>",
    "L": "list<bigint>",
    "M": "map<struct<A:int,B:string>>",
    "New": "date",
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, contract("Things", BEFORE, key="Id")) as opened:
        yield opened


def declare(bench: Bench, columns: dict[str, Any]) -> None:
    bench.domain = domain(contract("Things", columns, key="Id"))


def thing(number: int, key: str, n: str, **more: Any) -> dict[str, Any]:
    struct = {"M": {"A": {"N": n}, "B": {"S": "b"}}}
    item: dict[str, Any] = {
        "N": {"N": n},
        "D": {"N": n},
        "S": struct,
        "L": {"L": [{"N": n}]},
        "M": {"M": {"k": struct}},
    }
    return record("Things", number, {"Id": {"S": key}}, {**item, "Gone": {"S": "here"}, **more})


def test_columns_grow_are_added_and_are_no_longer_declared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(thing(1, "a", "1"), thing(2, "b", "2"))
    assert bench.merge_pending("things")[0].published
    declare(bench, AFTER)
    large = str(2**40)
    bench.put(thing(3, "b", large, M={"M": {}}, New={"S": "2026-03-01"}), thing(4, "c", "3"))
    filled, result = bench.merge_pending("things")
    assert (filled.published, filled.enriched, filled.merged) == (True, 2, 0)
    assert (result.published, result.updated, result.inserted, result.quarantined) == (True, 1, 1, 0)
    for step in ("merged", "compacted"):
        if step == "compacted":
            monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 1)
            monkeypatch.setattr(maintenance, "FOLD_FILES", 2)
            assert maintenance.compact(bench.lake, bench.lake.table(SILVER, "things")) is not None
        rows = {row["id"]: row for row in bench.rows("things")}
        assert [rows[key]["n"] for key in "abc"] == [1, 2**40, 3], step
        assert [rows[key]["d"] for key in "abc"] == [Decimal("1.00"), Decimal(large), Decimal("3.00")]
        assert [rows[key]["s"] for key in "abc"] == [
            {"a": 1, "b": "b"},
            {"a": 2**40, "b": "b"},
            {"a": 3, "b": "b"},
        ]
        assert [rows[key]["l"] for key in "abc"] == [[1], [2**40], [3]]
        assert [dict(rows[key]["m"]) for key in "abc"] == [{"k": {"a": 1, "b": "b"}}, {}, {"k": {"a": 3, "b": "b"}}]
        assert [rows[key]["gone"] for key in "abc"] == ["here", None, None]
    (whole,) = bench.remerge_day("things")
    assert (whole.published, whole.updated) == (True, 1), "what is no longer declared is in no column after a rerun"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"N": "string"}, r"column n is int and cannot become string"),
        ({"D": "decimal(10,3)"}, r"column d is decimal\(10,2\) and cannot become decimal\(10,3\)"),
        ({"D": "decimal(9,2)"}, r"column d .* cannot become"),
        ({"Gone": "json"}, r"column gone has values of string, and is declared json"),
        ({"L": "set<int>"}, r"column l has values of list<int>, and is declared set<int>"),
        ({"S": "map<int>"}, r"column s is struct"),
    ],
    ids=str,
)
def test_any_other_change_is_refused_with_the_way_out(bench: Bench, columns: dict[str, str], said: str) -> None:
    bench.put(thing(1, "a", "1"))
    bench.merge_pending("things")
    declare(bench, BEFORE | columns)
    bench.put(thing(2, "b", "2"))
    with pytest.raises(
        SchemaMismatch, match=said + r".*give the attribute another name|" + said + r".*Give the attribute"
    ):
        bench.merge_pending("things")


def test_a_renamed_column_keeps_its_values_and_a_retired_one_leaves(bench: Bench) -> None:
    bench.put(thing(1, "a", "1"), thing(2, "b", "2"))
    bench.merge_pending("things")
    before = bench.lake.table(SILVER, "things")
    columns = BEFORE | {"N": {"type": "bigint", "rename": "number", "renamed_from": "n"}}
    columns.pop("Gone")
    bench.domain = domain(contract("Things", columns, key="Id", retired={"Gone": "string"}))
    bench.put(thing(3, "b", "3"))
    for _ in range(2):  # what is done already is not done again
        bench.merge_pending("things")
    assert {row["id"]: row["number"] for row in bench.rows("things")} == {"a": 1, "b": 3}
    assert all("gone" not in row and "n" not in row and "Gone" not in row["_extra"] for row in bench.rows("things"))
    now = bench.lake.table(SILVER, "things")
    assert now.schema().find_field("number").field_id == before.schema().find_field("n").field_id
    old = before.metadata.current_snapshot_id
    with bench.lake.duckdb() as connection:
        rows = connection.execute(f"SELECT id, number FROM {bench.lake.scan_sql(now, old)} ORDER BY id").fetchall()
    assert rows == [("a", 1), ("b", 2)], "an older snapshot is read with the names of today"
    assert [row["gone"] for row in before.scan(snapshot_id=old).to_arrow().to_pylist()] == ["here", "here"]


def test_a_renamed_key_is_renamed_in_the_table_of_deleted_keys_too(bench: Bench) -> None:
    bench.put(thing(1, "a", "1"), thing(2, "b", "2"), record("Things", 3, {"Id": {"S": "b"}}, None))
    bench.merge_pending("things")
    declare(bench, BEFORE | {"Id": {"type": "string", "rename": "thing_id", "renamed_from": "id"}})
    bench.put(thing(4, "c", "3"), record("Things", 5, {"Id": {"S": "a"}}, None))
    assert bench.merge_pending("things")[0].published
    assert [row["thing_id"] for row in bench.rows("things")] == ["c"]
    assert sorted(row["thing_id"] for row in bench.rows("things", namespace=DELETED)) == ["a", "b"]


def test_a_column_is_not_renamed_to_one_that_the_table_has(bench: Bench) -> None:
    bench.put(thing(1, "a", "1"))
    bench.merge_pending("things")
    declare(bench, BEFORE | {"New": "date"})
    bench.put(thing(2, "b", "1"))
    bench.merge_pending("things")
    columns = {name: type_ for name, type_ in BEFORE.items() if name != "Gone"}
    declare(bench, columns | {"New": {"type": "date", "renamed_from": "gone"}})
    bench.put(thing(3, "c", "1"))
    with pytest.raises(SchemaMismatch, match=r"both gone and new.*Retire gone, or make the table again"):
        bench.merge_pending("things")


def test_a_frozen_table_takes_no_attribute_that_it_does_not_declare(bench: Bench) -> None:
    frozen = contract("Things", BEFORE, key="Id", shape="freeze", rules={"quarantine_share": {"max": 1}})
    bench.domain = domain(frozen)
    more = {"More": {"S": "x"}, "S": {"M": {"A": {"N": "1"}}}, "M": {"M": {}}}
    whole = {"S": {"M": {"A": {"N": "1"}}}, "M": {"M": {}}}
    bench.put(thing(1, "a", "1", **whole), thing(2, "b", "2", **more))
    (result,) = bench.merge_pending("things")
    assert (result.inserted, result.quarantined) == (1, 1)
    (row,) = bench.rows("things", namespace=QUARANTINE)
    assert row["reason"] == "attributes that the contract does not declare: More" and row["column_name"] is None
    bench.put(record("Things", 3, {"Id": {"S": "b"}}, None))
    assert bench.merge_pending("things")[0].deleted == 1, "a deletion has no attributes but its key"


def test_a_scalar_that_becomes_a_map_goes_to_quarantine(bench: Bench) -> None:
    bench.domain = domain(contract("Things", BEFORE, key="Id", rules={"quarantine_share": {"max": 1}}))
    bench.put(thing(1, "a", "1"), thing(2, "b", "2"))
    bench.merge_pending("things")
    bench.put(thing(3, "a", "1", Gone={"M": {"text": {"S": "here"}}}))
    assert bench.merge_pending("things")[0].quarantined == 1
    assert {row["id"]: row["gone"] for row in bench.rows("things")} == {"a": "here", "b": "here"}
    (row,) = bench.rows("things", namespace=QUARANTINE)
    assert row["column_name"] == "gone" and "saw" in row["reason"]
