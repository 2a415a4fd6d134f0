"""`/status`: each table in a line, with what is wrong and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from medallion_assets.health.blocks import Block
from medallion_assets.serving.status_lines import status_lines
from medallion_assets.serving.status_reader import Snapshot
from medallion_assets_tests.fixtures.browser import browser
from medallion_assets_tests.serving.conftest import Served

__all__ = ["browser"]


def _held(found: Snapshot) -> Snapshot:
    """Return the status with a held table, which has changes in quarantine."""
    block = Block("quarantine_rate", datetime.now(UTC) - timedelta(minutes=7))
    tables = [
        replace(table, blocked_by=block, quarantined_rows=12) if table.table == "orders" else table
        for table in found.status.tables
    ]
    return replace(found, status=replace(found.status, tables=tables))


def test_a_line_says_what_is_wrong_and_what_helps(served: Served) -> None:
    found = _held(served.service.status.read())
    lines = status_lines(found, lambda schema, table: table != "products", dagster_url="https://dagster.example.com/")
    by_table = {line.table: line for line in lines.tables}
    assert "silver/products" not in by_table and "gold/key_metrics" in by_table
    held, quarantined = by_table["silver/orders"].troubles
    assert held.text.startswith("Held by quarantine_rate since ")
    assert held.url == "https://dagster.example.com/assets/silver/orders"
    assert quarantined.command == "medallion quarantine list orders"
    assert by_table["silver/customers"].troubles == []
    assert by_table["gold/key_metrics"].rows == 1
    marts = tuple(replace(mart, incomplete=("orders", "products")) for mart in found.status.marts)
    behind = replace(found, status=replace(found.status, marts=marts))
    lines = status_lines(behind, lambda schema, table: table != "products", dagster_url=None)
    (incomplete,) = {line.table: line for line in lines.tables}["gold/key_metrics"].troubles
    assert incomplete.text == "It reads tables that need a backfill: orders.", "products does not exist for the caller"


@pytest.mark.slow
def test_the_page_shows_a_line_for_each_table(
    served: Served, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.new_page()
    page.goto(f"{served.client.base_url}/status")
    expect(page.locator("#freshness")).to_contain_text("All fine")
    assert page.locator("#lines tr").count() == len(served.service.marts) + len(served.service.domain.tables)
    found = _held(served.service.status.read())
    monkeypatch.setattr(served.service.status, "read", lambda: found)
    page.reload()
    expect(page.locator("#freshness")).to_contain_text("1 of 6 to look at")
    expect(page.locator('[data-table="silver/orders"] .red')).to_contain_text("12 changes wait in quarantine.")
    assert Axe().run(page).response["violations"] == []
    page.close()
