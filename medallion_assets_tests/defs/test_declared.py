"""A contract or a mart that is changed or new: the sensor of a new process runs it without a change at the source."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.contracts.loader import domain_folder, load_domain
from medallion_assets.defs import sensors
from medallion_assets.defs.build import build_defs
from medallion_assets_tests.defs.shop import capture, customer, rows
from medallion_assets_tests.defs.ticker import Ticker, keys

MART = "SELECT region, COUNT(*) AS n FROM silver.customers GROUP BY region"
SPEC = "owner: team:test\ngrain: [region]\ncolumns: {region: string, n: bigint}\n"


@pytest.mark.usefixtures("lake_on_files")
def test_what_is_declared_otherwise_runs_in_a_new_process(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    shop = tmp_path / "shop"
    (shop / "tables").mkdir(parents=True)
    shutil.copy(domain_folder("ecommerce") / "domain.yaml", shop)
    contract = shop / "tables" / "customers.yaml"
    text = (domain_folder("ecommerce") / "tables" / "customers.yaml").read_text()
    contract.write_text(text.replace("  Region:", "  # Region:"))
    monkeypatch.setenv("MEDALLION_DOMAIN", str(shop))
    ticker = Ticker(build_defs(load_domain(str(shop))), instance)
    capture(customer("c1", region="EU"))
    ticker.run_until_idle()
    assert "region" not in rows("silver", "customers")[0]

    contract.write_text(text)
    (shop / "marts" / "regions").mkdir(parents=True)
    (shop / "marts" / "regions" / "mart.yaml").write_text(SPEC)
    query = shop / "marts" / "regions" / "query.sql"
    query.write_text(MART)
    ticker.definitions = build_defs(load_domain(str(shop)))
    request = ticker.tick()
    assert request is not None and keys(request) == {"silver/customers", "gold/regions"}
    assert ticker.run(request).success
    assert rows("silver", "customers")[0]["region"] == "EU"
    assert rows("gold", "regions") == [{"region": "EU", "n": 1}]
    assert ticker.tick() is None

    query.write_text(MART.replace("COUNT(*)", "COUNT(*) + 1"))
    ticker.definitions = build_defs(load_domain(str(shop)))
    request = ticker.tick()
    assert request is not None and keys(request) == {"gold/regions"}
    assert ticker.run(request).success
    assert rows("gold", "regions")[0]["n"] == 2
    ticker.definitions = build_defs(load_domain(str(shop)))
    assert ticker.tick() is None
