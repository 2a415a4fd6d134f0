"""The marts of `shop` in plain Python: what each must hold, computed from all live rows of what it reads.

Belongs here: one function a mart. Does not belong here: which rows are published (oracle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]
"""The live rows of each Silver table, and of each mart that others read (`gold.daily_sales`)."""

_EXACT: Final = Context(prec=120, rounding=ROUND_HALF_UP)


def daily_sales(tables: Tables, today: date) -> list[Row]:
    """Return the orders of each day and region."""
    result = []
    for (day, region), rows in _grouped(
        tables["orders"], lambda order: (order["order_date"].date(), order["customer_region"] or "none")
    ).items():
        counted = [order for order in rows if order["status"] != "cancelled"]
        result.append(
            {
                "day": day,
                "region": region,
                "orders": len(counted),
                "revenue": _sum((order["amount"] for order in counted), Decimal("0.00")),
                "buyers": len({order["customer_id"] for order in rows}),
            }
        )
    return result


def daily_tiers(tables: Tables, today: date) -> list[Row]:
    """Return the orders of each day and tier of the customer."""
    tiers = {customer["customer_id"]: customer["tier"] for customer in tables["customers"]}

    def group(order: Row) -> tuple[date, int]:
        tier = tiers.get(order["customer_id"])
        return order["order_date"].date(), -1 if tier is None else tier

    return [
        {
            "day": day,
            "tier": tier,
            "orders": len(rows),
            "average": _EXACT.divide(
                _sum((order["amount"] for order in rows), Decimal(0)), Decimal(len(rows))
            ).quantize(Decimal("0.01"), context=_EXACT),
        }
        for (day, tier), rows in _grouped(tables["orders"], group).items()
    ]


def device_summary(tables: Tables, today: date) -> list[Row]:
    """Return one row per device, as of today."""
    since, until = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in _around(today))
    result = []
    for device, rows in _grouped(tables["readings"], lambda reading: reading["device"]).items():
        exact = [reading["exact"] for reading in rows if reading["exact"] is not None]
        result.append(
            {
                "device": device,
                "as_of": today,
                "readings": len(rows),
                "total": _sum(exact, Decimal(0)) if exact else None,
                "lately": sum(reading["seen"] is not None and since <= reading["seen"] < until for reading in rows),
                "newest": max(reading["at"] for reading in rows),
            }
        )
    return result


def daily_totals(tables: Tables, today: date) -> list[Row]:
    """Return the orders of each day, from the mart of days and regions."""
    return [
        {
            "day": day,
            "orders": sum(row["orders"] for row in rows),
            "revenue": _sum((row["revenue"] for row in rows), Decimal("0.00")),
            "regions": len(rows),
        }
        for day, rows in _grouped(tables["gold.daily_sales"], lambda row: row["day"]).items()
    ]


def region_totals(tables: Tables, today: date) -> list[Row]:
    """Return the orders of each region, from the mart of days and regions."""
    return [
        {
            "region": region,
            "days": len(rows),
            "revenue": _sum((row["revenue"] for row in rows), Decimal("0.00")),
            "latest": max(row["day"] for row in rows),
        }
        for region, rows in _grouped(tables["gold.daily_sales"], lambda row: row["region"]).items()
    ]


def share_of_all(tables: Tables, today: date) -> list[Row]:
    """Return the orders of each day, from the mart of days, next to the number of all live orders."""
    count = len(tables["orders"])
    return [{"day": row["day"], "orders": row["orders"], "all_orders": count} for row in tables["gold.daily_totals"]]


def fleet_summary(tables: Tables, today: date) -> list[Row]:
    """Return one row for all devices, of the day that the mart of devices is of."""
    return [
        {
            "as_of": day,
            "devices": len(rows),
            "readings": sum(row["readings"] for row in rows),
            "lately": sum(row["lately"] for row in rows),
        }
        for day, rows in _grouped(tables["gold.device_summary"], lambda row: row["as_of"]).items()
    ]


MARTS: Final[Mapping[str, Callable[[Tables, date], list[Row]]]] = {
    "daily_sales": daily_sales,
    "daily_tiers": daily_tiers,
    "device_summary": device_summary,
    "daily_totals": daily_totals,
    "region_totals": region_totals,
    "share_of_all": share_of_all,
    "fleet_summary": fleet_summary,
}


def _around(today: date) -> tuple[date, date]:
    return today - timedelta(days=1), today + timedelta(days=1)


def _sum(values: Iterable[Decimal], start: Decimal) -> Decimal:
    total = start
    for value in values:
        total = _EXACT.add(total, value)
    return total


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
