"""Marts over marts: refreshed from published snapshots, equal to a full recompute."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.gold import refresh as refresh_module
from medallion_assets.gold.changes import InputVersions
from medallion_assets.gold.completeness import Computation, read_complete_to
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake import maintenance as lake_maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.maintenance.maintain import maintain
from medallion_assets_tests.fixtures.chain import (
    best_days,
    chain_domain,
    daily_share,
    region_totals,
    write_mart,
)
from medallion_assets_tests.gold.shop import (
    TODAY,
    Row,
    Shop,
    customer,
    daily_sales_by_region,
    key_metrics,
    order,
    ordered,
    product,
    stored_rows,
)

pytestmark = pytest.mark.parametrize("lake", ["files"], indirect=True)

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 11)
SALES, SHARE = "daily_sales_by_region", "daily_share"


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return chain_domain(tmp_path_factory.mktemp("domain"))


@pytest.fixture(scope="module")
def marts(domain: Domain) -> dict[str, Mart]:
    return {mart.name: mart for mart in load_marts(domain)}


@pytest.fixture
def shop(lake: Lake, marts: dict[str, Mart]) -> Shop:
    """Two orders on Monday, one on Tuesday; every mart is up to date."""
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("products", product(1))
    shop.write("orders", order(1, MONDAY, "0.10"), order(2, MONDAY, "0.15"), order(3, TUESDAY, "7.00"))
    refresh_all(shop, marts)
    return shop


def refresh_all(shop: Shop, marts: dict[str, Mart], *, today: date = TODAY) -> dict[str, tuple[date, ...] | bool]:
    """Refresh every mart in order; return for each the days that were computed, or whether it has other rows."""
    done = {name: shop.refresh(mart, today=today) for name, mart in marts.items()}
    assert all(one.published for one in done.values())
    return {name: one.days if marts[name].spec.partition else one.changed for name, one in done.items()}


def require_equal(shop: Shop, marts: dict[str, Mart], *, today: date = TODAY) -> None:
    """Compare every mart with its full recompute in Python."""
    sales = daily_sales_by_region(shop)
    assert shop.gold(marts[SALES]) == sales
    assert shop.gold(marts["region_totals"]) == region_totals(sales)
    assert shop.gold(marts[SHARE]) == daily_share(sales)
    assert shop.gold(marts["best_days"]) == best_days(sales, len(shop.rows["orders"]))
    (metrics,) = key_metrics(shop, today)
    assert shop.gold(marts["this_week"]) == [{"as_of": today, "revenue_7d": metrics["revenue_7d"]}]


def snapshot(shop: Shop, mart: str) -> int | None:
    found: int | None = shop.lake.table("gold", mart).metadata.current_snapshot_id
    return found


def test_every_mart_equals_its_recompute_and_names_what_it_read(shop: Shop, marts: dict[str, Mart]) -> None:
    require_equal(shop, marts)
    for row in stored_rows(shop.lake, marts["best_days"]):
        assert json.loads(row["silver_snapshots"]) == {
            "gold.daily_share": snapshot(shop, SHARE),
            "orders": shop.lake.table("silver", "orders").metadata.current_snapshot_id,
        }
    again = {name: shop.lake.table("gold", name).metadata_location for name in marts}
    refresh_all(shop, marts)
    assert {name: shop.lake.table("gold", name).metadata_location for name in marts} == again


def test_a_replaced_day_of_a_mart_is_a_changed_day_of_those_over_it(shop: Shop, marts: dict[str, Mart]) -> None:
    shop.write("orders", order(4, WEDNESDAY, region="south"))
    done = refresh_all(shop, marts)
    assert (done[SALES], done["region_totals"]) == ((WEDNESDAY,), True)
    # region_totals is computed whole, so each of its rows is a changed one.
    assert done[SHARE] == (MONDAY, TUESDAY, WEDNESDAY)
    require_equal(shop, marts)


def test_only_the_days_of_the_mart_below_are_computed(shop: Shop, marts: dict[str, Mart], tmp_path: Path) -> None:
    days = mart_over(
        tmp_path,
        "SELECT order_date AS day, SUM(order_count) AS n FROM gold.daily_sales_by_region GROUP BY order_date",
        "{column: day, table: gold.daily_sales_by_region, day_of: order_date}",
    )
    assert shop.refresh(days).days == (MONDAY, TUESDAY)
    shop.write("orders", order(3, WEDNESDAY, "7.00"))
    shop.refresh(marts[SALES])
    assert shop.refresh(days).days == (TUESDAY, WEDNESDAY)
    assert {row["day"]: row["n"] for row in shop.gold(days)} == {MONDAY: 2, WEDNESDAY: 1}
    shop.write("orders", delete=["o1", "o2"])
    assert shop.refresh(days).days == (), "it is over what is published"
    shop.refresh(marts[SALES])
    assert shop.refresh(days).days == (MONDAY,)
    assert {row["day"]: row["n"] for row in shop.gold(days)} == {WEDNESDAY: 1}


def test_a_key_of_a_mart_that_was_computed_is_a_changed_key_of_those_over_it(lake: Lake, tmp_path: Path) -> None:
    spend, classes = marts_by_customer(tmp_path)
    shop = Shop(lake)
    shop.write("orders", *(order(number, MONDAY, "10.00", of=number % 12) for number in range(24)))

    def refreshed() -> tuple[int | None, int | None]:
        done = shop.refresh(spend).keys, shop.refresh(classes).keys
        totals: dict[str, Decimal] = {}
        for row in shop.rows["orders"].values():
            totals[row["customer_id"]] = totals.get(row["customer_id"], Decimal(0)) + row["total_amount"]
        assert {row["customer_id"]: row["spent"] for row in shop.gold(spend)} == totals
        assert {row["customer_id"]: row["is_large"] for row in shop.gold(classes)} == {
            name: spent > 20 for name, spent in totals.items()
        }
        return done

    refreshed()
    shop.write("orders", order(1, MONDAY, "99.00", of=1))
    assert refreshed() == (1, 1)
    shop.write("orders", order(1, MONDAY, "99.00", of=2))
    assert refreshed() == (2, 2)
    shop.write("orders", delete=["o3", "o15"])
    assert refreshed() == (1, 1), "a customer without orders has no row"
    assert refreshed() == (0, 0)


def marts_by_customer(folder: Path) -> tuple[Mart, Mart]:
    """Return customer_spend, by key over orders, and customer_class, by key over customer_spend."""
    domain = chain_domain(folder)
    write_mart(
        domain.folder,
        "customer_spend",
        "SELECT customer_id, SUM(total_amount) AS spent FROM silver.orders GROUP BY customer_id",
        """{owner: 'team:a', grain: [customer_id], columns: {customer_id: string, spent: 'decimal(38,2)'},
        partition: {column: customer_id, table: orders, key_of: customer_id}}""",
    )
    write_mart(
        domain.folder,
        "customer_class",
        "SELECT customer_id, spent > 20 AS is_large FROM gold.customer_spend",
        """{owner: 'team:a', grain: [customer_id], columns: {customer_id: string, is_large: bool},
        partition: {column: customer_id, table: gold.customer_spend, key_of: customer_id}}""",
    )
    marts = {mart.name: mart for mart in load_marts(domain)}
    return marts["customer_spend"], marts["customer_class"]


def mart_over(folder: Path, sql: str, partition: str) -> Mart:
    """Return the mart `days` of the chain's domain, which has the columns day and n."""
    domain = chain_domain(folder)
    columns = "{day: date, n: bigint}"
    write_mart(
        domain.folder, "days", sql, f"{{owner: 'team:a', grain: [day], partition: {partition}, columns: {columns}}}"
    )
    return next(mart for mart in load_marts(load_domain(str(domain.folder))) if mart.name == "days")


def test_a_mart_that_is_held_by_a_check_is_read_as_published(shop: Shop, marts: dict[str, Mart]) -> None:
    before = {name: shop.gold(mart) for name, mart in marts.items()}
    at = snapshot(shop, SALES)
    shop.write("orders", order(1, MONDAY, "-5.00"), order(5, TUESDAY))
    assert not shop.refresh(marts[SALES]).published
    for name in ("region_totals", SHARE):
        assert not shop.refresh(marts[name]).changed
        assert shop.gold(marts[name]) == before[name]
    shop.refresh(marts["best_days"])
    recorded = InputVersions.recorded(shop.lake.table("gold", "region_totals"))
    assert recorded is not None and recorded.snapshots == {"gold.daily_sales_by_region": at}
    assert {row["orders_now"] for row in shop.gold(marts["best_days"])} == {4}, "Silver is newer than what it reads"

    shop.write("orders", order(1, MONDAY, "5.00"))
    refresh_all(shop, marts)
    require_equal(shop, marts)


def test_a_new_day_goes_through_to_the_marts_over_one_with_the_current_date(shop: Shop, marts: dict[str, Mart]) -> None:
    tomorrow = TODAY + timedelta(days=1)
    assert not shop.refresh(marts["this_week"], today=tomorrow).changed
    done = refresh_all(shop, marts, today=tomorrow)
    assert (done["key_metrics"], done["this_week"], done[SALES]) == (True, True, ())
    require_equal(shop, marts, today=tomorrow)


def test_changed_sql_of_a_mart_computes_those_over_it_again(shop: Shop, marts: dict[str, Mart], tmp_path: Path) -> None:
    domain = chain_domain(tmp_path)
    query = domain.folder / "marts" / SALES / "query.sql"
    query.write_text(query.read_text().replace("0) AS total_revenue", "0) + 1 AS total_revenue"))
    changed = {mart.name: mart for mart in load_marts(domain)}
    assert changed[SHARE].code_version == marts[SHARE].code_version
    done = refresh_all(shop, changed)
    assert done[SHARE] == (MONDAY, TUESDAY)
    assert (
        shop.gold(changed[SHARE]) == daily_share(shop.gold(changed[SALES])) != daily_share(daily_sales_by_region(shop))
    )


@pytest.mark.parametrize("name", ["best_days", SHARE])
def test_a_mart_over_marts_that_are_not_there_yet_is_empty(lake: Lake, marts: dict[str, Mart], name: str) -> None:
    shop = Shop(lake)
    assert shop.refresh(marts[name]).published
    assert shop.gold(marts[name]) == []
    shop.write("orders", order(1))
    refresh_all(shop, marts)
    require_equal(shop, marts)


def test_maintenance_keeps_the_snapshots_of_a_mart_that_others_were_computed_from(
    shop: Shop, marts: dict[str, Mart], domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = snapshot(shop, SALES)
    for number in range(10, 13):
        shop.write("orders", order(number, MONDAY))
        shop.refresh(marts[SALES])
    age = timedelta(minutes=-5)
    maintain(shop.lake, domain, marts.values(), layer="gold", name=SALES, older_than=age, abandoned=age)
    assert read is not None and shop.lake.table("gold", SALES).snapshot_by_id(read) is not None
    refresh_all(shop, marts)
    require_equal(shop, marts)
    maintain(shop.lake, domain, marts.values(), layer="gold", name=SALES, older_than=age, abandoned=age)
    assert shop.lake.table("gold", SALES).snapshot_by_id(read) is None


def test_a_mart_is_complete_as_far_as_the_marts_that_it_reads(shop: Shop, marts: dict[str, Mart]) -> None:
    def complete(at: datetime | None) -> dict[str, datetime | None]:
        return read_complete_to(shop.lake, list(marts.values()), {"orders": at, "products": at})

    at = datetime(2026, 3, 15, 11, tzinfo=UTC)
    assert complete(None)["best_days"] is None
    assert complete(at)["best_days"] == complete(at)[SHARE] == at
    shop.write("orders", order(4, WEDNESDAY))
    assert complete(at)[SALES] is None, "it has not read the newest rows"
    shop.refresh(marts[SALES])
    assert complete(at)[SALES] == at
    assert complete(at)[SHARE] is None, "nor has the one over it"
    assert read_complete_to(shop.lake, [marts["best_days"]], {"orders": at})["best_days"] is None
    refresh_all(shop, marts)
    assert set(complete(at).values()) == {at}
    recorded = Computation.recorded(shop.lake.table("gold", "best_days"))
    assert recorded is not None and recorded.inputs_complete_to == {"gold.daily_share": None, "orders": None}


class Crash(BaseException):
    """A process that dies."""


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 40))])
def test_after_any_changes_and_crashes_gold_equals_its_recompute(
    lake: Lake, marts: dict[str, Mart], domain: Domain, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Late data, moved rows, deletions and maintenance; refreshes that die before staging, after it or at publishing,
    of any mart, so that those over it are refreshed from what was published before."""
    dice = random.Random(seed)
    shop, today = Shop(lake), TODAY
    monkeypatch.setattr(lake_maintenance, "COMMITS_BETWEEN", 2)
    steps = {name: getattr(refresh_module, name) for name in ("stage_replace", "audit_mart", "publish")}

    def crashing(name: str, dies: bool) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if dies:
                raise Crash
            return steps[name](*args, **kwargs)

        return step

    for _ in range(6):
        for _ in range(dice.randint(1, 3)):
            numbers = dice.sample(range(8), 2)
            if dice.random() < 0.25:
                shop.write("orders", delete=[f"o{number}" for number in numbers])
                continue
            days = [TODAY - timedelta(days=dice.choice([0, 1, 2, 40])) for _ in numbers]
            region = dice.choice(["north", "south", None])
            amount = f"{dice.randint(0, 900)}.25"
            shop.write(
                "orders",
                *(order(number, day, amount, region=region) for number, day in zip(numbers, days, strict=True)),
            )
        today += timedelta(days=dice.random() < 0.2)
        for mart in marts.values():
            dying = dice.choice(list(steps)) if dice.random() < 0.3 else None
            with monkeypatch.context() as patched:
                for name in steps:
                    patched.setattr(refresh_module, name, crashing(name, name == dying))
                try:
                    shop.refresh(mart, today=today)
                except Crash:
                    if dice.random() < 0.5:
                        break  # the run died, and nothing downstream was refreshed
            if dice.random() < 0.1:
                age = timedelta(minutes=-5)
                maintain(lake, domain, marts.values(), layer="gold", name=mart.name, older_than=age, abandoned=age)
        require_as_recorded(shop, marts)
    refresh_all(shop, marts, today=today)
    require_equal(shop, marts, today=today)


def require_as_recorded(shop: Shop, marts: dict[str, Mart]) -> None:
    """Compare each mart over marts with its SQL over the snapshots that it names."""
    for name in ("region_totals", SHARE):
        table = shop.lake.find("gold", name)
        versions = InputVersions.recorded(table) if table is not None else None
        if versions is None:
            continue
        read = {
            input_: rows_at(shop, marts[input_.removeprefix("gold.")], at) for input_, at in versions.snapshots.items()
        }
        sales = read["gold.daily_sales_by_region"]
        if name == SHARE:
            totals = {row["region"]: row["revenue"] for row in read["gold.region_totals"]}
            sales = [row for row in sales if row["region"] in totals]
            expected = daily_share(sales)
            for row in expected:
                row["of_regions"] = sum(totals[one["region"]] for one in sales if one["order_date"] == row["day"])
            assert shop.gold(marts[name]) == expected
        else:
            assert shop.gold(marts[name]) == region_totals(sales)


def rows_at(shop: Shop, mart: Mart, snapshot_id: int | None) -> list[Row]:
    if snapshot_id is None:
        return []
    table = shop.lake.table("gold", mart.name)
    with shop.lake.duckdb() as connection:
        scan = shop.lake.scan_sql(table, snapshot_id)
        rows: list[Row] = connection.execute(f"FROM {scan}").to_arrow_table().to_pylist()
    return ordered(({name: row[name] for name in mart.columns} for row in rows), mart)
