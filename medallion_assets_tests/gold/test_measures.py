"""Which measures of the shipped domains add up, which marts have one row."""

from __future__ import annotations

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.measures import adds_up, day, dimensions, has_one_row, measures
from medallion_assets.gold.spec import load_marts


@pytest.mark.parametrize(
    ("domain", "summed", "others"),
    [
        (
            "ecommerce",
            {"order_count", "total_revenue", "cancelled_count"},
            {"avg_order_value", "unique_customers"},
        ),
        ("fundraiser", {"donations", "amount", "refunds"}, {"average"}),
        ("laundry", {"cycles", "pennies", "revenue", "machines"}, {"revenue_per_machine"}),
    ],
)
def test_a_sum_and_a_count_add_up_and_an_average_does_not(domain: str, summed: set[str], others: set[str]) -> None:
    daily = [mart for mart in load_marts(load_domain(domain)) if day(mart)]
    found = {name: adds_up(mart, name) for mart in daily for name in measures(mart)}
    assert {name for name, adds in found.items() if adds} == summed
    assert {name for name, adds in found.items() if not adds} == others


def test_a_mart_has_one_row_if_it_aggregates_without_groups() -> None:
    marts = {mart.name: mart for domain in ("ecommerce", "fundraiser") for mart in load_marts(load_domain(domain))}
    assert {name for name, mart in marts.items() if has_one_row(mart)} == {"key_metrics", "overall_progress"}
    assert dimensions(marts["daily_donations"]) == ["platform"]
    assert dimensions(marts["product_performance"]) == ["product_id"]
