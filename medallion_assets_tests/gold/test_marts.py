"""The shop's marts equal an oracle in plain Python after every step, and touched days equal a full recompute."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.engines.embedded import Embedded
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets_tests.gold.shop import (
    MARTS,
    TODAY,
    Row,
    Shop,
    customer,
    daily_sales_by_region,
    key_metrics,
    order,
    ordered,
    product,
    product_performance,
)

DAILY = "daily_sales_by_region"
REGIONS = (None, "north", "south")
# Around every edge of a window: today, yesterday, 7, 14, 30, 60, 90 and 180 days, and tomorrow.
DAYS = [TODAY - timedelta(days=ago) for ago in (-1, 0, 1, 6, 7, 8, 13, 14, 29, 30, 31, 59, 60, 89, 90, 91, 179, 180)]

amounts = st.one_of(
    st.sampled_from(["0.00", "0.01", "0.05", "9999999999.99"]),
    st.integers(0, 10**6).map(lambda cents: str(Decimal(cents) / 100)),
)
orders = st.builds(
    order,
    st.integers(1, 8),
    st.sampled_from(DAYS),
    amounts,
    of=st.integers(1, 3),
    region=st.sampled_from(REGIONS),
    status=st.sampled_from(["pending", "shipped", "cancelled"]),
    products=st.lists(st.integers(1, 4), max_size=4),
    hour=st.integers(0, 23),
)
products = st.builds(
    product, st.integers(1, 3), st.sampled_from([-1, 0, 9, 10, 11, 49, 50, 51]), st.sampled_from(["0.10", "79.99"])
)


def without_repeats(rows: list[Row], key: str) -> list[Row]:
    """Return the rows with each key once, the last one, as a commit has them."""
    return list({row[key]: row for row in rows}.values())


steps: st.SearchStrategy[tuple[str, list[Row], list[str]]] = st.one_of(
    st.lists(orders, min_size=1, max_size=6).map(lambda rows: ("orders", without_repeats(rows, "order_id"), [])),
    st.lists(products, min_size=1, max_size=3).map(lambda rows: ("products", without_repeats(rows, "product_id"), [])),
    st.sets(st.integers(1, 8), min_size=1, max_size=3).map(lambda gone: ("orders", [], [f"o{one}" for one in gone])),
    st.sets(st.integers(1, 3), min_size=1, max_size=1).map(lambda gone: ("products", [], [f"p{one}" for one in gone])),
)


@pytest.fixture(scope="module")
def warehouses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new warehouse folder each time it is asked."""
    return (tmp_path_factory.mktemp("lake") for _ in itertools.count())


def full_recompute(shop: Shop, mart: str) -> list[Row]:
    """The mart's SQL over all of Silver as published."""
    with Embedded(shop.lake) as session:
        for table in MARTS[mart].tables:
            session.show(shop.lake.table("silver", table))
        return ordered(session.compute(MARTS[mart].query, today=TODAY).to_pylist(), MARTS[mart])


@given(st.lists(steps, min_size=1, max_size=5))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_refresh_equals_the_oracle_and_a_full_recompute(
    warehouses: Iterator[Path], written: list[tuple[str, list[Row], list[str]]]
) -> None:
    warehouse = str(next(warehouses))
    with Lake.open(LakeSettings(warehouse=warehouse, catalog="sqlite", region=REGION)) as lake:
        shop = Shop(lake)
        shop.write("orders")
        shop.write("products", product(1, stock=1))
        for table, rows, gone in written:
            shop.write(table, *rows, delete=gone)
            touched = {row["order_date"].date() for row in rows} if table == "orders" else set()
            result = shop.refresh(DAILY)
            assert touched <= set(result.days)
            assert shop.gold(DAILY) == daily_sales_by_region(shop) == full_recompute(shop, DAILY)
        for name in MARTS:
            shop.refresh(name)
        assert shop.gold("product_performance") == product_performance(shop, TODAY)
        assert shop.gold("key_metrics") == key_metrics(shop, TODAY)


@pytest.mark.both_lakes
def test_the_marts_are_the_oracles_on_every_lake(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("products", product(1, 9), product(2, 10), product(3, 50), product(4, 49))
    numbers = itertools.count(1)
    shop.write(
        "orders", *(order(next(numbers), day, "33.35", products=[1, 2, 2], of=n % 3) for n, day in enumerate(DAYS))
    )
    shop.write("orders", order(1, DAYS[1], "0.05", status="cancelled"), order(2, DAYS[2], "0.01", region=None))
    for name, expected in (
        (DAILY, daily_sales_by_region(shop)),
        ("product_performance", product_performance(shop, TODAY)),
        ("key_metrics", key_metrics(shop, TODAY)),
    ):
        shop.refresh(name)
        assert shop.gold(name) == expected


def test_a_day_with_cancelled_orders_only_has_a_row_without_an_average(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("orders", order(1, TODAY, "5.00", status="cancelled"))
    shop.refresh(DAILY)
    assert shop.gold(DAILY) == [
        {
            "order_date": TODAY,
            "region": "north",
            "order_count": 0,
            "total_revenue": Decimal("0.00"),
            "avg_order_value": None,
            "unique_customers": 0,
            "cancelled_count": 1,
        }
    ]


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_orders_of_tomorrow_count_in_their_day_but_not_in_the_metrics(lake: Lake) -> None:
    shop = Shop(lake)
    tomorrow: date = TODAY + timedelta(days=1)
    shop.write("orders", order(1, tomorrow, "5.00"))
    shop.refresh("key_metrics")
    (row,) = shop.gold("key_metrics")
    assert not any(value for name, value in row.items() if name != "as_of")
    shop.refresh("key_metrics", today=tomorrow)
    (row,) = shop.gold("key_metrics")
    assert (row["orders_today"], row["revenue_90d"]) == (1, Decimal("5.00"))
