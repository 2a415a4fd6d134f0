"""The JSON of a domain's panels: it has the numbers that Grafana shows of the same definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from grafana.environment import COMMITTED, Environment
from grafana.files import plain
from grafana.mart_dashboard import mart_dashboard
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.dashboard_file import DashboardFile, Panel, Row
from medallion_assets.lake.catalog import Lake
from medallion_assets.panels.default_dashboard import all_dashboards, default_dashboard
from medallion_assets.panels.document import Document, read_document
from medallion_assets_tests.gold.shop import DOMAIN, MARTS, Shop, order
from medallion_assets_tests.grafana.athena import Range, expand
from medallion_assets_tests.grafana.frames import frame
from medallion_assets_tests.grafana.shop import REGIONS

DASHBOARDS = {
    **all_dashboards(DOMAIN, MARTS),
    **{f"by-itself-{name}": default_dashboard(mart) for name, mart in MARTS.items()},
}


@pytest.fixture(scope="module")
def document(shop_lake: Lake, now: datetime) -> Document:
    return read_document(shop_lake, MARTS, DASHBOARDS, title="Shop", now=now)


def _panels(document: Document) -> Iterator[dict[str, Any]]:
    for dashboard in json.loads(document.content)["dashboards"]:
        for row in dashboard["rows"]:
            yield from row["panels"]


def _drawn_by_grafana(engine: Embedded, now: datetime) -> Iterator[tuple[str, list[list[Any]]]]:
    """Yield each panel's title and the values of the fields that Grafana draws."""
    for name, file in DASHBOARDS.items():
        shown = plain(mart_dashboard(name, file, MARTS, Environment.load(COMMITTED)))
        own = {panel.title for panel in file.panels}
        for panel in shown["panels"]:
            if panel["type"] != "row" and panel["title"] in own:
                (target,) = panel["targets"]
                # "now-30d" begins in the middle of a day; the macro takes the whole day.
                sql = expand(target["rawSQL"], Range(now - timedelta(days=file.days), now), {"region": REGIONS})
                found = frame(engine.run(sql, today=now.date()), series=target["format"] == 0)
                yield panel["title"], [field["values"] for field in found["fields"]]


def test_the_numbers_are_grafanas(document: Document, engine: Embedded, now: datetime) -> None:
    drawn = list(_drawn_by_grafana(engine, now))
    panels = list(_panels(document))
    assert [panel["title"] for panel in panels] == [title for title, _ in drawn]
    for panel, (_, fields) in zip(panels, drawn, strict=True):
        match panel["kind"]:
            case "number":
                assert [panel["value"]] == fields[-1][-1:]
                assert panel.get("before", fields[-1][0]) == fields[-1][0]
            case "lines":
                assert len(panel["days"]) == len(fields[0])
                assert [one["values"] for one in panel["series"]] == fields[1:]
            case "bars":
                assert [[one["name"] for one in panel["bars"]], [one["value"] for one in panel["bars"]]] == fields
            case "table":
                assert [list(row) for row in zip(*fields, strict=True)] == [list(row) for row in panel["rows"]]
    assert len(panels) > 25


def test_the_version_follows_the_content(document: Document, shop_lake: Lake, now: datetime) -> None:
    again = read_document(shop_lake, MARTS, DASHBOARDS, title="Shop", now=now)
    assert again == document
    assert read_document(shop_lake, MARTS, DASHBOARDS, title="Shoe shop", now=now).version != document.version


def test_a_panel_of_a_mart_that_is_not_published_says_so(lake: Lake, now: datetime) -> None:
    empty = read_document(lake, MARTS, DASHBOARDS, title="Shop", now=now)
    assert {panel["published"] for panel in _panels(empty)} == {False}


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_part_of_today_stands_beside_the_same_part_of_yesterday(lake: Lake, now: datetime) -> None:
    """As it was published a day ago, if the mart was computed on that day; else nothing is said."""
    mart, yesterday = MARTS["daily_sales_by_region"], now.date() - timedelta(days=1)
    title = "Orders today"
    row = Row(title="Now", panels=(Panel(number="order_count", days=1, mart=mart.name, title=title),))
    dashboards = {"own": DashboardFile(title="Own", rows=(row,))}
    shop = Shop(lake)
    shop.write("orders", order(1, yesterday, "100.00", hour=0), order(2, yesterday, "100.00", hour=0))
    shop.refresh(mart.name, today=yesterday)
    published = lake.table("gold", mart.name).history()[-1].timestamp_ms
    shop.write("orders", order(3, yesterday, "100.00", hour=0), order(4, now.date(), "100.00", hour=0))
    shop.refresh(mart.name, today=now.date())

    def shown(at: datetime) -> dict[str, Any]:
        (panel,) = _panels(read_document(lake, MARTS, dashboards, title="Shop", now=at))
        return {name: panel[name] for name in ("value", "before", "same_part_before") if name in panel}

    a_day_after = datetime.fromtimestamp(published / 1000, now.tzinfo) + timedelta(days=1)
    # The lake's clock is today's, so the day after the first publication is tomorrow: its yesterday is today.
    assert shown(a_day_after) == {"value": 0, "before": 1, "same_part_before": 0}
    assert shown(now) == {"value": 1, "before": 3}
