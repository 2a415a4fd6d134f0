"""The served page in a real browser: it asks for a key, and numbers move by events."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from medallion_assets.capture.store import open_store
from medallion_assets.serving import page, status_reader
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.service import Service
from medallion_assets_tests.fixtures.browser import browser
from medallion_assets_tests.gold.shop import product
from medallion_assets_tests.serving.conftest import LIMITS, run_server, serve_shop

pytestmark = pytest.mark.slow

__all__ = ["browser"]


def test_it_asks_for_a_key_and_then_moves_by_events(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_reader, "SECONDS", 0.0)
    monkeypatch.setattr(page, "POLL_SECONDS", 3600.0)
    ring = KeyRing(open_store(str(tmp_path / "keys")))
    _, text = ring.make("reader", reads=["gold"], queries=[], now=datetime.now(UTC), lasts=None)
    opened = browser.new_page(locale="en-GB")
    with (
        serve_shop(tmp_path / "shop", orders=1) as served,
        Service(served.service.settings, LIMITS, ring) as service,
        run_server(service) as url,
    ):
        opened.goto(url)
        opened.get_by_label("This server asks for a key").fill("mk_wrong")
        opened.keyboard.press("Enter")
        opened.get_by_label("This key does not work").fill(text)
        opened.keyboard.press("Enter")
        good = opened.locator('[data-panel="Stock by status"] .bars .number').last
        before = int(good.inner_text())
        served.shop.write("products", product(2))
        served.shop.refresh("product_performance")
        expect(good).to_have_text(str(before + 1), timeout=15_000)
        opened.close()
