"""Tables of other shapes than the shop's, with a few rows, for the SELECTs that people usually write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from medallion_assets.contracts.types import ColumnType, parse_type


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "orders": {
        "order_id": "string",
        "customer_id": "string",
        "product_ids": "list<string>",
        "order_date": "timestamp",
        "total_amount": "decimal(12,2)",
        "status": "string",
        "customer_region": "string",
    },
    "customers": {"customer_id": "string", "name": "string", "email": "string", "region": "string", "since": "date"},
    "products": {
        "product_id": "string",
        "name": "string",
        "category": "string",
        "price": "decimal(12,2)",
        "stock_level": "int",
    },
    "events": {
        "event_id": "string",
        "user_id": "string",
        "kind": "string",
        "at": "timestamp",
        "epoch_ms": "bigint",
        "payload": "json",
        "tags": "list<string>",
        "attributes": "map<string>",
        "sent": "string",
        "amount_text": "string",
        "score": "double",
        "duration_ms": "int",
        "url": "string",
    },
    "invoices": {
        "invoice_id": "string",
        "customer_id": "string",
        "lines": "list<struct<sku:string,quantity:int,price:decimal(10,2)>>",
        "issued": "date",
        "due": "date",
        "paid_at": "timestamp",
        "currency": "string",
        "billing": "struct<city:string,zip:string>",
    },
    "readings": {"device": "string", "seq": "bigint", "seen": "timestamp", "value": "decimal(9,3)", "ok": "bool"},
}

USUAL_KEYS: Final[dict[str, list[str]]] = {
    "orders": ["order_id"],
    "customers": ["customer_id"],
    "products": ["product_id"],
    "events": ["event_id"],
    "invoices": ["invoice_id"],
    "readings": ["device", "seq"],
}

USUAL_COLUMNS: Final[dict[str, dict[str, ColumnType]]] = {
    table: {name: parse_type(kind) for name, kind in columns.items()} for table, columns in _COLUMNS.items()
}

_ROWS: Final[dict[str, Sequence[tuple[Any, ...]]]] = {
    "orders": [
        ("o1", "c1", ["p1", "p2"], _at("2026-03-13T08:15"), Decimal("10.00"), "paid", "north"),
        ("o2", "c1", ["p1"], _at("2026-03-14T23:30"), Decimal("25.50"), "open", "north"),
        ("o3", "c2", [], _at("2026-03-14T23:30"), Decimal("7.77"), "cancelled", "south"),
        ("o4", "c3", ["p3", "p3"], _at("2026-03-29T00:59:59"), Decimal("100.00"), "paid", None),
        ("o5", "c2", None, _at("2026-03-29T01:00"), Decimal("0.01"), "paid", "south"),
        ("o6", "c9", ["p2"], _at("2025-12-31T23:59:59.999999"), Decimal("3.33"), "open", None),
        ("o7", "c1", ["p1"], _at("2026-03-15T10:00"), Decimal("10.00"), "paid", "north"),
    ],
    "customers": [
        ("c1", "Ada Lovelace", "ADA@example.com", "north", date(2024, 2, 29)),
        ("c2", "Bob", " bob@example.org ", "south", date(2025, 1, 31)),
        ("c3", "Zoë Größe", None, None, date(2026, 3, 1)),
    ],
    "products": [
        ("p1", "Lamp", "home", Decimal("9.99"), 5),
        ("p2", "Desk", "home", Decimal("199.00"), 40),
        ("p3", "Pen", "office", Decimal("0.99"), 1000),
        ("p4", "Ink", "office", None, None),
    ],
    "events": [
        (
            *("e1", "u1", "view", _at("2026-03-14T22:05:07.123"), 1773525907123),
            *('{"page":"/a","ms":1.50,"ids":[7,8]}', ["new", "web"], [("plan", "pro"), ("ref", "ad")]),
            *("2026-03-14T22:05:07Z", "12.50", 0.125, 1500, "https://example.com/a?x=1"),
        ),
        (
            *("e2", "u1", "click", _at("2026-03-14T23:45"), 1773531900000),
            *('{"page":"/b","ok":true}', [], [("plan", "free")]),
            *("2026-03-15T00:45:00.5+01:00", "n/a", 2.5, 90, "https://example.org/b"),
        ),
        (
            *("e3", "u2", "view", _at("2026-03-15T00:00"), 0),
            *('{"user":{"name":"Zoë","tags":["a b"]}}', ["web"], []),
            *("2026-03-15", " 7 ", 0.3, 0, ""),
        ),
        ("e4", "u3", "buy", _at("2026-10-25T00:30"), -1, None, None, None, None, None, None, None, None),
        (
            *("e5", "u2", "buy", _at("2026-10-25T01:30"), 1792891800000),
            *('{"ms":2}', ["web", "app"], [("plan", "pro")]),
            *("2026-10-25T01:30:00Z", "1e3", 100.0, 61000, "ftp://x"),
        ),
    ],
    "invoices": [
        (
            *(
                "i1",
                "c1",
                [{"sku": "a", "quantity": 2, "price": Decimal("1.25")}, {"sku": "b", "quantity": 1, "price": None}],
            ),
            *(date(2026, 1, 31), date(2026, 3, 1), _at("2026-02-28T12:00"), "EUR", {"city": "Berlin", "zip": "02142"}),
        ),
        ("i2", "c2", [], date(2026, 2, 28), date(2026, 3, 31), None, "USD", {"city": None, "zip": "10115"}),
        ("i3", "c1", None, date(2025, 12, 31), date(2026, 1, 30), _at("2026-01-31T23:30"), "EUR", None),
        (
            *("i4", "c3", [{"sku": "a", "quantity": 10, "price": Decimal("0.10")}]),
            *(date(2026, 3, 14), date(2026, 4, 13), None, "EUR", {"city": "Köln", "zip": "50667"}),
        ),
    ],
    "readings": [
        ("d1", 1, _at("2026-03-15T09:00"), Decimal("20.500"), True),
        ("d1", 2, _at("2026-03-15T09:05"), Decimal("20.500"), True),
        ("d1", 3, _at("2026-03-15T09:10"), None, False),
        ("d1", 4, _at("2026-03-15T10:00"), Decimal("-3.125"), True),
        ("d2", 1, _at("2026-03-15T09:00"), Decimal("1.000"), None),
        ("d2", 2, _at("2026-03-16T00:00"), Decimal("2.000"), True),
    ],
}


def usual_rows() -> Mapping[str, pa.Table]:
    """Return the rows of each table, with the columns that the lake has."""
    return {
        table: pa.table(
            {
                name: pa.array([row[at] for row in _ROWS[table]], kind.arrow())
                for at, (name, kind) in enumerate(columns.items())
            }
        )
        for table, columns in USUAL_COLUMNS.items()
    }
