"""Every query of the generated files, run on Gold: it is read as Trino's SQL, and gives its panel what that draws."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from grafana.alerts import SMALLEST_SHARE, _allowed, pipeline_alerts
from grafana.environment import COMMITTED, Environment
from grafana.files import FOLDER, plain
from grafana.mart_dashboard import mart_dashboard
from medallion_assets.contracts.loader import domain_folder, load_domain
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import CHECKS, HEALTH
from medallion_assets.ops.upsert import upsert
from medallion_assets.panels.default_dashboard import default_dashboard
from medallion_assets_tests.gold.shop import DOMAIN, MARTS, Shop, customer, order
from medallion_assets_tests.grafana.athena import NUMBER, TEXT, TIME, Range, expand, field_kind
from medallion_assets_tests.grafana.shop import REGIONS

VARIABLES = {"region": REGIONS, "table": (*DOMAIN.by_name, *MARTS)}


def dashboards() -> list[dict[str, Any]]:
    """Return the committed ones, and those that the shop's marts would have by themselves."""
    committed = [
        json.loads(file.read_text(encoding="utf-8")) for file in sorted((FOLDER / "dashboards").glob("*.json"))
    ]
    return [*committed, *by_themselves().values()]


@cache
def by_themselves() -> dict[str, dict[str, Any]]:
    environment = Environment.load(COMMITTED)
    described = {name: default_dashboard(mart) for name, mart in MARTS.items()}
    return {name: plain(mart_dashboard(name, file, MARTS, environment)) for name, file in described.items()}


def panels() -> Iterator[Any]:
    for dashboard in dashboards():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield pytest.param(dashboard, panel, id=f"{dashboard['title']}: {panel['title']}")


def run(engine: Embedded, sql: str, now: datetime, *, days: int = 30) -> pa.Table:
    expanded = expand(sql, Range(now - timedelta(days=days), now + timedelta(seconds=1)), VARIABLES)
    return engine.run(expanded, today=now.date())


@pytest.mark.parametrize(("dashboard", "panel"), list(panels()))
def test_a_panels_query_gives_what_the_panel_draws(
    dashboard: dict[str, Any], panel: dict[str, Any], engine: Embedded, now: datetime
) -> None:
    for target in panel["targets"]:
        found = run(engine, target["rawSQL"], now)
        require_drawable(panel, target, found)


def require_drawable(panel: dict[str, Any], target: dict[str, Any], found: pa.Table) -> None:
    """Assert that the rows of a panel's query have the columns and types that the panel draws."""
    kinds = [field_kind(field.type) for field in found.schema]
    assert not any(pa.types.is_decimal(field.type) for field in found.schema), "Grafana gets a decimal as text"
    assert found.num_rows > 0, "nothing to draw"
    match panel["type"]:
        case "timeseries":
            assert target["format"] == 0
            assert found.column_names[0] == "time"
            assert kinds[0] == TIME
            assert set(kinds[1:]) <= {NUMBER, TEXT}
            assert NUMBER in kinds
            assert kinds.count(TEXT) <= 1
            assert found["time"].to_pylist() == sorted(found["time"].to_pylist()), "long series must be in order"
        case "stat":
            assert target["format"] == 1
            assert kinds.count(NUMBER) == 1
            assert set(kinds) <= {NUMBER, TIME}
        case "bargauge":
            assert kinds == [TEXT, NUMBER]
        case "table":
            columns = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
            assert list(columns) == found.column_names
            with_unit = {name for name, properties in columns.items() if "unit" in {p["id"] for p in properties}}
            assert {name for name, kind in zip(found.column_names, kinds, strict=True) if kind == NUMBER} == with_unit
        case other:
            raise AssertionError(f"nobody says what a {other} draws")


@pytest.mark.parametrize("days", [7, 30, 90])
def test_orders_of_a_window_stand_beside_those_of_the_window_before(engine: Embedded, now: datetime, days: int) -> None:
    (panel,) = (
        each for dashboard in dashboards() for each in dashboard["panels"] if each["title"] == f"Orders, {days} days"
    )
    counted = engine.run("SELECT order_date, order_count FROM gold.daily_sales_by_region", today=now.date()).to_pylist()
    expected = [
        sum(row["order_count"] for row in counted if ends <= (now.date() - row["order_date"]).days < ends + days)
        for ends in (days, 0)
    ]
    found = run(engine, panel["targets"][0]["rawSQL"], now)
    assert found["shown"].to_pylist() == expected
    assert min(expected) > 0


def test_the_variables_find_their_values(engine: Embedded, now: datetime) -> None:
    for dashboard in dashboards():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                found = run(engine, variable["query"]["rawSQL"], now)
                assert set(found[0].to_pylist()) == set(VARIABLES[variable["name"]])


def test_annotations_have_a_time_and_a_text(engine: Embedded, now: datetime) -> None:
    for dashboard in dashboards():
        for annotation in dashboard["annotations"]["list"]:
            found = run(engine, annotation["target"]["rawSQL"], now)
            assert found.column_names == ["time", "text", "tags"]
            assert [field_kind(field.type) for field in found.schema] == [TIME, TEXT, TEXT]


RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "provisioning/alerting/rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["uid"]))
def test_a_rules_query_gives_one_number_a_row_and_texts_that_name_it(
    rule: dict[str, Any], engine: Embedded, now: datetime
) -> None:
    """Else Grafana makes no alerts of a table: `isNumberTable` in its pkg/expr/nodes.go."""
    found = run(engine, rule["data"][0]["model"]["rawSQL"], now)
    kinds = [field_kind(field.type) for field in found.schema]
    assert not any(pa.types.is_decimal(field.type) for field in found.schema), "Grafana gets a decimal as text"
    assert kinds.count(NUMBER) == 1
    assert set(kinds) <= {NUMBER, TEXT}
    assert found.num_rows > 0
    labels = set(re.findall(r"\.Labels\.(\w+)", rule["annotations"]["summary"]))
    assert labels <= {name for name, kind in zip(found.column_names, kinds, strict=True) if kind == TEXT}


def test_the_rules_fire_on_what_they_are_about_and_on_nothing_else(engine: Embedded, now: datetime) -> None:
    """The shop's lake: fresh, no dead letters, no check failing now but for a warning, stock low, revenue as usual."""
    firing = set()
    for rule in RULES:
        above = rule["data"][1]["model"]["conditions"][0]["evaluator"]["params"][0]
        found = run(engine, rule["data"][0]["model"]["rawSQL"], now)
        number = next(name for name in found.column_names if field_kind(found.schema.field(name).type) == NUMBER)
        if any(value is not None and value > above for value in found[number].to_pylist()):
            firing.add(rule["uid"])
    assert firing == {"medallion-dev-stock-critical"}


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_a_young_shop_is_compared_with_the_weeks_that_it_has(lake: Lake, now: datetime) -> None:
    """Weeks before the first order are no weeks without revenue; and two weeks are no habit."""
    (rule,) = [rule for rule in RULES if rule["uid"].endswith("revenue-weekday")]
    shop = Shop(lake)
    shop.write("customers", customer(1))
    found = []
    for week in range(6):
        day = now.date() - timedelta(days=1 + 7 * (5 - week))
        shop.write("orders", order(week, day, "100.00", hour=0))
        shop.refresh("daily_sales_by_region", today=day + timedelta(days=1))
        with Embedded(lake) as session:
            session.show_published()
            rows = run(session, rule["data"][0]["model"]["rawSQL"], now - timedelta(days=7 * (5 - week)))
        found.append(rows["difference"].to_pylist())
    assert found == [[], [], [], [0.0], [0.0], [0.0]]


def test_a_table_of_another_domain_has_a_share_to_be_compared_with(engine: Embedded, now: datetime) -> None:
    sql = f"SELECT {_allowed(DOMAIN)} AS share FROM (SELECT 'vans' AS table_name)"
    assert engine.run(sql, today=now.date())["share"].to_pylist() == [SMALLEST_SHARE]


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_a_heartbeat_pages_where_it_does_not_arrive(lake: Lake, now: datetime, tmp_path: Path) -> None:
    live = Path(shutil.copytree(domain_folder("ecommerce"), tmp_path / "live"))
    contract = {"Id": "string", "WrittenAt": "timestamp"}
    (live / "tables/heartbeat.yaml").write_text(
        yaml.safe_dump({"table": "Heartbeat", "owner": "team:data", "key": {"hash": "Id"}, "columns": contract})
    )
    mart = live / "marts/last_heartbeat"
    mart.mkdir()
    (mart / "query.sql").write_text("SELECT id, written_at FROM silver.heartbeat")
    columns = {
        name: {"type": kind, "description": "d"} for name, kind in (("id", "string"), ("written_at", "timestamp"))
    }
    (mart / "mart.yaml").write_text(
        yaml.safe_dump({"description": "d", "owner": "team:data", "grain": ["id"], "columns": columns})
    )
    domain = load_domain(str(live))
    (alert,) = [one for one in pipeline_alerts(domain, load_marts(domain)) if one.name == "heartbeat"]

    def firing(silver: int, gold: int) -> set[str]:
        def health(layer: str, table: str, **minutes: int) -> dict[str, Any]:
            row = {column.name: None if column.type in {"time", "string"} else 0 for column in HEALTH.columns}
            times = {name: now - timedelta(minutes=ago) for name, ago in minutes.items()}
            return {**row, "id": f"{layer}{table}", "layer": layer, "table_name": table, "observed_at": now, **times}

        late = health("silver", "orders", last_captured_at=60)
        here = health("silver", "heartbeat", last_captured_at=silver)
        there = health("gold", "last_heartbeat", last_captured_at=silver, contains_to=gold)
        upsert(lake, HEALTH, [late, here, there])
        with Embedded(lake) as session:
            session.show_published()
            rows = run(session, alert.sql, now).to_pylist()
        return {row["place"] for row in rows if row["seconds"] > alert.above}

    assert firing(silver=4, gold=0) == set()
    assert firing(silver=16, gold=0) == {"silver.heartbeat"}
    assert firing(silver=4, gold=16) == {"gold.last_heartbeat"}


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_a_table_is_red_since_its_check_began_to_fail_and_leads_to_the_run(lake: Lake, now: datetime) -> None:
    (panel,) = (each for board in dashboards() for each in board["panels"] if each["title"] == "Published or held")

    def check(minutes: int, *, passed: bool, name: str = "keys") -> dict[str, Any]:
        row = {column.name: None for column in CHECKS.columns}
        named = {"layer": "silver", "table_name": "orders", "check_name": name, "run_id": f"run-{minutes}"}
        counts = {"blocking": True, "passed": passed, "evaluations": 1, "failures": int(not passed)}
        at = now - timedelta(minutes=minutes)
        return {**row, **named, **counts, "id": f"{at}/{name}", "observed_at": at}

    def health(table: str) -> dict[str, Any]:
        row = {column.name: None if column.type in {"time", "string"} else 0 for column in HEALTH.columns}
        named = {"layer": "silver", "table_name": table, "last_run_id": "run-last"}
        return {**row, **named, "id": table, "observed_at": now}

    failing = [check(minutes, passed=minutes in {60, 50}) for minutes in (60, 50, 40, 20)]
    upsert(lake, CHECKS, [*failing, check(30, passed=False, name="columns"), check(10, passed=True, name="columns")])
    upsert(lake, HEALTH, [health("orders"), health("customers")])
    with Embedded(lake) as session:
        session.show_published()
        found = run(session, panel["targets"][0]["rawSQL"], now).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("silver/orders", "held", "keys", now - timedelta(minutes=40), "run-20"),
        ("silver/customers", "published", None, None, "run-last"),
    ]
