"""Whole tables audited by Trino: the same results as by DuckDB, on good tables and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.table.snapshots import Operation

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.model import DEFAULT_GRACE_MINUTES
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.engines.engine import Engine
from medallion_assets.gold import published as gold
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data
from medallion_assets.silver import published as silver
from medallion_assets.silver.audit import check_names
from medallion_assets_tests.gold.shop import TODAY, Shop, order
from medallion_assets_tests.gold.test_refresh import mart_of
from medallion_assets_tests.real_engines.test_marts_on_trino import MONDAY, TUESDAY, engine_on
from medallion_assets_tests.real_engines.trino import Trino
from medallion_assets_tests.silver.changes import NOON, Bench, Item, bench_on_files, contract, record


def warn(type_: str, **rule: Any) -> dict[str, Any]:
    return {"type": type_, "rules": [{**rule, "severity": "warn"}]}


GROUPS = contract("Group", {"Id": "string"}, key="Id")  # its name in the lake is a word of SQL
THINGS = contract(
    "Things",
    {
        "H": "string",
        "R": "int",
        "Whole": warn("int", values=[1, 2]),
        "Large": warn("bigint", max=2**53),
        "Exact": warn("decimal(38,10)", max=Decimal("1.0000000001")),
        "Rough": warn("double", max=Decimal("0.1")),
        "Low": warn("double", min=Decimal("0.1")),
        "Day": warn("date", min="2026-01-01"),
        "At": warn("timestamp", max="2026-01-01T00:00:00.000001Z"),
        "Yes": warn("bool", values=[True]),
        "Word": warn("string", values=["it's", "é"]),
        "There": warn("binary", required=True),
        "Group": warn("string", references="group"),
        "Groups": warn("set<string>", references="group"),
    },
    key=("H", "R"),
    rules={"row_count": {"max_drop": "0.5"}, "freshness": {"max_minutes": 60}},
)
GOOD: Item = {
    "Whole": {"N": "1"},
    "Large": {"N": str(2**53)},
    "Exact": {"N": "1.0000000001"},
    "Rough": {"N": "0.1"},
    "Low": {"N": "0.1"},
    "Day": {"S": "2026-01-01"},
    "At": {"S": "2026-01-01T00:00:00.000001Z"},
    "Yes": {"BOOL": True},
    "Word": {"S": "it's"},
    "There": {"B": b"x"},
    "Group": {"S": "a"},
    "Groups": {"SS": ["a", "b"]},
}
BAD: Item = {
    "Whole": {"N": "3"},
    "Large": {"N": str(2**53 + 1)},
    "Exact": {"N": "1.0000000002"},
    "Rough": {"N": "0.10000000000000002"},
    "Low": {"N": "0.09999999999999999"},
    "Day": {"S": "2025-12-31"},
    "At": {"S": "2026-01-01T00:00:00.000002Z"},
    "Yes": {"BOOL": False},
    "Word": {"S": "e"},
    "Group": {"S": "nobody"},
    "Groups": {"SS": ["a", "nowhere"]},
}


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = 0
        self.name = engine.name
        self.compute = engine.compute

    def select(self, *arguments: Any) -> pa.Table:
        self.asked += 1
        return self._engine.select(*arguments)


def append(lake: Lake, name: tuple[str, str], change: Callable[[pa.Table], pa.Table]) -> None:
    """Publish rows made of the table's own rows beside them, as another writer would."""
    table = lake.table(*name)
    with lake.duckdb() as connection:
        rows = connection.execute(f"SELECT * FROM {lake.scan_sql(table, None)}").to_arrow_table()
    files = write_data(table, change(rows).cast(table.schema().as_arrow()))
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))


def by_both(audit: Callable[[Engine], list[CheckResult]], trino: Engine, lake: Lake) -> dict[str, CheckResult]:
    """Audit by both engines, and compare everything that a result has."""
    one, other = audit(trino), audit(EmbeddedEngine(lake))
    assert one == other
    return {result.name: result for result in one}


def things(bench: Bench, engine: Engine, *, minutes: int = 0) -> dict[str, CheckResult]:
    names = [name for name, _ in check_names(THINGS)]
    now = NOON + timedelta(minutes=minutes)
    return by_both(
        lambda by: silver.audit_published(
            bench.lake, bench.store, THINGS, bench.domain, names=names, now=now, engine=by
        ),
        engine,
        bench.lake,
    )


def test_a_silver_table(trino: Trino, tmp_path: Path) -> None:
    with bench_on_files(tmp_path, GROUPS, THINGS) as bench:
        bench.put(*(record("Group", at, {"Id": {"S": one}}, {}) for at, one in enumerate("ab", start=1)))
        bench.merge_pending("group")
        bench.put(record("Things", 1, {"H": {"S": "h"}, "R": {"N": "1"}}, GOOD))
        bench.merge_pending("things")
        engine = Counting(engine_on(trino, bench.lake))
        found = things(bench, engine)
        assert all(result.passed for result in found.values())
        assert engine.asked == 5  # counts, keys, rules, and two columns of references
        assert found["freshness"].numbers["age_seconds"] == 0

        bench.put(
            record("Things", 2, {"H": {"S": "h"}, "R": {"N": "2"}}, BAD),
            record("Things", 3, {"H": {"S": "h"}, "R": {"N": "10"}}, BAD),
        )
        bench.merge_pending("things")
        append(bench.lake, ("silver", "things"), lambda rows: rows.slice(0, 1))
        assert things(bench, engine)["references"].numbers["group pending in group"] == 2
        found = things(bench, engine, minutes=DEFAULT_GRACE_MINUTES)
        assert found["keys"].numbers["repeated_keys"] == 1
        broken = [count for name, count in found["row_rules"].numbers.items() if name != "rows"]
        assert len(broken) == 10 and all(count == 2 or count == 3 for count in broken)
        assert set(found["row_rules"].examples) == {"h/2", "h/10"}
        assert found["references"].numbers == {
            "group without group": 2,
            "group pending in group": 0,
            "groups without group": 2,
            "groups pending in group": 0,
        }


def test_a_reference_to_a_table_that_is_not_there_yet(trino: Trino, tmp_path: Path) -> None:
    with bench_on_files(tmp_path, GROUPS, THINGS) as bench:
        bench.put(record("Things", 1, {"H": {"S": "h"}, "R": {"N": "1"}}, GOOD))
        bench.merge_pending("things")
        found = things(bench, engine_on(trino, bench.lake), minutes=DEFAULT_GRACE_MINUTES)
        assert found["references"].numbers["groups without group"] == 1


@pytest.mark.parametrize("pattern", [False, True])
def test_a_mart(trino: Trino, files_lake: Lake, tmp_path: Path, pattern: bool) -> None:
    """A rule with a pattern is DuckDB's, the rest is asked of Trino."""
    rules = [{"pattern": "[a-z]+"}] if pattern else []
    mart = mart_of(
        tmp_path / "sales",
        "SELECT CAST(order_date AS date) AS day, coalesce(customer_region, 'unknown') AS region, "
        "CAST(sum(total_amount) AS decimal(38,2)) AS sales, count(*) AS orders, "
        "CAST(max(total_amount) AS double) AS most FROM silver.orders "
        "GROUP BY CAST(order_date AS date), coalesce(customer_region, 'unknown')",
        {
            "day": "date",
            "region": {"type": "string", "rules": rules},
            "sales": {"type": "decimal(38,2)", "rules": [{"min": 0}]},
            "orders": {"type": "bigint", "rules": [{"max": 1, "severity": "warn"}]},
            "most": {"type": "double", "rules": [{"max": 100, "severity": "warn"}, {"required": True}]},
        },
        grain=["day", "region"],
        partition={"column": "day", "table": "orders", "day_of": "order_date"},
    )
    shop = Shop(files_lake)
    shop.write("orders", order(1, MONDAY), order(2, TUESDAY, "0.10"), order(3, TODAY, region="south"))
    shop.refresh(mart)
    engine = Counting(engine_on(trino, files_lake))

    def audited() -> dict[str, CheckResult]:
        return by_both(lambda by: gold.audit_published(files_lake, mart, engine=by), engine, files_lake)

    assert all(result.passed for result in audited().values())
    assert engine.asked == (3 if pattern else 4)

    def broken(rows: pa.Table) -> pa.Table:
        made = {"orders": 7, "sales": Decimal("-0.01"), "most": float("nan")}
        for name, value in made.items():
            field = rows.schema.field(name)
            rows = rows.set_column(
                rows.schema.get_field_index(name), field, pa.repeat(pa.scalar(value, field.type), rows.num_rows)
            )
        return rows

    append(files_lake, ("gold", mart.name), broken)
    append(files_lake, ("gold", mart.name), lambda rows: without(rows.filter(pc.equal(rows["day"], MONDAY)), "region"))
    found = audited()
    assert found["grain"].numbers == {"rows": 8, "repeated": 4, "rows with null in the grain": 2}
    assert f"day: {MONDAY}, region: null" in found["grain"].examples
    assert found["rules"].numbers["sales: min 0"] == 4
    assert found["warning_rules"].numbers["most: max 100"] == 4


def without(rows: pa.Table, name: str) -> pa.Table:
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.nulls(rows.num_rows, rows.schema.field(at).type))
