"""The dashboard *Sales* of the shipped shop: its panels over the three marts.

Belongs here: what the shop's marts show. Does not belong here: how panels look (panels), health of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import events, layout, panels
from grafana.environment import Environment
from grafana.freshness import mart_freshness
from medallion_assets.errors import SettingsError
from medallion_assets.gold.spec import Mart

UID: Final = "medallion-sales"
MONEY: Final = "short"
"""The shop's contracts name no currency."""

_WINDOWS: Final = (7, 30, 90)

DAILY, METRICS, PRODUCTS = "daily_sales_by_region", "key_metrics", "product_performance"
SHOP: Final = frozenset({DAILY, METRICS, PRODUCTS})
"""The marts that the dashboard shows."""

_IN_RANGE: Final = "$__dateFilter(order_date) AND region IN (${region:sqlstring})"


def sales(marts: Mapping[str, Mart], environment: Environment) -> dashboard.Dashboard:
    """The dashboard. Raises SettingsError naming a column that a mart no longer has."""
    return layout.lay_out(
        environment,
        uid=UID,
        title="Sales",
        description="Orders and revenue of the shop, by day and region, from the audited marts in Gold.",
        since="now-30d",
        variables=[
            layout.choice(
                "region",
                "Region",
                f"SELECT DISTINCT region FROM gold.{DAILY} "
                "WHERE order_date >= current_date - INTERVAL '365' DAY ORDER BY region",
            )
        ],
        annotations=[events.failed_checks(), events.failed_runs()],
        assets=[f"gold/{name}" for name in (DAILY, METRICS, PRODUCTS)],
        rows=[
            ("How old and how complete", mart_freshness([DAILY, METRICS, PRODUCTS])),
            ("Now, beside the time before", [*_revenue(marts[METRICS]), *_orders(marts[METRICS], marts[DAILY])]),
            ("Orders in the chosen time and regions", _days(marts[DAILY])),
            ("Products", _products(marts[PRODUCTS])),
        ],
    )


def _revenue(mart: Mart) -> list[layout.Panel]:
    return [
        _window(mart, "Revenue today", "revenue_today", "revenue_yesterday", days=1, unit=MONEY),
        *(
            _window(mart, f"Revenue, {days} days", f"revenue_{days}d", f"revenue_{days}d_before", days=days, unit=MONEY)
            for days in _WINDOWS
        ),
    ]


def _orders(metrics: Mart, daily: Mart) -> list[layout.Panel]:
    return [
        _window(metrics, "Orders today", "orders_today", "orders_yesterday", days=1, unit="none"),
        *(_orders_of(daily, days) for days in _WINDOWS),
    ]


def _orders_of(mart: Mart, days: int) -> layout.Panel:
    """As `_window`, added up from the days: the mart of windows counts orders of today only."""
    count, day = _column(mart, "order_count"), _column(mart, "order_date")

    def window(ends: int) -> str:
        return (
            f"SELECT current_date - INTERVAL '{ends}' DAY AS time, COALESCE(SUM({count}), 0) AS shown "
            f"FROM gold.{mart.name} WHERE {day} > current_date - INTERVAL '{ends + days}' DAY "
            f"AND {day} <= current_date - INTERVAL '{ends}' DAY"
        )

    return panels.number(
        f"Orders, {days} days",
        f"{_meaning(mart, 'order_count')} Today and the {days - 1} days before. The percentage is the change from: the "
        f"{days} days before those.",
        f"{window(days)}\nUNION ALL\n{window(0)}\nORDER BY 1",
        unit="none",
        width=6,
        height=3,
        change=True,
    )


def _window(mart: Mart, title: str, column: str, before: str, *, days: int, unit: str) -> layout.Panel:
    """A number and the one of the window before it, as two points in time: Grafana shows the change between them."""
    words = f"{_meaning(mart, column)} The percentage is the change from: {_meaning(mart, before).lower()}"
    return panels.number(
        title,
        words,
        f"""
        SELECT as_of - INTERVAL '{days}' DAY AS time, CAST({before} AS DOUBLE) AS shown FROM gold.{mart.name}
        UNION ALL
        SELECT as_of AS time, CAST({column} AS DOUBLE) AS shown FROM gold.{mart.name}
        ORDER BY 1
        """,
        unit=unit,
        width=6,
        height=3,
        change=True,
    )


def _days(mart: Mart) -> list[layout.Panel]:
    def day(name: str, value: str) -> str:
        return (
            f"SELECT order_date AS time, {value} AS {name} FROM gold.{mart.name} "
            f"WHERE {_IN_RANGE} GROUP BY order_date ORDER BY 1"
        )

    return [
        panels.lines(
            "Revenue by region",
            f"{_meaning(mart, 'total_revenue')} By day (UTC) and region.",
            f"SELECT order_date AS time, region, CAST(total_revenue AS DOUBLE) AS revenue FROM gold.{mart.name} "
            f"WHERE {_IN_RANGE} ORDER BY 1, 2",
            unit=MONEY,
            names="region",
            width=24,
            kind="stacked bars",
        ),
        panels.lines(
            "Orders",
            f"{_meaning(mart, 'order_count')} By day (UTC).",
            day("orders", f"SUM({_column(mart, 'order_count')})"),
            unit="none",
            names={"orders": "Orders"},
            width=8,
            kind="bars",
        ),
        panels.lines(
            "Average order",
            "Revenue divided by orders that are not cancelled, by day (UTC); no value on a day without any.",
            day(
                "average",
                f"CAST(SUM({_column(mart, 'total_revenue')}) AS DOUBLE) / "
                f"NULLIF(SUM({_column(mart, 'order_count')}), 0)",
            ),
            unit=MONEY,
            names={"average": "Average order"},
            width=8,
        ),
        panels.lines(
            "Cancelled share",
            "Cancelled orders among all orders, by day (UTC).",
            day(
                "cancelled",
                f"CAST(SUM({_column(mart, 'cancelled_count')}) AS DOUBLE) / "
                f"NULLIF(SUM({_column(mart, 'order_count')}) + SUM(cancelled_count), 0)",
            ),
            unit="percentunit",
            names={"cancelled": "Cancelled"},
            reaching=0.1,
            width=8,
        ),
    ]


def _products(mart: Mart) -> list[layout.Panel]:
    return [
        panels.bars(
            "Best sellers, 30 days",
            f"The ten products in most orders. {_meaning(mart, 'orders_30d')}",
            "SELECT product_name || ' (' || product_id || ')' AS product, orders_30d AS orders "
            f"FROM gold.{mart.name} WHERE orders_30d > 0 ORDER BY orders_30d DESC, product_id LIMIT 10",
            unit="none",
            width=9,
            height=9,
        ),
        panels.bars(
            "Stock by status",
            f"How many products are of each status. {_meaning(mart, 'stock_status')}",
            f"SELECT stock_status, COUNT(*) AS products FROM gold.{mart.name} GROUP BY stock_status "
            "ORDER BY CASE stock_status WHEN 'Critical' THEN 1 WHEN 'Low' THEN 2 ELSE 3 END",
            unit="none",
            width=5,
            height=9,
        ),
        panels.rows(
            "Critical stock",
            f"Products below 10 pieces, those that sell most first. {_meaning(mart, 'current_stock')}",
            "SELECT product_id, product_name, category, current_stock, orders_7d "
            f"FROM gold.{mart.name} WHERE stock_status = 'Critical' "
            "ORDER BY orders_7d DESC, current_stock, product_id LIMIT 50",
            columns={
                "product_id": panels.Column("Product"),
                "product_name": panels.Column("Name"),
                "category": panels.Column("Category"),
                "current_stock": panels.Column("Pieces", "none", ((None, panels.RED), (5, panels.ORANGE))),
                "orders_7d": panels.Column("Orders, 7 days", "none"),
            },
            width=10,
            height=9,
        ),
    ]


def _column(mart: Mart, name: str) -> str:
    if name not in mart.columns:
        raise SettingsError(f"gold.{mart.name} has no column {name!r}; it has {', '.join(mart.columns)}")
    return name


def _meaning(mart: Mart, name: str) -> str:
    return mart.columns[_column(mart, name)].description
