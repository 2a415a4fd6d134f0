"""What a run remembers of the catalog makes no mart look more complete than the rows that it has read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from medallion_assets.defs.resources import MedallionResource
from medallion_assets.gold.completeness import Computation
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets_tests.gold.shop import NOW, Shop, order
from medallion_assets_tests.health.test_status import ledger_says

SALES = "daily_sales_by_region"


def test_the_ledger_of_a_run_is_not_newer_than_the_tables_that_it_remembers(lake_on_files: Path) -> None:
    resource = MedallionResource()
    with Lake.open(Settings.load().lake()) as theirs, resource.lake(remember_tables=True) as lake:
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
    resource.close()


def test_a_step_that_fails_does_not_close_the_lake_of_the_others(lake_on_files: Path) -> None:
    def rows(lake: Lake) -> int:
        with lake.duckdb() as connection:
            found = connection.execute(f"FROM {lake.scan_sql(lake.table('silver', 'orders'), None)}").fetchall()
        return len(found)

    resource = MedallionResource()
    with Lake.open(Settings.load().lake()) as theirs, resource.lake(remember_tables=True) as lake:
        shop = Shop(theirs)
        shop.write("orders", order(1))
        assert rows(lake) == 1
        shop.write("orders", order(2))
        assert rows(lake) == 1
        with pytest.raises(LookupError), resource.lake(remember_tables=True) as shared:
            assert shared is lake
            raise LookupError("a step fails")
        assert lake._database is not None, "the lake is open while a step uses it"
        assert rows(lake) == 2, "the first step goes on, and everything that was remembered is forgotten"
        with resource.lake(remember_tables=True) as again:
            assert again is not lake
            # What the one commits, the other remembers: they may be a mart's step and that of its table.
            assert rows(again) == 2
            Shop(lake).write("orders", order(3))
            assert rows(again) == 3
    assert lake._database is None, "the last caller has left it"
    assert again._database is not None, "the next step uses it"
    resource.close()
    assert again._database is None
