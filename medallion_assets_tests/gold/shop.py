"""A shop whose Silver tables the tests write directly, and its three marts in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pyarrow as pa

from medallion_assets.contracts.loader import load_domain
from medallion_assets.engines.engine import Engine
from medallion_assets.gold.mart_file import COMPUTED_AT, SILVER_SNAPSHOTS
from medallion_assets.gold.refresh import RefreshResult, refresh
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.silver.table import VERSION, ensure_silver_table, silver_schema

Row = dict[str, Any]

DOMAIN = load_domain("ecommerce")
MARTS = {mart.name: mart for mart in load_marts(DOMAIN)}
TODAY = date(2026, 3, 15)
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
EXACT = Context(prec=80, rounding=ROUND_HALF_UP)


class Shop:
    """Customers, products and orders by key as they are now; `write` makes Silver the same."""

    def __init__(self, lake: Lake, engine: Engine | None = None) -> None:
        self.lake = lake
        self.engine = engine
        self.rows: dict[str, dict[str, Row]] = {table: {} for table in DOMAIN.by_name}
        self._numbers = itertools.count(1)
        self._runs = itertools.count(1)

    def write(self, table: str, *rows: Mapping[str, Any], delete: Iterable[str] = ()) -> None:
        """Merge rows and deletions into one Silver table, as one commit."""
        contract = DOMAIN.by_name[table]
        (key,) = contract.key_names
        schema = silver_schema(contract, DOMAIN)
        written = [{**row, **self._meta()} for row in rows]
        deleted = [{key: gone, **self._meta()} for gone in delete]
        removed = pa.schema([schema.field(name) for name in (key, *VERSION)])
        for row in rows:
            self.rows[table][row[key]] = dict(row)
        for gone in delete:
            self.rows[table].pop(gone, None)
        stored = ensure_silver_table(self.lake, contract, schema)
        staged = stage_merge(
            self.lake,
            stored,
            pa.Table.from_pylist(written, schema=schema),
            removals=pa.Table.from_pylist(deleted, schema=removed),
            key=[key],
            order_by=VERSION,
        )
        publish(self.lake, stored, staged)

    def refresh(
        self, mart: str | Mart, *, today: date = TODAY, days: list[date] | None = None, whole: bool = False
    ) -> RefreshResult:
        run_id = f"run-{next(self._runs)}"
        one = MARTS[mart] if isinstance(mart, str) else mart
        return refresh(self.lake, one, today=today, now=NOW, run_id=run_id, days=days, whole=whole, engine=self.engine)

    def gold(self, mart: str | Mart) -> list[Row]:
        """A mart as published, without when and from what, ordered by its grain."""
        one = MARTS[mart] if isinstance(mart, str) else mart
        rows = stored_rows(self.lake, one)
        for row in rows:
            del row[COMPUTED_AT], row[SILVER_SNAPSHOTS]
        return ordered(rows, one)

    def _meta(self) -> Row:
        number = next(self._numbers)
        return {
            "_stream_created_at": NOW,
            "_sequence_number": str(number).zfill(40),
            "_event_id": f"event-{number}",
            "_changed_at": NOW,
            "_captured_at": NOW,
        }


def stored_rows(lake: Lake, mart: Mart) -> list[Row]:
    """Every row and column of a mart's table."""
    table = lake.table("gold", mart.name)
    with lake.duckdb() as connection:
        rows: list[Row] = connection.execute(f"FROM {lake.scan_sql(table, None)}").to_arrow_table().to_pylist()
    return rows


def ordered(rows: Iterable[Row], mart: Mart) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in mart.spec.grain))


def customer(number: int, region: str = "north") -> Row:
    return {"customer_id": f"c{number}", "name": f"Customer {number}", "email": "a@b.example", "region": region}


def product(number: int, stock: int = 100, price: str = "1.00") -> Row:
    return {
        "product_id": f"p{number}",
        "name": f"Product {number}",
        "category": "things",
        "price": Decimal(price),
        "stock_level": stock,
    }


def order(
    number: int,
    day: date = TODAY,
    amount: str = "10.00",
    *,
    of: int = 1,
    region: str | None = "north",
    status: str = "pending",
    products: Iterable[int] = (1,),
    hour: int = 12,
) -> Row:
    return {
        "order_id": f"o{number}",
        "customer_id": f"c{of}",
        "product_ids": [f"p{one}" for one in products],
        "order_date": datetime(day.year, day.month, day.day, hour, tzinfo=UTC),
        "total_amount": Decimal(amount),
        "status": status,
        "customer_name": None if region is None else f"Customer {of}",
        "customer_region": region,
    }


def daily_sales_by_region(shop: Shop) -> list[Row]:
    groups: dict[tuple[date, str], list[Row]] = {}
    for row in shop.rows["orders"].values():
        groups.setdefault((row["order_date"].date(), row["customer_region"] or "unknown"), []).append(row)
    result = []
    for (day, region), rows in groups.items():
        sold = [row for row in rows if row["status"] != "cancelled"]
        revenue = sum((row["total_amount"] for row in sold), Decimal("0.00"))
        result.append(
            {
                "order_date": day,
                "region": region,
                "order_count": len(sold),
                "total_revenue": revenue,
                "avg_order_value": half_up(revenue, len(sold)) if sold else None,
                "unique_customers": len({row["customer_id"] for row in sold}),
                "cancelled_count": len(rows) - len(sold),
            }
        )
    return ordered(result, MARTS["daily_sales_by_region"])


def product_performance(shop: Shop, today: date) -> list[Row]:
    def orders_with(product_id: str, days: int) -> int:
        return sum(
            1
            for row in shop.rows["orders"].values()
            if row["status"] != "cancelled"
            and product_id in row["product_ids"]
            and today - timedelta(days=days) < row["order_date"].date() <= today
        )

    def status(stock: int) -> str:
        return "Critical" if stock < 10 else "Low" if stock < 50 else "Good"

    result = [
        {
            "product_id": row["product_id"],
            "product_name": row["name"],
            "category": row["category"],
            "current_price": row["price"],
            "current_stock": row["stock_level"],
            "stock_status": status(row["stock_level"]),
            "orders_7d": orders_with(row["product_id"], 7),
            "orders_30d": orders_with(row["product_id"], 30),
        }
        for row in shop.rows["products"].values()
    ]
    return ordered(result, MARTS["product_performance"])


def key_metrics(shop: Shop, today: date) -> list[Row]:
    sold = [
        (row["order_date"].date(), row["total_amount"])
        for row in shop.rows["orders"].values()
        if row["status"] != "cancelled"
    ]

    def revenue(first_days_ago: int, last_days_ago: int) -> Decimal:
        first, last = today - timedelta(days=first_days_ago), today - timedelta(days=last_days_ago)
        return sum((amount for day, amount in sold if first <= day <= last), Decimal("0.00"))

    row: Row = {
        "as_of": today,
        "orders_today": sum(day == today for day, _ in sold),
        "orders_yesterday": sum(day == today - timedelta(days=1) for day, _ in sold),
        "revenue_today": revenue(0, 0),
        "revenue_yesterday": revenue(1, 1),
    }
    for days in (7, 30, 90):
        row[f"revenue_{days}d"] = revenue(days - 1, 0)
        row[f"revenue_{days}d_before"] = revenue(2 * days - 1, days)
    return [row]


def half_up(total: Decimal, count: int) -> Decimal:
    return EXACT.divide(total, Decimal(count)).quantize(Decimal("0.01"), context=EXACT)
