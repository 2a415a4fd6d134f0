"""A contract changes while its table has rows: what Iceberg allows goes on, the rest is refused with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake import maintenance
from medallion_assets.silver.table import SILVER
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
    (result,) = bench.merge_pending("things")
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
            {"a": 1, "b": None},
            {"a": 2**40, "b": "b"},
            {"a": 3, "b": "b"},
        ]
        assert [rows[key]["l"] for key in "abc"] == [[1], [2**40], [3]]
        assert [dict(rows[key]["m"]) for key in "abc"] == [{"k": {"a": 1, "b": None}}, {}, {"k": {"a": 3, "b": "b"}}]
        assert [rows[key]["gone"] for key in "abc"] == ["here", None, None]
    (whole,) = bench.remerge_day("things")
    assert whole.published and {row["s"]["b"] for row in bench.rows("things")} == {"b"}, "a rerun fills what was added"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"N": "string"}, r"column n is int and cannot become string"),
        ({"D": "decimal(10,3)"}, r"column d is decimal\(10,2\) and cannot become decimal\(10,3\)"),
        ({"D": "decimal(9,2)"}, r"column d .* cannot become"),
        ({"Gone": "json"}, r"column gone holds values of string, and is declared json"),
        ({"L": "set<int>"}, r"column l holds values of list<int>, and is declared set<int>"),
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
