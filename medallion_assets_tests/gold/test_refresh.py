"""A refresh computes what the changes of Silver affect: all of it, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import CommitConflict, MartError
from medallion_assets.gold import refresh as refresh_module
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import Mart, load_mart
from medallion_assets.lake import retry
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.memory import TableMemory
from medallion_assets.lake.publish import publish
from medallion_assets_tests.gold.shop import (
    DOMAIN,
    MARTS,
    NOW,
    TODAY,
    Row,
    Shop,
    customer,
    daily_sales_by_region,
    key_metrics,
    order,
    product,
    product_performance,
    stored_rows,
)

DAILY = "daily_sales_by_region"
# What the two lakes do alike is the lake room's to test.
FILES = pytest.mark.parametrize("lake", ["files"], indirect=True)
MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 11)


@pytest.fixture
def shop(lake: Lake) -> Shop:
    """Two orders on Monday, one on Tuesday; every mart is up to date."""
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("products", product(1), product(2, stock=9))
    shop.write("orders", order(1, MONDAY, "0.10"), order(2, MONDAY, "0.15"), order(3, TUESDAY, "7.00"))
    for name in MARTS:
        shop.refresh(name)
    return shop


def mart_of(folder: Path, sql: str, columns: Mapping[str, str | Mapping[str, Any]], **spec: Any) -> Mart:
    """A mart of its own over the shop's tables. A column is its type, or all that is said of it."""
    import yaml

    folder.mkdir(exist_ok=True)
    described = {
        name: {"description": name, **({"type": said} if isinstance(said, str) else said)}
        for name, said in columns.items()
    }
    (folder / "mart.yaml").write_text(
        yaml.safe_dump({"description": "A test.", "owner": "team:test", "columns": described, **spec}, sort_keys=False)
    )
    (folder / "query.sql").write_text(sql)
    return load_mart(folder, DOMAIN)


def snapshot(shop: Shop, mart: str) -> int | None:
    found: int | None = shop.lake.table("gold", mart).metadata.current_snapshot_id
    return found


def test_the_first_refresh_computes_everything(shop: Shop) -> None:
    assert shop.gold(DAILY) == daily_sales_by_region(shop)
    assert shop.gold("product_performance") == product_performance(shop, TODAY)
    assert shop.gold("key_metrics") == key_metrics(shop, TODAY)


EDGES = [date(1, 1, 1), date(1582, 10, 10), date(1960, 2, 29), date(1969, 11, 30), date(1969, 12, 31)]
EDGES += [date(1970, 1, 1), date(9999, 12, 30), date(9999, 12, 31)]


@pytest.mark.slow
@FILES
def test_any_day_of_the_calendar_is_refreshed_alone(shop: Shop) -> None:
    """The shop's orders are partitioned by month; the first days and the last have no day before or after."""
    for number, day in enumerate(EDGES, start=10):
        shop.write("orders", order(number, day, hour=23))
        assert shop.refresh(DAILY).days == (day,)
        shop.write("orders", order(number, day, "0.25", hour=0))
        assert shop.refresh(DAILY).days == (day,)
    shop.write("orders", *(order(number, day, "0.75", hour=5) for number, day in enumerate(EDGES, start=30)))
    assert shop.refresh(DAILY).days == tuple(EDGES)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


BERLIN_SQL = """WITH local AS (SELECT order_date AT TIME ZONE 'Europe/Berlin' AS at, customer_id FROM silver.orders)
SELECT CAST(at AS date) AS day, COUNT(*) AS n, MIN(hour(at)) AS first_hour, COALESCE(MAX(c.region), 'none') AS region
FROM local LEFT JOIN silver.customers AS c ON c.customer_id = local.customer_id GROUP BY CAST(at AS date)"""
BERLIN_COLUMNS = {"day": "date", "n": "bigint", "first_hour": "bigint", "region": "string"}
BERLIN = {
    "column": "day",
    "table": "orders",
    "day_of": "order_date",
    "time_zone": "Europe/Berlin",
    "joins": {"customers": "customer_id"},
}
# Around midnight in Berlin: in winter at 23:00 UTC, in summer at 22:00; the days of the changes have 23 and 25 hours.
_TIMES = [
    *("2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T00:59:59", "2026-03-29T01:00:00"),
    *("2026-03-29T21:59:59", "2026-03-29T22:00:00", "2026-10-24T21:59:59", "2026-10-24T22:00:00"),
    *("2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T22:59:59", "2026-10-25T23:00:00"),
    *("2026-06-30T22:30:00", "0001-01-01T12:00:00", "9999-12-31T10:00:00"),
]
AROUND_MIDNIGHT = [datetime.fromisoformat(f"{text}+00:00") for text in _TIMES]


@FILES
def test_a_day_in_a_time_zone_is_refreshed_exactly_across_its_changes(shop: Shop, tmp_path: Path) -> None:
    mart = mart_of(tmp_path / "berlin", BERLIN_SQL, BERLIN_COLUMNS, grain=["day"], partition=BERLIN)
    berlin = ZoneInfo("Europe/Berlin")

    def refreshed() -> tuple[date, ...]:
        done = refresh(shop.lake, mart, today=TODAY, now=NOW, run_id="r")
        assert done.published
        expected: dict[date, list[int]] = {}
        for row in shop.rows["orders"].values():
            local = row["order_date"].astimezone(berlin)
            expected.setdefault(local.date(), []).append(local.hour)
        found = {row["day"]: (row["n"], row["first_hour"], row["region"]) for row in stored_rows(shop.lake, mart)}
        region = shop.rows["customers"]["c1"]["region"]
        assert found == {day: (len(hours), min(hours), region) for day, hours in expected.items()}
        return done.days

    refreshed()
    for number, time in enumerate(AROUND_MIDNIGHT, start=50):
        shop.write("orders", {**order(number), "order_date": time})
        assert refreshed() == (time.astimezone(berlin).date(),)
    moved = AROUND_MIDNIGHT[0].astimezone(berlin).date(), AROUND_MIDNIGHT[1].astimezone(berlin).date()
    shop.write("orders", {**order(50), "order_date": AROUND_MIDNIGHT[1]})
    assert refreshed() == moved
    shop.write("orders", delete=["o50"])
    assert refreshed() == moved[1:]
    shop.write("customers", customer(1, "east"))
    assert len(refreshed()) == len(
        {row["order_date"].astimezone(berlin).date() for row in shop.rows["orders"].values()}
    )


@FILES
@pytest.mark.parametrize("mart", [DAILY, "key_metrics"])
def test_a_run_that_remembers_older_silver_does_not_take_a_mart_back(lake: Lake, mart: str) -> None:
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("orders", order(1))
    shop.refresh(mart)
    with Lake.open(lake.settings) as remembering:
        remembering.remember_tables(TableMemory())
        remembering.table("silver", "orders")
        shop.write("orders", order(2))
        shop.refresh(mart)
        before = shop.gold(mart)
        assert not refresh(remembering, MARTS[mart], today=TODAY, now=NOW, run_id="remembering").changed
    assert shop.gold(mart) == before


@FILES
def test_rows_say_when_and_from_what_they_were_computed(shop: Shop) -> None:
    silver = shop.lake.table("silver", "orders").metadata.current_snapshot_id
    for row in stored_rows(shop.lake, MARTS[DAILY]):
        assert row["computed_at"] == NOW
        assert row["silver_snapshots"] == f'{{"orders": {silver}}}'


def test_without_changes_nothing_is_committed(shop: Shop) -> None:
    for name in MARTS:
        before = shop.lake.table("gold", name).metadata_location
        result = shop.refresh(name)
        assert (result.published, result.changed, result.days, result.rows) == (True, False, (), 0)
        assert shop.lake.table("gold", name).metadata_location == before


def test_a_late_change_refreshes_its_day_only(shop: Shop) -> None:
    before = {row["order_date"]: row["silver_snapshots"] for row in stored_rows(shop.lake, MARTS[DAILY])}
    shop.write("orders", order(1, MONDAY, "0.30"))
    result = shop.refresh(DAILY)
    assert result.days == (MONDAY,)
    assert result.changed
    after = {row["order_date"]: row["silver_snapshots"] for row in stored_rows(shop.lake, MARTS[DAILY])}
    assert after[TUESDAY] == before[TUESDAY]
    assert after[MONDAY] != before[MONDAY]
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


def test_an_order_that_moves_refreshes_the_day_it_left_and_the_day_it_came_to(shop: Shop) -> None:
    shop.write("orders", order(3, WEDNESDAY, "7.00"))
    assert shop.refresh(DAILY).days == (TUESDAY, WEDNESDAY)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


def test_a_day_whose_last_order_is_deleted_loses_its_rows(shop: Shop) -> None:
    shop.write("orders", delete=["o3"])
    result = shop.refresh(DAILY)
    assert (result.days, result.rows, result.changed) == ((TUESDAY,), 0, True)
    assert [row["order_date"] for row in shop.gold(DAILY)] == [MONDAY]


def test_an_order_whose_region_changes_moves_between_rows(shop: Shop) -> None:
    shop.write("orders", order(1, MONDAY, "0.10", region=None))
    assert shop.refresh(DAILY).days == (MONDAY,)
    assert {row["region"] for row in shop.gold(DAILY)} == {"north", "unknown"}
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_a_deletion_of_an_unknown_order_affects_nothing_and_is_not_read_twice(shop: Shop) -> None:
    before = snapshot(shop, DAILY)
    shop.write("orders", delete=["o99"])
    result = shop.refresh(DAILY)
    assert (result.changed, result.days, snapshot(shop, DAILY)) == (False, (), before)
    location = shop.lake.table("gold", DAILY).metadata_location
    shop.refresh(DAILY)
    assert shop.lake.table("gold", DAILY).metadata_location == location


@FILES
def test_a_new_day_alone_refreshes_the_marts_that_use_the_current_date(shop: Shop) -> None:
    tomorrow = TODAY + timedelta(days=1)
    assert shop.refresh("key_metrics", today=tomorrow).changed
    assert shop.refresh("product_performance", today=tomorrow).changed
    assert not shop.refresh(DAILY, today=tomorrow).changed
    assert shop.gold("key_metrics") == key_metrics(shop, tomorrow)
    assert not shop.refresh("key_metrics", today=tomorrow).changed


@FILES
def test_a_change_of_a_table_that_a_mart_does_not_read_does_not_affect_it(shop: Shop) -> None:
    shop.write("customers", customer(2))
    assert not any(shop.refresh(name).changed for name in MARTS)


@FILES
def test_marts_over_tables_that_are_not_there_yet_are_empty_and_metrics_zero(lake: Lake) -> None:
    shop = Shop(lake)
    for name in MARTS:
        assert shop.refresh(name).published
    assert shop.gold(DAILY) == []
    assert shop.gold("product_performance") == []
    assert shop.gold("key_metrics") == key_metrics(shop, TODAY)
    shop.write("orders", order(1))
    assert shop.refresh(DAILY).changed
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_days_that_are_named_are_computed_without_changes(shop: Shop) -> None:
    assert shop.refresh(DAILY, days=[MONDAY]).days == (MONDAY,)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_days_that_are_named_are_computed_next_to_the_affected_ones(shop: Shop) -> None:
    shop.write("orders", order(3, TUESDAY, "8.00"))
    assert shop.refresh(DAILY, days=[MONDAY]).days == (MONDAY, TUESDAY)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)
    assert shop.refresh(DAILY).days == ()


@FILES
def test_a_row_that_came_to_a_named_day_and_left_it_is_not_there(shop: Shop) -> None:
    shop.write("orders", order(3, WEDNESDAY))
    shop.refresh(DAILY, days=[WEDNESDAY])
    shop.write("orders", order(3, MONDAY))
    shop.refresh(DAILY)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_naming_days_of_a_new_mart_computes_all_of_it(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("orders", order(1, MONDAY), order(2, TUESDAY))
    shop.refresh(DAILY, days=[MONDAY])
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_days_of_a_mart_that_has_none_are_refused(shop: Shop) -> None:
    with pytest.raises(MartError, match="key_metrics is not partitioned by day"):
        shop.refresh("key_metrics", days=[MONDAY])


@FILES
def test_a_changed_query_computes_everything_again(shop: Shop, tmp_path: Path) -> None:
    copy = load_domain(str(shutil.copytree(DOMAIN.folder, tmp_path / "shop")))
    query = copy.folder / "marts" / DAILY / "query.sql"
    query.write_text(query.read_text().replace("'unknown'", "'nowhere'"))
    changed = load_mart(query.parent, copy)
    shop.write("orders", order(4, WEDNESDAY, region=None))
    shop.refresh(DAILY)
    assert set(shop.refresh(changed).days) == {MONDAY, TUESDAY, WEDNESDAY}
    assert "nowhere" in {row["region"] for row in shop.gold(changed)}
    assert not shop.refresh(changed).changed


BY_CATEGORY = """
WITH pieces AS (
    SELECT CAST(o.order_date AS DATE) AS d, u.p AS product_id, c.region AS region, o.total_amount AS amount
    FROM silver.orders AS o
    CROSS JOIN UNNEST(o.product_ids) AS u (p)
    LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id
)
SELECT pieces.d AS day, COALESCE(x.category, '?') AS category, COALESCE(pieces.region, '?') AS region,
    SUM(pieces.amount) AS revenue
FROM pieces LEFT JOIN silver.products AS x ON x.product_id = pieces.product_id
GROUP BY pieces.d, COALESCE(x.category, '?'), COALESCE(pieces.region, '?')
"""


def test_a_change_of_a_joined_row_refreshes_the_days_that_refer_to_it(shop: Shop, tmp_path: Path) -> None:
    mart = mart_of(
        tmp_path / "by_category",
        BY_CATEGORY,
        {"day": "date", "category": "string", "region": "string", "revenue": "decimal(38,2)"},
        grain=["day", "category", "region"],
        partition={
            "column": "day",
            "table": "orders",
            "day_of": "order_date",
            "joins": {"customers": "customer_id", "products": "product_ids"},
        },
    )
    shop.write("orders", order(4, WEDNESDAY, "5.00", of=2, products=[2]))
    shop.refresh(mart)
    shop.write("products", {**product(2), "category": "other"})
    assert shop.refresh(mart).days == (WEDNESDAY,)
    shop.write("customers", customer(1, "south"))
    assert shop.refresh(mart).days == (MONDAY, TUESDAY)
    shop.write("customers", customer(2, "east"))
    assert shop.refresh(mart).days == (WEDNESDAY,)
    shop.write("products", delete=["p2"])
    assert shop.refresh(mart).days == (WEDNESDAY,)
    assert {(row["category"], row["region"], row["revenue"]) for row in shop.gold(mart)} == {
        ("things", "south", Decimal("0.25")),
        ("things", "south", Decimal("7.00")),
        ("?", "east", Decimal("5.00")),
    }


def test_a_failed_blocking_check_leaves_the_published_rows_and_says_why(shop: Shop) -> None:
    before, rows = snapshot(shop, DAILY), shop.gold(DAILY)
    shop.write("orders", order(1, MONDAY, "-5.00"))
    result = shop.refresh(DAILY)
    assert (result.published, result.changed) == (False, False)
    (failed,) = [check for check in result.checks if not check.passed]
    assert (failed.name, failed.severity, failed.examples) == ("rules", "block", [f"{MONDAY}, north"])
    assert failed.numbers["total_revenue: min 0"] == 1
    assert (snapshot(shop, DAILY), shop.gold(DAILY)) == (before, rows)
    assert list(shop.lake.table("gold", DAILY).metadata.refs) == ["main"]

    shop.write("orders", order(1, MONDAY, "5.00"))
    assert shop.refresh(DAILY).published
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_a_grain_that_repeats_or_is_null_blocks_the_refresh(shop: Shop, tmp_path: Path) -> None:
    columns = {"customer_id": "string", "region": "string"}
    sql = "SELECT customer_id, customer_region AS region FROM silver.orders"
    result = shop.refresh(mart_of(tmp_path / "repeated", sql, columns, grain=["customer_id"]))
    assert not result.published
    assert result.checks[0].numbers["repeated"] == 1
    assert result.checks[0].examples == ["c1"]
    shop.write("orders", order(1, region=None))
    result = shop.refresh(mart_of(tmp_path / "nulls", f"{sql} WHERE order_id = 'o1'", columns, grain=["region"]))
    assert (result.published, result.checks[0].examples) == (False, ["null"])


@FILES
def test_a_warning_rule_is_reported_and_blocks_nothing(shop: Shop, tmp_path: Path) -> None:
    mart = mart_of(
        tmp_path / "warned",
        "SELECT order_id, status FROM silver.orders",
        {"order_id": "string", "status": "string"},
        grain=["order_id"],
    )
    path = mart.folder / "mart.yaml"
    rule = "status:\n    rules: [{values: [shipped], severity: warn}]\n"
    path.write_text(path.read_text().replace("status:\n", rule))
    result = shop.refresh(load_mart(mart.folder, DOMAIN))
    assert result.published
    (warned,) = [check for check in result.checks if not check.passed]
    assert (warned.name, warned.severity, warned.examples) == ("warning_rules", "warn", ["o1", "o2", "o3"])


@FILES
def test_another_writer_in_between_makes_the_refresh_plan_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten_once(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(refresh_module, "publish", publish)
        shop.write("orders", order(3, TUESDAY, "9.00"))
        shop.refresh(DAILY)
        publish(*args, **kwargs)

    shop.write("orders", order(1, MONDAY, "0.30"))
    monkeypatch.setattr(refresh_module, "publish", beaten_once)
    shop.refresh(DAILY)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)


@FILES
def test_a_commit_that_conflicts_every_time_is_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(*args: Any, **kwargs: Any) -> None:
        raise CommitConflict("another writer")

    shop.write("orders", order(1, MONDAY, "0.30"))
    monkeypatch.setattr(refresh_module, "publish", beaten)
    monkeypatch.setattr(retry, "MAX_ATTEMPTS", 3)
    with pytest.raises(CommitConflict):
        shop.refresh(DAILY)


@pytest.mark.parametrize(
    "crash", ["stage_replace", "audit_mart", "publish"], ids=["before staging", "after staging", "before publishing"]
)
@FILES
def test_after_a_crash_anywhere_the_next_refresh_is_complete(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    def crashing(*args: Any, **kwargs: Any) -> Callable[..., None]:
        raise KeyboardInterrupt

    rows: list[Row] = shop.gold(DAILY)
    shop.write("orders", order(1, MONDAY, "0.30"))
    with monkeypatch.context() as patched:
        patched.setattr(refresh_module, crash, crashing)
        with pytest.raises(KeyboardInterrupt):
            shop.refresh(DAILY)
    assert shop.gold(DAILY) == rows
    assert shop.refresh(DAILY).days == (MONDAY,)
    assert shop.gold(DAILY) == daily_sales_by_region(shop)
