"""What a run remembers of the catalog makes no mart look more complete than the rows that it has read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from medallion_assets.defs.resources import MedallionResource
from medallion_assets.gold.completeness import Computation
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets_tests.gold.shop import NOW, Shop, order
from medallion_assets_tests.health.test_status import ledger_says

SALES = "daily_sales_by_region"


def test_the_ledger_of_a_run_is_not_newer_than_the_tables_that_it_remembers(lake_on_files: Path) -> None:
    with Lake.open(Settings.load().lake()) as theirs, MedallionResource().lake(remember_tables=True) as lake:
        other, before = Shop(theirs), NOW - timedelta(hours=1)
        other.write("orders", order(1))
        ledger_says(theirs, before)
        assert lake.find("silver", "orders") is not None  # as the run's Silver step leaves it
        other.write("orders", order(2))
        ledger_says(theirs, NOW)
        run = Shop(lake)
        run.refresh(SALES)
        assert [row["order_count"] for row in run.gold(SALES)] == [1], "the table as it is remembered"
        assert Computation.recorded(theirs.table("gold", SALES)) == Computation(NOW, {"orders": before})
