"""The rule up to when a mart is complete, and what a refresh records for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from medallion_assets.gold.completeness import Computation, complete_to
from medallion_assets.gold.refresh import refresh
from medallion_assets.lake import maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.gold.shop import MARTS, NOW, TODAY, Shop, customer, order, product

COMPUTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLES = ("orders", "customers")


def at(seconds: int) -> datetime:
    return COMPUTED + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("unread", "now", "expected"),
    [
        ([], (-5, -3), -5),
        ([], (3600, 3600), 0),
        (["orders"], (3600, -3), -60),
        (["customers"], (-5, 3600), -30),
        (["orders", "customers"], (3600, 3600), -60),
    ],
    ids=["as now", "not beyond its computation", "one table unread", "the other unread", "both unread"],
)
def test_a_table_counts_as_it_is_now_or_as_it_was_when_its_newest_rows_are_unread(
    unread: list[str], now: tuple[int, int], expected: int
) -> None:
    computation = Computation(COMPUTED, {"orders": at(-60), "customers": at(-30)})
    known = dict(zip(TABLES, map(at, now), strict=True))
    assert complete_to(TABLES, computation, unread=unread, now_complete_to=known) == at(expected)


def test_what_is_not_known_of_one_table_is_not_known_of_the_mart() -> None:
    computation = Computation(COMPUTED, {"orders": None, "customers": at(-30)})
    known = {"orders": at(0), "customers": at(0)}
    assert complete_to(TABLES, computation, unread=[], now_complete_to=known) == at(0)
    assert complete_to(TABLES, computation, unread=["orders"], now_complete_to=known) is None
    assert complete_to(TABLES, computation, unread=[], now_complete_to={**known, "customers": None}) is None
    assert complete_to(TABLES, None, unread=[], now_complete_to=known) is None


def test_a_refresh_records_when_it_began_also_without_a_row_to_compute(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(lake)
    shop.write("customers", customer(1))
    shop.write("products", product(1))
    shop.write("orders", order(1))
    shop.refresh("daily_sales_by_region")
    shop.write("orders", order(2))
    shop.refresh("daily_sales_by_region")
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 2)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 2)
    assert maintenance.compact(lake, lake.table("silver", "orders")) is not None
    later = NOW + timedelta(minutes=1)
    assert refresh(lake, MARTS["daily_sales_by_region"], today=TODAY, now=later, run_id="later").days == ()
    assert Computation.recorded(lake.table("gold", "daily_sales_by_region")) == Computation(later, {"orders": None})
