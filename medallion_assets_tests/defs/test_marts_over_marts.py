"""Marts over marts in Dagster: one run in order, what a held mart holds up, and what follows a mart made by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import dagster as dg
import pytest

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs import sensors
from medallion_assets.defs.build import build_defs
from medallion_assets_tests.defs.runs import fared, incremental_run, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, snapshot
from medallion_assets_tests.defs.ticker import Ticker, keys
from medallion_assets_tests.fixtures.chain import chain_domain

pytestmark = pytest.mark.usefixtures("lake_on_files")

OVER_SALES = {"region_totals", "daily_share", "best_days"}


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return chain_domain(tmp_path_factory.mktemp("domain"))


@pytest.fixture(scope="module")
def chain(domain: Domain) -> dg.Definitions:
    return build_defs(domain)


@pytest.fixture
def ticker(chain: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    return Ticker(chain, instance)


def published() -> dict[str, int | None]:
    return {name: snapshot("gold", name) for name in OVER_SALES}


def test_one_run_refreshes_marts_after_those_that_they_read(
    chain: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    old = today() - timedelta(days=40)
    capture(customer("c1"), product("p1"), order("o1", on=old, amount="10.00"), order("o2", on=old, amount="5.50"))
    run = incremental_run(chain, instance, today())
    assert run.success
    assert {f"gold/{name}" for name in (*OVER_SALES, "this_week")} <= fared(run)["SUCCESS"], "none was skipped"
    assert [(row["day"], row["revenue"]) for row in rows("gold", "daily_share")] == [(old, Decimal("15.50"))]
    assert [(row["day"], row["orders_now"]) for row in rows("gold", "best_days")] == [(old, 2)]
    for name in ("daily_sales_by_region", "daily_share"):
        days = instance.get_materialized_partitions(dg.AssetKey(["gold", name]))
        assert days == {old.isoformat()}, "and not the capture day"


def test_a_mart_whose_check_blocks_holds_up_the_marts_over_it(
    chain: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), *(order(f"o{number}") for number in range(3)))
    assert incremental_run(chain, instance, today()).success
    before, shared = published(), rows("gold", "best_days")
    capture(*(order(f"p{number}") for number in range(1000)))
    run = incremental_run(chain, instance, today())
    assert fared(run)["FAILURE"] == {"gold/daily_share"}, "it allows 1000 orders a day"
    assert "gold/best_days" not in fared(run)["SUCCESS"]
    after = published()
    assert (after["daily_share"], after["best_days"]) == (before["daily_share"], before["best_days"])
    assert rows("gold", "best_days") == shared

    capture(*(order(f"p{number}", on=today() - timedelta(days=number % 9 + 1)) for number in range(1000)))
    assert incremental_run(chain, instance, today()).success
    assert {row["orders_now"] for row in rows("gold", "best_days")} == {1003}


def test_a_mart_made_by_hand_or_on_a_new_day_is_followed_by_those_over_it(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    assert page_run(ticker.definitions, ticker.instance, "gold/key_metrics").success
    request = ticker.tick()
    assert keys(request) == {"gold/this_week"}
    assert request is not None and ticker.run(request).success
    assert ticker.tick() is None
    assert page_run(ticker.definitions, ticker.instance, "gold/daily_sales_by_region", days=[today()]).success
    assert keys(ticker.tick()) == {f"gold/{name}" for name in OVER_SALES}


def test_the_page_shows_which_mart_and_column_a_mart_comes_from(chain: dg.Definitions) -> None:
    graph = chain.resolve_asset_graph()
    share = graph.get(dg.AssetKey(["gold", "daily_share"]))
    assert {key.to_user_string() for key in share.parent_keys} == {"gold/daily_sales_by_region", "gold/region_totals"}
    lineage = share.metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineage)
    assert {(dep.asset_key.path[-1], dep.column_name) for dep in lineage.deps_by_column["of_regions"]} == {
        ("region_totals", "revenue")
    }
