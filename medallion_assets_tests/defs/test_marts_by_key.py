"""A mart that is refreshed by a key, in Dagster: without partitions, with the number of keys in its metadata."""

from __future__ import annotations

import shutil
from typing import Any

import dagster as dg
import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.defs import sensors
from medallion_assets.defs.build import build_defs
from medallion_assets_tests.defs.runs import page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows
from medallion_assets_tests.defs.ticker import Ticker, keys
from medallion_assets_tests.gold.shop import DOMAIN

pytestmark = pytest.mark.usefixtures("lake_on_files")

MART = "gold/customer_orders"
KEY = dg.AssetKey(MART.split("/"))


@pytest.fixture(scope="module")
def by_key(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The shop with one mart: the orders of each customer."""
    folder = tmp_path_factory.mktemp("domain") / "shop"
    shutil.copytree(DOMAIN.folder, folder)
    shutil.rmtree(folder / "marts")
    mart = folder / "marts" / "customer_orders"
    mart.mkdir(parents=True)
    (mart / "query.sql").write_text("SELECT customer_id, COUNT(*) AS n FROM silver.orders GROUP BY customer_id")
    (mart / "mart.yaml").write_text(
        "owner: team:test\ngrain: [customer_id]\ncolumns: {customer_id: string, n: bigint}\n"
        "partition: {column: customer_id, table: orders, key_of: customer_id}\n"
    )
    return build_defs(load_domain(str(folder)))


def refreshed(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Return the metadata of the mart's last materialization."""
    event = instance.get_latest_materialization_event(KEY)
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.partition is None
    return {name: one.value for name, one in event.asset_materialization.metadata.items()}


def test_a_mart_by_key_has_no_partitions_and_says_how_many_keys_it_computed(
    by_key: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    ticker = Ticker(by_key, instance)
    assert by_key.resolve_asset_graph().get(KEY).partitions_def is None
    capture(customer("c1"), product("p1"), *(order(f"o{number}", customer=f"c{number}") for number in range(8)))
    ticker.run_until_idle()
    assert refreshed(instance)["refreshed_keys"] == 8
    capture(order("o1", customer="c2"))
    ticker.run_until_idle()
    found = refreshed(instance)
    assert (found["refreshed_keys"], found["refreshed_rows"]) == (2, 1)
    assert {row["customer_id"]: row["n"] for row in rows("gold", "customer_orders")}["c2"] == 2
    assert page_run(by_key, instance, MART).success
    assert refreshed(instance)["refreshed_keys"] == 7, "by hand: all of it"
    ticker.run_until_idle()

    assert page_run(by_key, instance, "silver/orders", days=[today()]).success
    request = ticker.tick()
    assert request is not None and keys(request) == {MART}
    assert request.partition_key is None
    assert ticker.run(request).success
    assert refreshed(instance).get("refreshed_keys") is None, "nothing had changed"
