"""Which partitions are reported without a run, on a real instance and lake; and that the sensor takes none for new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import pytest

from medallion_assets.capture.position import LATEST_WRITE
from medallion_assets.contracts.loader import load_domain
from medallion_assets.defs import sensors, unchanged
from medallion_assets.defs.build import build_defs
from medallion_assets.defs.names import Names
from medallion_assets.defs.unchanged import ReportedDays, is_unchanged_report, report_unchanged_days
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets_tests.defs.runs import incremental_run, observe, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, store
from medallion_assets_tests.defs.ticker import Ticker

pytestmark = pytest.mark.usefixtures("lake_on_files")

DAY = timedelta(days=1)
SINCE = today() - 4 * DAY
SHOP = replace(load_domain("ecommerce"), since=SINCE)
MARTS = load_marts(SHOP)
SALES = "gold/daily_sales_by_region"


@pytest.fixture(scope="module")
def recent() -> dg.Definitions:
    """The shop's definitions, with partitions of five days."""
    return build_defs(SHOP)


def key(text: str) -> dg.AssetKey:
    return dg.AssetKey(text.split("/"))


def reported(instance: dg.DagsterInstance, text: str) -> set[date]:
    """Return the days of an asset whose last materialization is a report."""
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key(text)), limit=1000, ascending=True)
    last = {
        made.partition: is_unchanged_report(made)
        for record in records.records
        if (made := record.asset_materialization) is not None
    }
    return {date.fromisoformat(day) for day, unchanged in last.items() if unchanged and day is not None}


def count(instance: dg.DagsterInstance, *keys: str) -> int:
    """Return how many materializations these assets have."""
    return sum(
        len(instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key(one)), limit=1000).records)
        for one in keys
    )


def yesterday() -> set[date]:
    """Return yesterday, once no object of it may arrive any more."""
    over = (datetime.now(UTC) - LATEST_WRITE).date()
    return {over - DAY} if over == today() else set()


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def test_after_an_update_every_past_day_without_changes_is_reported_once(
    recent: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    changed = today() - 2 * DAY
    capture(customer("c1"), product("p1"), order("o1", on=changed), at=noon(changed))
    for day in (changed, today()):
        assert incremental_run(recent, instance, day).success
        capture(customer("c2"), product("p2"), order("o2"))
    assert incremental_run(recent, instance, today()).success
    assert observe(recent, instance, "ops/ledger").success
    past = {SINCE, SINCE + DAY} | yesterday()
    for layer in ("bronze", "silver"):
        for table in ("customers", "products", "orders"):
            assert reported(instance, f"{layer}/{table}") == past
            made = instance.get_materialized_partitions(key(f"{layer}/{table}"))
            assert made == {day.isoformat() for day in (*past, changed, today())}
    assert reported(instance, SALES) == past
    everything = ("silver/orders", "bronze/orders", SALES, "dynamodb/orders")
    before = count(instance, *everything)
    assert observe(recent, instance, "ops/ledger").success
    assert count(instance, *everything) == before


def test_a_day_with_objects_is_left_to_its_run_and_those_after_it_wait_for_the_merge(
    recent: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    changed = today() - 2 * DAY
    capture(order("o1"), at=noon(changed))
    assert observe(recent, instance, "ops/ledger").success
    assert reported(instance, "silver/orders") == reported(instance, "bronze/orders") == {SINCE, SINCE + DAY}
    assert reported(instance, "silver/customers") == {SINCE + n * DAY for n in range(3)} | yesterday()
    assert incremental_run(recent, instance, changed).success
    assert observe(recent, instance, "ops/ledger").success
    assert reported(instance, "silver/orders") == {SINCE, SINCE + DAY} | yesterday()


def test_a_mart_that_is_not_published_has_no_unchanged_days(
    recent: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert observe(recent, instance, "ops/ledger").success
    assert reported(instance, SALES) == set()


def test_days_with_objects_or_rows_are_not_reported_also_if_dagster_never_saw_their_runs(
    recent: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    sold = today() - 3 * DAY
    capture(customer("c1"), product("p1"), order("o1", on=sold), at=noon(sold))
    with dg.DagsterInstance.ephemeral() as another:
        assert incremental_run(recent, another, sold).success
    assert observe(recent, instance, "ops/ledger").success
    for layer in ("bronze", "silver"):
        assert reported(instance, f"{layer}/orders") == {SINCE, SINCE + 2 * DAY} | yesterday()
    assert reported(instance, SALES) == {SINCE, SINCE + 2 * DAY} | yesterday()


def test_a_source_is_reported_once_and_not_before_its_changes_are_captured(
    recent: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert observe(recent, instance, "ops/ledger").success
    capture(order("o1"))
    assert observe(recent, instance, "ops/ledger").success
    assert observe(recent, instance, "ops/ledger").success
    assert count(instance, "dynamodb/orders") == 1
    assert count(instance, "dynamodb/customers") == 0


def report(
    instance: dg.DagsterInstance,
    *,
    now: datetime,
    earlier: Mapping[str, ReportedDays] | None = None,
    since: date = SINCE,
) -> dict[str, ReportedDays]:
    """Report the unchanged days of tables that are merged up to now."""
    with Lake.open(Settings.load().lake()) as lake:
        return report_unchanged_days(
            instance,
            lake,
            store(),
            domain=replace(SHOP, since=since),
            marts=MARTS,
            names=Names(),
            merged_to={contract.lake_name: now for contract in SHOP.tables},
            reported=earlier or {},
            now=now,
        )


def test_a_day_is_over_when_no_object_of_it_can_appear_any_more(instance: dg.DagsterInstance) -> None:
    """The name of an object has the time of its capture; it may appear a quarter of an hour later."""
    midnight = datetime.combine(SINCE + DAY, time(), UTC)
    done = report(instance, now=midnight + timedelta(minutes=14))
    assert reported(instance, "bronze/orders") == set()
    done = report(instance, now=midnight + timedelta(minutes=15), earlier=done)
    assert reported(instance, "bronze/orders") == {SINCE}
    assert done["silver/orders"] == ReportedDays(since=SINCE, before=SINCE + DAY)


def test_many_days_are_reported_in_several_steps(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "MAX_DAYS", 3)
    now, done = noon(today()), dict[str, ReportedDays]()
    for days in (3, 4, 4):
        done = report(instance, now=now, earlier=done)
        assert len(reported(instance, "bronze/orders")) == days


def test_days_of_an_earlier_beginning_are_reported_too(instance: dg.DagsterInstance) -> None:
    done = report(instance, now=noon(today()))
    report(instance, now=noon(today()), earlier=done, since=SINCE - DAY)
    assert min(reported(instance, "silver/orders")) == SINCE - DAY
    assert count(instance, "silver/orders") == 5


@pytest.fixture
def ticker(recent: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    return Ticker(recent, instance)


def test_reports_ask_for_no_run(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    assert observe(ticker.definitions, ticker.instance, "ops/ledger").success
    assert reported(ticker.instance, "silver/orders")
    assert ticker.tick() is None
    assert ticker.skipped == "Nothing new."


@pytest.mark.parametrize("page", [1, 1000])
def test_a_run_by_hand_between_reports_is_followed(ticker: Ticker, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    report(ticker.instance, now=noon(SINCE + 2 * DAY))
    assert page_run(ticker.definitions, ticker.instance, "silver/products", days=[today()]).success
    report(ticker.instance, now=noon(today()))
    assert is_last_reported(ticker.instance, "silver/products")
    monkeypatch.setattr(sensors, "MAX_DAYS", page)
    request = ticker.tick()
    assert request is not None
    assert {one.to_user_string() for one in request.asset_selection or ()} == {"gold/product_performance"}
    assert ticker.run(request).success
    assert ticker.tick() is None


def is_last_reported(instance: dg.DagsterInstance, text: str) -> bool:
    event = instance.get_latest_materialization_event(key(text))
    return (
        event is not None
        and event.asset_materialization is not None
        and is_unchanged_report(event.asset_materialization)
    )
