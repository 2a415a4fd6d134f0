"""A counter, orders, and what a counter must say of them, computed another way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from medallion_assets.live.counter import Condition, Counter, Value
from medallion_assets.live.step import Totals

STATUS = Value("status", "Status", "string")
AMOUNT = Value("amount", "Amount", "decimal", 12, 2)
DATE = Value("order_date", "OrderDate", "timestamp")

BY_STATUS = Counter(
    "by_status",
    "Orders",
    by=(STATUS,),
    day=DATE,
    sums=(AMOUNT,),
    passes=(Condition("Status"),),
    fails=(Condition("Deleted"),),
)


def order(
    key: str, *, status: str | None = "paid", amount: str | None = "7.50", at: str = "2026-12-01T10:00:00Z"
) -> dict[str, Any]:
    """An order as DynamoDB has it."""
    optional = {"Status": status and {"S": status}, "Amount": amount and {"N": amount}}
    return {"id": {"S": key}, "OrderDate": {"S": at}, **{name: one for name, one in optional.items() if one}}


def expected(items: Iterable[dict[str, Any]]) -> Totals:
    """What `BY_STATUS` must say of a table with these items."""
    found: Totals = {}
    for item in items:
        if "Status" not in item or "Deleted" in item:
            continue
        at = datetime.fromisoformat(item["OrderDate"]["S"])
        day = (at - (at.utcoffset() or timedelta(0))).date()
        group = found.setdefault(
            json.dumps([item["Status"]["S"], str(day)], separators=(",", ":"), ensure_ascii=False),
            {"count": Decimal(0), "sum_amount": Decimal(0), "values_amount": Decimal(0)},
        )
        group["count"] += 1
        if "Amount" in item:
            group["sum_amount"] += Decimal(item["Amount"]["N"])
            group["values_amount"] += 1
    return {group: {name: one for name, one in measures.items() if one} for group, measures in found.items()}
