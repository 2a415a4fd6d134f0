"""`fresh`: Silver with what is not merged yet equals Silver after the merge, and says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.serving.service import Service
from medallion_assets.silver import tail
from medallion_assets.testing import Pipeline
from medallion_assets_tests.serving.conftest import LIMITS, run_server, shop_settings

ALL = "SELECT order_id, total_amount, status, customer_region FROM silver.orders ORDER BY order_id"


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Pipeline, httpx.Client]]:
    settings = shop_settings(tmp_path)
    with Lake.open(settings.lake()) as lake:
        pipeline = Pipeline(load_domain("ecommerce"), lake, open_store(settings.bronze))
        with (
            Service(settings, LIMITS, None) as service,
            run_server(service) as url,
            httpx.Client(base_url=url) as client,
        ):
            yield pipeline, client


def ask(client: httpx.Client, freshness: str, sql: str = ALL) -> dict[str, Any]:
    answer = client.post("/v1/sql", json={"sql": sql, "freshness": freshness})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order(number: int, amount: int = 10, status: str = "pending") -> dict[str, Any]:
    return {
        "OrderID": f"o{number}",
        "CustomerID": "c1",
        "ProductID": ["p1"],
        "OrderDate": "2026-03-15T12:00:00Z",
        "TotalAmount": amount,
        "Status": status,
    }


def test_fresh_is_what_a_merge_publishes(asked: tuple[Pipeline, httpx.Client]) -> None:
    pipeline, client = asked
    pipeline.put("Customers", {"CustomerID": "c1", "Name": "A", "Email": "a@b.example", "Region": "north"})
    for number in range(5):
        pipeline.put("Orders", order(number))
    pipeline.run()
    published = ask(client, "published")
    assert (published["freshness"], published["audited"], published["row_count"]) == ("published", True, 5)
    assert ask(client, "fresh")["rows"] == published["rows"]

    pipeline.put("Orders", order(0, amount=20))
    pipeline.put("Orders", order(0, amount=30))
    pipeline.delete("Orders", {"OrderID": "o1"})
    pipeline.put("Orders", order(6))
    pipeline.put("Orders", order(7))
    pipeline.delete("Orders", {"OrderID": "o7"})
    pipeline.delete("Orders", {"OrderID": "o2"})
    pipeline.put("Orders", order(2, amount=40))
    pipeline.capture()
    fresh = ask(client, "fresh")
    assert (fresh["freshness"], fresh["audited"]) == ("fresh", False)
    [table] = fresh["tables"]
    assert table["captured_to"] is not None and fresh["age_seconds"] >= 0
    assert [row[:2] for row in fresh["rows"]] == [
        ["o0", "30.00"],
        ["o2", "40.00"],
        ["o3", "10.00"],
        ["o4", "10.00"],
        ["o6", "10.00"],
    ]
    assert {row[3] for row in fresh["rows"]} == {"north"}, "enriched as a merge does"
    assert ask(client, "published")["rows"] == published["rows"]

    pipeline.run()
    assert ask(client, "fresh")["rows"] == ask(client, "published")["rows"] == fresh["rows"]
    pipeline.delete("Orders", {"OrderID": "o0"})
    pipeline.run()
    assert ask(client, "fresh")["rows"] == ask(client, "published")["rows"] == fresh["rows"][1:]


def test_a_follower_that_lags_says_so(asked: tuple[Pipeline, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, client = asked
    pipeline.put("Orders", order(1))
    pipeline.run()
    pipeline.put("Orders", order(2))
    pipeline.capture()
    for limit in ("MAX_OBJECTS", "MAX_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(tail, limit, 0)
            answer = client.post("/v1/sql", json={"sql": ALL, "freshness": "fresh"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "lagging")
    assert ask(client, "fresh")["row_count"] == 2
    assert ask(client, "published")["row_count"] == 1
