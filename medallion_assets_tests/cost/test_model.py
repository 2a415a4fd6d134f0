"""The arithmetic of a bill: against numbers worked out by hand, and how it moves with the load."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medallion_assets.cost.data import Prices, load_measured, load_prices
from medallion_assets.cost.model import ASSUMPTIONS, DAYS, MOVED_BY, SMALLEST_MOVED, Bill, Line, Load, bills
from medallion_assets.errors import ContractError, SettingsError
from medallion_assets.settings import Freshness
from medallion_assets_tests.cli.conftest import medallion

PRICES = load_prices()
MEASURED = load_measured()
MILLION = Load(changes_per_day=1_000_000, item_bytes=500, tables=3, dashboards=3)
FLOOD = Load(changes_per_day=86_400 * 5_000, item_bytes=2_000, tables=1, dashboards=1)
"""Full batches of large items: Bronze objects are as large as they get."""
ATHENA = replace(MILLION, engine="athena")
NOTIFIED = replace(MILLION, notified=True)
INGESTED = replace(MILLION, ingested_per_day=200_000)

loads = st.builds(
    Load,
    changes_per_day=st.integers(1, 10**9),
    item_bytes=st.integers(1, 400_000),
    tables=st.integers(1, 100),
    dashboards=st.integers(0, 50),
)


def ours(load: Load) -> Bill:
    return bills(load, PRICES, MEASURED)[0]


def amount(bill: Bill, item: str) -> Decimal:
    (found,) = (line.amount for line in bill.lines if line.item == item)
    return found


def test_a_change_a_second_makes_half_an_invocation() -> None:
    """One opens the window of a second, one more comes along: 86,400 changes a day are 43,200 invocations."""
    load = Load(changes_per_day=86_400, item_bytes=500, tables=1, dashboards=0)
    month = Decimal(730) / 24
    assert amount(ours(load), "capture, invocations") == 43_200 * month
    assert amount(ours(load), "Bronze objects") == 43_200 * month


def test_the_ingest_api_costs_by_its_requests_and_nothing_without_any() -> None:
    """A million requests: 1.00 for the API, 0.20 for invocations, 1.25 for two write units each, 40 ms of 1 GB each."""
    requests = Decimal(200_000) * DAYS
    bill = ours(INGESTED)
    seconds = requests * ASSUMPTIONS["ingest_ms"].value / 1000 * ASSUMPTIONS["ingest_gb"].value
    worked_out = requests * Decimal("2.45") / 10**6 + seconds * Decimal("0.0000133334")
    assert round(bill.usd - ours(MILLION).usd, 9) == round(worked_out, 9)
    assert not [line for line in ours(MILLION).lines if line.item.startswith("ingest")]


def test_a_batch_has_a_thousand_changes_at_most() -> None:
    load = Load(changes_per_day=86_400 * 5_000, item_bytes=500, tables=1, dashboards=0)
    assert amount(ours(load), "capture, invocations") == 86_400 * 5 * Decimal(730) / 24


def bronze(bill: Bill) -> list[Line]:
    return [line for line in bill.lines if line.unit == "GB-months" and line.item.startswith("Bronze")]


def test_large_objects_of_bronze_move_to_cheaper_storage_as_they_age() -> None:
    bill = ours(FLOOD)
    young, middle, old = (line.amount for line in bronze(bill))
    assert young == middle
    per_month = young / (90 / DAYS)
    assert round(young + middle + old, 6) == round(per_month * ASSUMPTIONS["age_months"].value, 6)
    objects = amount(bill, "Bronze objects")
    assert amount(bill, "Bronze, moved at 90 days") == amount(bill, "Bronze, moved at 180 days") == objects


def test_objects_below_128_kb_stay_where_they_are() -> None:
    """S3 leaves them, and would bill them as 128 KB elsewhere; at a million changes a day all are small."""
    bill = ours(MILLION)
    (stored,) = bronze(bill)
    assert stored.price == "s3_standard"
    each = stored.amount * 10**9 / ASSUMPTIONS["age_months"].value / amount(bill, "Bronze objects")
    assert MEASURED.bronze_object_bytes < each < SMALLEST_MOVED
    assert not [line for line in bill.lines if "moved" in line.item]


@given(loads)
def test_bronze_is_as_much_whatever_it_is_stored_in(load: Load) -> None:
    """One object an invocation, measured bytes an object and a change, for as many months as are assumed."""
    bill = ours(load)
    changes = load.changes_per_day * DAYS * load.item_bytes / MEASURED.item_bytes * MEASURED.bronze_change_bytes
    month = changes + amount(bill, "Bronze objects") * MEASURED.bronze_object_bytes
    stored = sum(line.amount for line in bronze(bill))
    assert stored * 10**9 == pytest.approx(month * ASSUMPTIONS["age_months"].value, rel=Decimal("1e-20"))


def test_runs_do_not_outnumber_changes() -> None:
    idle = ours(Load(changes_per_day=1, item_bytes=500, tables=1, dashboards=0))
    month = Decimal(730) / 24
    observers = 730 * 12 + 48 * month * 2 / 60
    files = (month * MEASURED.run.put + observers * MEASURED.observe.put) * 4 / 6
    assert amount(idle, "commits, files written") == pytest.approx(files, rel=Decimal("1e-20"))


@pytest.mark.parametrize(("quicker", "slower"), [("seconds", "minutes"), ("minutes", "hourly")])
def test_who_can_wait_pays_less(quicker: Freshness, slower: Freshness) -> None:
    assert ours(replace(MILLION, freshness=slower)).usd < ours(replace(MILLION, freshness=quicker)).usd


def test_the_largest_lines_are_named_with_what_moves_them() -> None:
    shown = medallion("cost", "--changes-per-day", "1000000").stdout
    largest = ours(MILLION).largest(3)
    assert all(line.moved_by for line in largest)
    assert all(f"  {line.item}, {line.usd:.2f} USD a month; moved by {line.moved_by}" in shown for line in largest)
    assert set(MOVED_BY) <= {line.item for load in (MILLION, ATHENA, NOTIFIED) for line in ours(load).lines}


def test_marts_in_athena_cost_what_their_refreshes_scan() -> None:
    """Three marts in each of 43,800 runs; a refresh scans a fifth of Silver, and is billed for 10 MB at least."""
    bill = ours(ATHENA)
    silver = amount(bill, "Silver and Gold")
    scanned = Decimal(730) * 60 * 3 * silver / 1000 * Decimal("0.2")
    assert amount(bill, "marts in Athena") == pytest.approx(scanned, rel=Decimal("1e-20"))
    assert bill.usd > ours(MILLION).usd
    assert "marts in Athena" in {line.item for line in bill.largest(3)}
    shown = medallion("cost", "--changes-per-day", "1000000", "--engine", "athena").stdout
    assert "  marts in Athena, " in shown.partition("The largest:")[2]
    small = replace(ATHENA, changes_per_day=10_000, item_bytes=50)
    assert amount(ours(small), "marts in Athena") == Decimal(730) * 60 * 3 / 100_000
    assert "marts in Athena" not in {line.item for line in ours(MILLION).lines}


@pytest.mark.parametrize("freshness", ["minutes", "hourly"])
def test_notifications_are_for_who_does_not_wait(freshness: Freshness) -> None:
    assert ours(replace(NOTIFIED, freshness=freshness)) == ours(replace(MILLION, freshness=freshness))


def test_with_many_quiet_tables_notifications_cost_less_than_listings() -> None:
    quiet = Load(changes_per_day=100, item_bytes=500, tables=60, dashboards=0)
    told = replace(quiet, notified=True)
    assert amount(ours(told), "listings of Bronze") < amount(ours(quiet), "listings of Bronze")
    assert ours(told).usd < ours(quiet).usd


def test_a_line_costs_its_amount_by_its_price() -> None:
    for bill in bills(MILLION, PRICES, MEASURED):
        assert bill.usd == sum(line.usd for line in bill.lines)
        for line in bill.lines:
            price = PRICES.prices[line.price]
            assert (line.usd, line.unit) == (line.amount * price.usd / price.per, price.unit)


@given(loads)
def test_no_line_is_negative_and_every_way_costs_something(load: Load) -> None:
    for bill in bills(load, PRICES, MEASURED):
        assert bill.usd > 0
        assert all(line.usd >= 0 and line.amount >= 0 for line in bill.lines)


@example(Load(changes_per_day=8_294_139, item_bytes=8_674, tables=1, dashboards=49), 2)
@given(loads, st.integers(2, 10))
def test_more_to_carry_never_costs_less_but_for_storage_that_grows_cold(load: Load, times: int) -> None:
    heavier = [
        Load(load.changes_per_day * times, load.item_bytes, load.tables, load.dashboards),
        Load(load.changes_per_day, load.item_bytes * times, load.tables, load.dashboards),
        Load(load.changes_per_day, load.item_bytes, load.tables * times, load.dashboards),
        Load(load.changes_per_day, load.item_bytes, load.tables, load.dashboards * times),
    ]
    before = bills(load, PRICES, MEASURED)
    for more in heavier:
        for less, bill in zip(before, bills(more, PRICES, MEASURED), strict=True):
            assert _warm(bill) >= _warm(less), bill.name


def _warm(bill: Bill) -> Decimal:
    """The bill without Bronze's storage and its moves: more tables make smaller objects, which never grow cold."""
    cold = [line for line in bill.lines if line.item.startswith("Bronze, moved")] + bronze(bill)
    return sum((line.usd for line in bill.lines if line not in cold), Decimal(0))


def test_every_price_says_where_it_is_listed_and_is_used() -> None:
    used = {
        line.price
        for load in (MILLION, FLOOD, NOTIFIED, INGESTED)
        for bill in bills(load, PRICES, MEASURED)
        for line in bill.lines
    }
    assert used == set(PRICES.prices)
    assert all(price.source.startswith("https://aws.amazon.com/") for price in PRICES.prices.values())


def test_what_nobody_looked_up_is_said_to_be_so() -> None:
    assert set(PRICES.not_checked) == {name for name, price in PRICES.prices.items() if price.seen is None}
    assert all(price.seen is None or (price.seen.dated or date.min) <= PRICES.as_of for price in PRICES.prices.values())
    shown = medallion("cost", "--changes-per-day", "1000000").stdout
    assert f"not checked: {', '.join(PRICES.not_checked)}." in shown


def test_a_price_that_is_not_there_is_named() -> None:
    some = Prices(as_of=date(2026, 1, 1), region="r", currency="USD", prices={})
    with pytest.raises(SettingsError, match="no 'dynamodb_streams_by_lambda'"):
        bills(MILLION, some, MEASURED)


def test_a_mistake_in_a_file_of_prices_names_file_and_field(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "as_of: 2026-01-01\nregion: r\ncurrency: USD\nprices: {x: {usd: '-1', per: 1, unit: u, source: s}}\n"
    )
    with pytest.raises(ContractError, match=r"prices\.yaml.*usd"):
        load_prices(file)


def test_the_command_prints_tables_and_one_json_document() -> None:
    shown = medallion("cost", "--changes-per-day", "1000000")
    assert shown.exit_code == 0
    assert "Managed zero-ETL" in shown.stdout
    assert "lambda_ms" in shown.stdout, "assumptions are shown"
    found = json.loads(medallion("cost", "--changes-per-day", "1000000", "--json").stdout)
    assert found["bills"][0]["name"] == "This system"
    assert Decimal(found["bills"][0]["usd"]) == ours(MILLION).usd
    assert found["prices"]["as_of"] == PRICES.as_of.isoformat()
    assert found["prices"]["prices"]["s3_standard"]["seen"]["at"].startswith("https://")


def test_a_load_of_nothing_is_wrong_use() -> None:
    assert medallion("cost", "--changes-per-day", "0").exit_code == 2
