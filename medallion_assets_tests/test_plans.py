"""No query of ours compares every row of one table with every row of another: no nested loop, no cross product.

DuckDB's profiler tells the plan of each statement, with the rows that each operator really had. The history below runs
the statements of batches, reruns, replays, audits, marts, observers, maintenance, a reconciliation and a repair. Which
operator joins two tables follows from the condition of the join, not from their sizes, so small tables are enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.gold.published import audit_published as audit_published_mart
from medallion_assets.health.collect import collect_health
from medallion_assets.health.run_events import RunEvents
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.update import update_ledger
from medallion_assets.silver.audit import check_names
from medallion_assets.silver.batches import remerge_day
from medallion_assets.silver.published import audit_published
from medallion_assets.silver.quarantine import drop
from medallion_assets.silver.replay import replay
from medallion_assets_tests.fixtures.everything import Shop, order

QUADRATIC: Final = frozenset(
    {"BLOCKWISE_NL_JOIN", "NESTED_LOOP_JOIN", "CROSS_PRODUCT", "PIECEWISE_MERGE_JOIN", "IE_JOIN"}
)
"""The operators whose work, or whose result, may grow with the product of their inputs.

Only a cross product with at most one row is allowed: so DuckDB joins the value of a subquery, as in a mart's SQL.
"""

ROWS: Final = 20
BAD: Final = 5
"""How many rows of 20 times as many may be bad: more stop a batch."""


class _Profiled:
    """A connection that adds the plan of each statement to `plans`, as DuckDB's profiler tells it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plans: list[tuple[str, dict[str, Any]]]) -> None:
        self._connection = connection
        self._plans = plans
        connection.execute("PRAGMA enable_profiling = 'no_output'")

    def execute(self, query: str, *parameters: Any) -> duckdb.DuckDBPyConnection:
        result = self._connection.execute(query, *parameters)
        self._plans.append((query, json.loads(self._connection.get_profiling_information("json"))))
        return result

    sql = execute

    def __enter__(self) -> _Profiled:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The statements that were executed on a lake since, each with its plan."""
    found: list[tuple[str, dict[str, Any]]] = []
    connect = Lake.duckdb
    monkeypatch.setattr(Lake, "duckdb", lambda lake: _Profiled(connect(lake), found))
    return found


@pytest.mark.slow
def test_no_plan_compares_all_rows_with_all_rows(
    files_lake: Lake, tmp_path: Path, plans: list[tuple[str, dict[str, Any]]]
) -> None:
    shop = Shop.on(files_lake, tmp_path)
    _play(shop)
    joins = [join for query, plan in plans for join in _joins(query, plan)]
    assert not {
        query: (kind, rows)
        for kind, rows, query in joins
        if kind in QUADRATIC and (kind != "CROSS_PRODUCT" or min(rows) > 1)
    }
    assert sum(kind == "HASH_JOIN" and min(rows) > 0 for kind, rows, _ in joins) > 100, "the history joins tables"


def _joins(query: str, node: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Yield each join of a plan: its operator, the rows of its two inputs, and the query."""
    children = node.get("children", [])
    if len(children) == 2:
        left, right = (child["operator_cardinality"] for child in children)
        yield node["operator_type"], (left, right), query
    for child in children:
        yield from _joins(query, child)


def _play(shop: Shop) -> None:
    """Run what reads the lake, often enough that no table which it joins is small."""
    pipeline, lake = shop.pipeline, shop.lake
    domain, marts, today = pipeline.domain, pipeline.marts, pipeline.now.date()
    for again in range(2):
        for number in range(ROWS):
            name = {"Name": f"Name {number} {again}", "Region": f"region {again}", "Tier": again}
            pipeline.put("Customers", {"CustomerID": f"c{number}", **name})
            pipeline.put("Orders", {**order(number, pipeline.now - timedelta(days=number % 2)), "Status": "paid"})
        for number in range(20 * BAD):
            value = "no number" if number < BAD else again
            pipeline.put("Readings", {"Device": f"d{number}", "At": again, "Small": value, "Names": ["a"]})
        if again:  # the second time, keys are deleted that were written again
            for number in range(0, ROWS, 2):
                pipeline.delete("Customers", {"CustomerID": f"c{number}"})
                pipeline.delete("Orders", {"OrderID": f"o{number}"})
        pipeline.run()
        update_ledger(lake, shop.store, domain, run_id=f"ledger-{again}", now=pipeline.now)
        collect_health(lake, shop.store, domain, marts, run_events=lambda after, to: RunEvents(()), now=pipeline.now)
    for contract in domain.tables:
        assert all(
            result.published
            for result in remerge_day(lake, shop.store, contract, domain, day=today, run_id="again", now=pipeline.now)
        )
        replay(lake, contract, domain, run_id="replay", now=pipeline.now)
        names = [name for name, _ in check_names(contract)]
        engine = EmbeddedEngine(lake)
        audit_published(lake, shop.store, contract, domain, names=names, now=pipeline.now, engine=engine)
    for mart in marts:
        audit_published_mart(lake, mart, engine=EmbeddedEngine(lake))
    drop(lake, domain.by_name["readings"], where="true", reason="test", run_id="drop", now=pipeline.now)
    shop.maintain()
    lake.table("silver", "customers").delete("customer_id LIKE 'c1%' OR customer_id LIKE 'c3%'")
    assert not shop.verify().agrees
    shop.repair("customers")
    pipeline.run()
    assert shop.verify().agrees
