"""The page on a server: its files, its ETags, what a key may see of it, and events when something moves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.serving import page, status_reader
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.service import Service
from medallion_assets_tests.gold.shop import order
from medallion_assets_tests.serving.conftest import LIMITS, Served, run_server, serve_shop


def _document(client: httpx.Client, headers: dict[str, str] | None = None) -> dict[str, Any]:
    pointer = client.get("/data/latest.json", headers=headers).raise_for_status().json()
    return dict(client.get(f"/data/{pointer['panels']}", headers=headers).raise_for_status().json())


def _panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for board in document["dashboards"]:
        for row in board["rows"]:
            yield from row["panels"]


def test_the_page_and_its_numbers_are_served(served: Served) -> None:
    index = served.client.get("/")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert index.headers["cache-control"] == "no-cache"
    for path in re.findall(r'"(page/[^"]+)"', index.text):
        asset = served.client.get(f"/{path}")
        assert (asset.status_code, "immutable" in asset.headers["cache-control"]) == (200, True)
    (stock,) = [panel for panel in _panels(_document(served.client)) if panel["title"] == "Stock by status"]
    found = served.ask("SELECT stock_status, count(*) FROM gold.product_performance GROUP BY 1").json()["rows"]
    assert [[bar["name"], bar["value"]] for bar in stock["bars"]] == found


def test_what_has_not_changed_is_answered_with_304(served: Served) -> None:
    for path in ("/", "/data/latest.json"):
        tag = served.client.get(path).headers["etag"]
        assert served.client.get(path, headers={"If-None-Match": tag}).status_code == 304
    gone = served.client.get("/data/0000000000000000.json")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "no_such_document")


def test_a_key_sees_the_panels_of_the_marts_that_it_may_read(served: Served, tmp_path: Path) -> None:
    ring = KeyRing(open_store(str(tmp_path / "keys")))
    _, few = ring.make("few", reads=["gold.key_metrics"], queries=[], now=datetime.now(UTC), lasts=None)
    headers = {"Authorization": f"Bearer {few}"}
    with (
        Service(served.service.settings, LIMITS, ring) as service,
        run_server(service) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert client.get("/").status_code == 200
        for path in ("/data/latest.json", f"/{page.EVENTS}"):
            assert client.get(path).status_code == 401
        pointer = client.get("/data/latest.json", headers=headers)
        assert (pointer.headers["cache-control"], pointer.headers["vary"]) == ("no-cache", "Authorization")
        document = client.get(f"/data/{pointer.json()['panels']}", headers=headers)
        assert ("private" in document.headers["cache-control"], document.headers["vary"]) == (True, "Authorization")
        assert set(pointer.json()["marts"]) == {"key_metrics"}
        assert {panel["mart"] for panel in _panels(_document(client, headers))} == {"key_metrics"}
        whole = served.client.get("/data/latest.json").json()["panels"]
        assert client.get(f"/data/{whole}", headers=headers).status_code == 404


def test_an_event_says_that_other_numbers_are_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_reader, "SECONDS", 0.0)
    monkeypatch.setattr(page, "_LOOK_SECONDS", 0.05)
    with (
        serve_shop(tmp_path, orders=1) as served,
        served.client.stream("GET", f"/{page.EVENTS}", timeout=30) as stream,
    ):
        events = (json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: "))
        first = next(events)
        served.shop.write("orders", order(2))
        served.shop.refresh("daily_sales_by_region")
        assert next(events) != first
