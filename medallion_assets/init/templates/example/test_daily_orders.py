"""The mart daily_orders, computed from orders that these tests put into DynamoDB's stream."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from medallion_assets.testing import open_pipeline

DOMAIN = Path(__file__).parents[1]


def order(number: int, amount: str, at: str) -> dict[str, object]:
    """Return an item of the table Orders."""
    return {"OrderID": f"o-{number}", "CustomerID": "c-1", "OrderedAt": at, "Amount": Decimal(amount)}


def test_an_order_counts_on_its_day_with_its_newest_amount(tmp_path: Path) -> None:
    """A change of an order changes its day, and a deleted order counts no more."""
    with open_pipeline(DOMAIN, tmp_path) as pipeline:
        pipeline.put("Orders", order(1, "10.10", at="2026-03-01T10:00:00Z"))
        pipeline.put("Orders", order(2, "20.20", at="2026-03-01T23:59:59Z"))
        pipeline.put("Orders", order(3, "5.00", at="2026-03-02T00:00:00Z"))
        pipeline.run()
        pipeline.put("Orders", order(2, "7.00", at="2026-03-01T23:59:59Z"))
        pipeline.delete("Orders", {"OrderID": "o-3"})
        pipeline.run()
        rows = pipeline.query("SELECT order_count, revenue FROM gold.daily_orders ORDER BY order_date")
    assert rows == [{"order_count": 2, "revenue": Decimal("17.10")}]


def test_an_order_without_a_customer_is_quarantined(tmp_path: Path) -> None:
    """A row that breaks the contract waits in quarantine, and the others are published."""
    broken = order(2, "1.00", at="2026-03-01T10:00:00Z")
    del broken["CustomerID"]
    with open_pipeline(DOMAIN, tmp_path) as pipeline:
        pipeline.put("Orders", order(1, "1.00", at="2026-03-01T10:00:00Z"))
        pipeline.put("Orders", broken)
        pipeline.run()
        published = pipeline.query("SELECT order_id FROM silver.orders")
        quarantined = pipeline.query("SELECT column_name, reason FROM quarantine.orders")
    assert published == [{"order_id": "o-1"}]
    assert quarantined == [{"column_name": "customer_id", "reason": "breaks the rule required"}]
