"""Changes of a shop as stream records, captured into the Bronze store of the current settings; and its tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings

Item = dict[str, dict[str, Any]]

_sequence = itertools.count(10**20)
_moment = itertools.count()


def store() -> BronzeStore:
    return open_store(Settings.load().bronze)


def capture(*records: Mapping[str, Any], at: datetime | None = None) -> None:
    """Write the records to Bronze as captured at `at`, or now."""
    at = at or datetime.now(UTC)
    failures = write_bronze(records, store=store(), captured_at=at + timedelta(microseconds=next(_moment)))
    assert failures == []


def customer(key: str, *, region: str = "EU", name: str = "Ada") -> dict[str, Any]:
    item = {
        "Name": {"S": name},
        "Email": {"S": "ada@example.com"},
        "Region": {"S": region},
        "JoinDate": {"S": "2024-03-15"},
    }
    return record("Customers", {"CustomerID": {"S": key}}, item)


def product(key: str, *, price: str = "79.99", stock: int = 150) -> dict[str, Any]:
    item = {"Name": {"S": "Lamp"}, "Category": {"S": "home"}, "Price": {"N": price}, "StockLevel": {"N": str(stock)}}
    return record("Products", {"ProductID": {"S": key}}, item)


def order(
    key: str,
    *,
    customer: str = "c1",
    on: date | None = None,
    amount: str = "79.99",
    status: str = "pending",
    products: tuple[str, ...] = ("p1",),
) -> dict[str, Any]:
    item: Item = {
        "CustomerID": {"S": customer},
        "ProductID": {"L": [{"S": one} for one in products]},
        "OrderDate": {"S": f"{on or datetime.now(UTC).date()}T10:30:00Z"},
        "TotalAmount": {"N": amount},
        "Status": {"S": status},
    }
    return record("Orders", {"OrderID": {"S": key}}, item)


def record(table: str, keys: Item, new: Item) -> dict[str, Any]:
    """Return a change as Lambda delivers it; sequence numbers increase."""
    sequence = next(_sequence)
    return {
        "eventID": f"{table}-{sequence}",
        "eventName": "MODIFY",
        "eventSourceARN": f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026-01-01T00:00:00.000",
        "dynamodb": {
            "Keys": keys,
            "NewImage": {**keys, **new},
            "SequenceNumber": str(sequence),
            "ApproximateCreationDateTime": datetime.now(UTC).timestamp(),
        },
    }


def rows(namespace: str, name: str) -> list[dict[str, Any]]:
    """Return the published rows of a table, sorted, without the time at which they were computed."""
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        table = lake.table(namespace, name)
        found = (
            connection.execute(f"SELECT * FROM {lake.scan_sql(table, None)} ORDER BY ALL").to_arrow_table().to_pylist()
        )
    return [
        {name: value for name, value in row.items() if name not in {"computed_at", "silver_snapshots"}} for row in found
    ]


def snapshot(namespace: str, name: str) -> int | None:
    """Return the id of the published snapshot."""
    with Lake.open(Settings.load().lake()) as lake:
        return lake.table(namespace, name).metadata.current_snapshot_id
