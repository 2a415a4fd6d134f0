"""The page in a real browser, over a site that is written to files: what a person sees, hears and can reach."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from medallion_assets.capture.file_store import FileStore
from medallion_assets.health.blocks import Block
from medallion_assets.health.status import Status, read_status
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.ledger.status import read_completeness
from medallion_assets.local.emulator import REGION
from medallion_assets.panels.default_dashboard import all_dashboards, default_dashboard
from medallion_assets.panels.document import Document, read_document
from medallion_assets.panels.state import mart_states
from medallion_assets.site.place import FolderPlace
from medallion_assets.site.write import write_site
from medallion_assets_tests.fixtures.browser import browser
from medallion_assets_tests.gold.shop import DOMAIN, MARTS
from medallion_assets_tests.grafana import shop
from medallion_assets_tests.site.web_server import WebServer

pytestmark = pytest.mark.slow

__all__ = ["browser"]

POLL_SECONDS = 0.1
DASHBOARDS = {**all_dashboards(DOMAIN, MARTS), "mart-products": default_dashboard(MARTS["product_performance"])}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, Status]:
    """What a shop has published, and its state."""
    folder, now = tmp_path_factory.mktemp("shop"), datetime.now(UTC)
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)) as lake:
        shop.fill(lake, folder / "bronze", now)
        completeness = read_completeness(lake, list(DOMAIN.by_name))
        marts = list(MARTS.values())
        status = read_status(
            lake, FileStore(folder / "bronze"), DOMAIN, marts, completeness=completeness, now=datetime.now(UTC)
        )
        return read_document(lake, MARTS, DASHBOARDS, title="Shop", now=now), status


class Site:
    """A site that is served, and what is written to it."""

    def __init__(self, server: WebServer, document: Document, status: Status) -> None:
        self.server = server
        self.document = document
        self._status = status

    def write(self, document: Document | None = None, *, held: Block | None = None, complete: bool = True) -> None:
        """Write the site as of now."""
        now = datetime.now(UTC)
        marts = [
            replace(mart, contains_to=now, complete_to=now if complete else None, blocked_by=held)
            for mart in self._status.marts
        ]
        states = mart_states(replace(self._status, marts=marts), MARTS, dagster_url="https://dagster.example.com")
        place = FolderPlace(self.server.root)
        write_site(place, document or self.document, states, now=now, poll_seconds=POLL_SECONDS)

    def panels(self) -> list[dict[str, Any]]:
        first = json.loads(self.document.content)["dashboards"][0]
        return [panel for row in first["rows"] for panel in row["panels"]]

    def changed(self, before: str, after: str) -> Document:
        """Return a document with another number."""
        content = self.document.content.replace(before.encode(), after.encode())
        assert content != self.document.content
        return Document(content, "f" * 16)


@pytest.fixture
def site(published: tuple[Document, Status], tmp_path: Path) -> Iterator[Site]:
    server = WebServer(tmp_path / "site")
    made = Site(server, *published)
    made.write()
    with server.running():
        yield made


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """The page after its first drawing. An error of its script fails the test."""
    opened = browser.new_page(viewport={"width": 1366, "height": 768}, locale="en-GB")
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(site.server.url)
    expect(opened.locator(".panel").first).to_be_visible()
    yield opened
    opened.close()
    assert errors == []


def _panel(page: Page, title: str) -> Any:
    return page.locator(f'.panel[data-panel="{title}"]')


def test_the_numbers_are_those_of_the_document(page: Page, site: Site) -> None:
    panels = site.panels()
    assert page.locator(".panel").count() == len(panels)
    for panel in panels:
        shown = _panel(page, panel["title"])
        match panel["kind"]:
            case "number":
                digits = re.sub(r"[^0-9.]", "", shown.locator(".value").inner_text())
                assert float(digits) == pytest.approx(panel["value"], abs=0.005)
            case "lines":
                shown.locator("summary").click()
                rows = shown.locator("tbody tr")
                expect(rows).to_have_count(len(panel["days"]))
                newest = rows.first.locator("td").all_inner_texts()
                assert newest[0] == panel["days"][-1]
                assert len(newest) == 1 + len(panel["series"])
            case "bars":
                expected = [bar["name"] for bar in panel["bars"]]
                assert shown.locator("td.name").all_inner_texts() == expected
            case "table":
                assert shown.locator("tbody tr").count() == len(panel["rows"])
        assert re.search(r"\d+ s old · complete up to \d", shown.locator(".state").inner_text())


def test_a_number_moves_as_it_comes_and_nothing_is_loaded_twice(page: Page, site: Site) -> None:
    (orders,) = [panel for panel in site.panels() if panel["title"] == "Orders today"]
    before = f'"value":{orders["value"]},"days":1,"before":{orders["before"]}'
    value = _panel(page, "Orders today").locator(".value")
    page.wait_for_timeout(500)
    site.write(site.changed(before, before.replace(str(orders["value"]), "4321.0", 1)))
    expect(value).to_have_text("4,321")
    expect(value).to_have_class("value changed")
    answers = site.server.answers
    assert answers["data/latest.json", 304] > 2
    assert answers["data/latest.json", 200] == 2
    assert answers[f"data/{site.document.version}.json", 200] == 1
    assert answers["index.html", 200] == 1


def test_a_pointer_to_what_is_not_there_changes_nothing(page: Page, site: Site) -> None:
    """Another writer than ours, or a cache: the page shows the last whole state."""
    value = _panel(page, "Orders today").locator(".value")
    before = value.inner_text()
    pointer = site.server.root / "data/latest.json"
    found = json.loads(pointer.read_text())
    pointer.write_text(json.dumps({**found, "panels": "0000000000000000.json", "marts": {}}))
    expect(page.locator("#notice")).to_contain_text("No answer since")
    assert value.inner_text() == before
    site.write()
    expect(page.locator("#notice")).to_be_empty()


def test_the_last_state_stays_when_the_server_is_gone(browser: Browser, site: Site, tmp_path: Path) -> None:
    server = WebServer(site.server.root)
    with server.running():
        page = browser.new_page(locale="en-GB")
        page.goto(server.url)
        value = _panel(page, "Orders today").locator(".value")
        expect(value).to_be_visible()
        before = value.inner_text()
    expect(page.locator("#freshness")).to_have_attribute("data-state", "bad")
    expect(page.locator("#notice")).to_contain_text("No answer since")
    assert value.inner_text() == before
    expect(_panel(page, "Orders today").locator(".state")).to_contain_text("old")
    with server.running():
        expect(page.locator("#freshness")).to_have_attribute("data-state", "good", timeout=10_000)
        expect(page.locator("#notice")).to_be_empty()
        page.close()


def test_a_held_mart_says_which_rule_since_when_and_where_to_look(page: Page, site: Site) -> None:
    site.write(held=Block("grain", datetime.now(UTC) - timedelta(minutes=7)))
    note = page.locator("#notice .note").first
    expect(note).to_contain_text("by its rule “grain”. Every row has its grain")
    link = page.get_by_role("link", name="gold/key_metrics in Dagster")
    assert link.get_attribute("href") == "https://dagster.example.com/assets/gold/key_metrics"
    expect(_panel(page, "Orders today").locator(".held")).to_contain_text("Held since")
    expect(page.locator("#freshness")).to_have_attribute("data-state", "warn")


def test_it_is_not_said_to_be_complete_where_nobody_knows(page: Page, site: Site) -> None:
    site.write(complete=False)
    expect(_panel(page, "Orders today").locator(".state")).to_contain_text("complete up to: unknown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, site: Site, scheme: Any) -> None:
    site.write(held=Block("grain", datetime.now(UTC)))
    page = browser.new_page(color_scheme=scheme)
    page.goto(site.server.url)
    expect(page.locator(".note").first).to_be_visible()
    page.locator("summary").first.click()
    found = Axe().run(page).response["violations"]
    page.close()
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_everything_is_reached_by_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the numbers"
    chart = _panel(page, "Revenue by region").locator("[data-chart]")
    readout = _panel(page, "Revenue by region").locator(".readout")
    chart.focus()
    newest = readout.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(newest)
    region = _panel(page, "Revenue by region").get_by_role("button", name="North")
    region.focus()
    page.keyboard.press("Enter")
    expect(region).to_have_attribute("aria-pressed", "false")
    expect(readout).not_to_contain_text("North")


def test_a_dashboard_has_an_address(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Product performance").click()
    expect(page.locator("h1")).to_have_text("Product performance")
    page.reload()
    expect(page.locator("h1")).to_have_text("Product performance")


@pytest.mark.parametrize("size", [(360, 740), (1366, 768), (3840, 2160)], ids=["phone", "laptop", "wall"])
def test_nothing_sticks_out(browser: Browser, site: Site, size: tuple[int, int]) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(site.server.url)
    expect(page.locator(".panel").first).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    out = page.evaluate(
        "[...document.querySelectorAll('.panel')]"
        ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.dataset.panel)"
    )
    page.close()
    assert (wide, out) == (size[0], [])
