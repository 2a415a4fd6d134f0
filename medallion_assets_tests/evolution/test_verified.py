"""After each change of shape that goes on by itself, the lake has the contract's shape and the rows of the source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.evolution.changes import compare
from medallion_assets.evolution.published import published_shape
from medallion_assets.evolution.shape import declared_shape
from medallion_assets.reconciliation.reconcile import reconcile
from medallion_assets_tests.repair.source import Clock, Items
from medallion_assets_tests.silver.changes import bench_on_files, contract, domain, record

COLUMNS: Mapping[str, Any] = {"Id": "string", "N": "int", "D": "decimal(10,2)", "S": "struct<A:int>"}
ITEM: Mapping[str, Any] = {
    "N": {"N": "1"},
    "D": {"N": "1.5"},
    "S": {"M": {"A": {"N": "1"}, "B": {"S": "b"}}},
    "New": {"S": "2026-03-01"},
    "Phone": {"S": "555"},
    "total_price": {"N": "2"},
    "totalPrice": {"N": "3"},
}
LESS = {"Id": "string", "D": "decimal(10,2)", "S": "struct<A:int>"}
CHANGES: dict[str, dict[str, Any]] = {
    "a new attribute is declared": {"columns": {**COLUMNS, "New": "date"}},
    "types are widened": {
        "columns": {**COLUMNS, "N": "bigint", "D": "decimal(38,2)", "S": "struct<A:bigint,B:string>"}
    },
    "renamed": {"columns": {**COLUMNS, "N": {"type": "int", "rename": "number", "renamed_from": "n"}}},
    "renamed and widened": {"columns": {**COLUMNS, "N": {"type": "bigint", "rename": "m", "renamed_from": "n"}}},
    "retired": {"columns": LESS, "retired": {"N": "int"}},
    "dropped": {"drop": ["Phone"]},
    "required": {"columns": {**COLUMNS, "N": {"type": "int", "rules": [{"required": True}]}}},
    "frozen": {"shape": "freeze"},
    "two attributes of one name": {
        "columns": {**COLUMNS, "total_price": "int", "totalPrice": {"type": "int", "rename": "total_price_2"}}
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_lake_equals_the_source(name: str, tmp_path: Path) -> None:
    rules = {"quarantine_share": {"max": 1}}
    before = contract("Things", COLUMNS, key="Id", rules=rules)
    after = contract("Things", CHANGES[name].get("columns", COLUMNS), key="Id", rules=rules, **_more(name))
    source = Items(before)
    with bench_on_files(tmp_path, before) as bench:

        def write(number: int, key: str, item: Mapping[str, Any]) -> None:
            source.put({"Id": {"S": key}, **item})
            bench.put(record("Things", number, {"Id": {"S": key}}, item))

        write(1, "old", ITEM)
        write(2, "plain", {"N": {"N": "1"}})
        write(3, "changed", ITEM)
        assert bench.merge_pending("things")[0].published
        bench.domain = domain(after)
        write(4, "changed", {**ITEM, "N": {"N": "2"}})
        write(5, "new", ITEM)
        assert all(result.published for result in bench.merge_pending("things"))
        shape = published_shape(bench.lake, after)
        assert shape is not None and compare("things", shape, declared_shape(after, bench.domain), after) == []
        compared = reconcile(
            bench.lake,
            bench.domain,
            after,
            source=source,
            store=bench.store,
            folder=tmp_path / "reconciled",
            catch_up=Clock().catch_up(),
        ).comparison
        assert compared.agrees, compared
        assert compared.equal == (2 if name == "frozen" else 4) and compared.source == 4


def _more(name: str) -> dict[str, Any]:
    return {part: value for part, value in CHANGES[name].items() if part != "columns"}
