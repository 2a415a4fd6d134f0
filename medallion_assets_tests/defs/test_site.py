"""The asset `site/<domain>`: written in the run that refreshed Gold, and by the job `observe` when a table is held."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from medallion_assets.defs import sensors
from medallion_assets_tests.defs.shop import capture, customer, order, product
from medallion_assets_tests.defs.test_observe import tick
from medallion_assets_tests.defs.ticker import Ticker

pytestmark = pytest.mark.usefixtures("lake_on_files")

SITE = dg.AssetKey(["site", "ecommerce"])


@pytest.fixture
def ticker(shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    monkeypatch.setattr(sensors, "ASK_AGAIN", timedelta(0))
    return Ticker(shipped, instance)


def _shown(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the pointer, and the panels that a reader sees."""
    pointer = json.loads((root / "data/latest.json").read_text())
    document = json.loads((root / "data" / pointer["panels"]).read_text())
    return pointer, [panel for board in document["dashboards"] for row in board["rows"] for panel in row["panels"]]


def test_the_site_is_written_in_the_run_that_refreshed_gold(
    ticker: Ticker, lake_on_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lake_on_files / "site"
    monkeypatch.setenv("MEDALLION_SITE", str(root))
    monkeypatch.setenv("MEDALLION_DAGSTER_URL", "https://dagster.example.com")
    capture(customer("c1"), product("p1"), order("o1"), order("o2"))
    ticker.run_until_idle()
    pointer, panels = _shown(root)
    (orders,) = [panel for panel in panels if panel["title"] == "Orders today"]
    assert orders["value"] == 2
    assert set(pointer["marts"]) == {"daily_sales_by_region", "key_metrics", "product_performance"}
    made = ticker.instance.get_latest_materialization_event(SITE)
    assert made is not None and made.asset_materialization is not None
    first = made.asset_materialization.metadata["version"].value
    capture(order("o3"))
    ticker.run_until_idle()
    pointer, panels = _shown(root)
    (orders,) = [panel for panel in panels if panel["title"] == "Orders today"]
    assert orders["value"] == 3
    assert pointer["panels"] != f"{first}.json"
    assert (root / "data" / f"{first}.json").exists()


def test_a_held_table_is_said_by_the_job_that_observes(
    ticker: Ticker, lake_on_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that is held writes no site, because its marts are not refreshed."""
    root = lake_on_files / "site"
    monkeypatch.setenv("MEDALLION_SITE", str(root))
    monkeypatch.setenv("MEDALLION_DAGSTER_URL", "https://dagster.example.com")
    monkeypatch.setattr("medallion_assets.health.collect.EVENT_DELAY", timedelta(0))
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    before, _ = _shown(root)
    capture(*(order(f"bad{number}", amount="no number") for number in range(30)))
    request = ticker.tick()
    assert request is not None
    assert not ticker.run(request).success
    assert _shown(root)[0] == before
    job = ticker.definitions.resolve_job_def("observe")
    assert job.execute_in_process(instance=ticker.instance).success
    pointer, _ = _shown(root)
    assert pointer["panels"] == before["panels"]
    (held,) = pointer["marts"]["key_metrics"]["held"]
    assert (held["asset"], held["rule"]) == ("silver/orders", "quarantine_rate")
    assert held["url"] == "https://dagster.example.com/assets/silver/orders"
    assert pointer["marts"]["product_performance"]["held"] == [held]


def test_without_the_setting_nothing_asks_for_a_site(
    ticker: Ticker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    request = ticker.tick()
    assert request is not None and SITE not in (request.asset_selection or ())
    job = ticker.definitions.resolve_job_def("observe")
    assert job.execute_in_process(instance=ticker.instance, asset_selection=[SITE]).success
    assert ticker.instance.get_latest_materialization_event(SITE) is None
    with dg.DagsterInstance.local_temp(str(tmp_path)) as on_disk:
        assert tick(ticker.definitions, on_disk) == (1, "")
