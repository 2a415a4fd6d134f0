"""Maintenance of a domain's tables: rows stay, history that is still needed stays, the rest goes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.schema import file_schema
from medallion_assets.maintenance.maintain import maintain
from medallion_assets_tests.gold.shop import DOMAIN, MARTS, Shop, customer, order, product

DAILY = "daily_sales_by_region"
MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)
# What the two lakes do alike is the lake room's to test.
pytestmark = pytest.mark.parametrize("lake", ["files"], indirect=True)


def tidy(shop: Shop, layer: str, name: str) -> int:
    return maintain(shop.lake, DOMAIN, MARTS.values(), layer=layer, name=name, older_than=timedelta(0))


@pytest.fixture
def shop(lake: Lake) -> Shop:
    """A few commits of orders, every mart up to date, then one more change that no mart has seen."""
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("products", product(1))
    for number in range(4):
        shop.write("orders", order(number, MONDAY, "1.00"))
    for name in MARTS:
        shop.refresh(name)
    shop.write("orders", order(9, TUESDAY, "2.00"))
    return shop


def test_a_mart_still_refreshes_only_what_changed_after_its_tables_were_expired(shop: Shop) -> None:
    assert tidy(shop, "silver", "orders") == 3
    assert shop.refresh(DAILY).days == (TUESDAY,)


def test_expiring_everything_else_changes_no_row(shop: Shop) -> None:
    for name in MARTS:
        shop.refresh(name)
    before = {name: shop.gold(name) for name in MARTS}
    for layer, names in (("silver", DOMAIN.by_name), ("gold", MARTS)):
        for name in names:
            tidy(shop, layer, name)
            assert len(shop.lake.table(layer, name).snapshots()) == 1
    assert {name: shop.gold(name) for name in MARTS} == before
    assert not any(shop.refresh(name).changed for name in MARTS)


def test_a_table_that_is_not_there_needs_nothing(lake: Lake) -> None:
    assert tidy(Shop(lake), "quarantine", "orders") == 0


def test_what_a_dead_run_left_goes_with_the_maintenance(shop: Shop) -> None:
    table = shop.lake.table("silver", "orders")
    staged = stage_merge(
        shop.lake,
        table,
        pa.Table.from_pylist([{**order(9), "order_id": "never", **shop._meta()}], file_schema(table.schema())),
        key=["order_id"],
    )
    left = [Path(file.removeprefix("file://")) for file in staged.files]
    assert maintain(shop.lake, DOMAIN, MARTS.values(), layer="silver", name="orders", older_than=timedelta(0)) == 3
    assert left and all(file.exists() for file in left), "their writer may be alive"
    maintain(
        shop.lake,
        DOMAIN,
        MARTS.values(),
        layer="silver",
        name="orders",
        older_than=timedelta(0),
        abandoned=timedelta(0),
    )
    assert not any(file.exists() for file in left)
    assert shop.refresh(DAILY).days == (TUESDAY,)
