"""The generated files keep our rules, and each rule sees the mistake it is there for."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from grafana.files import FOLDER
from grafana.lint import lint_dashboards, lint_rules
from medallion_assets.ops.tables import CHECKS, HEALTH
from medallion_assets_tests.gold.shop import MARTS
from medallion_assets_tests.grafana.test_queries import by_themselves

Json = dict[str, Any]

PARTITIONS = {
    **{f"gold.{mart.name}": mart.spec.partition.column for mart in MARTS.values() if mart.spec.partition},
    **{f"ops.{table.name}": "observed_at" for table in (HEALTH, CHECKS)},
}
DASHBOARDS = {
    file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((FOLDER / "dashboards").glob("*.json"))
}
RUNBOOK = (FOLDER.parent / "docs" / "runbook.md").read_text(encoding="utf-8")


def provisioned(path: str) -> Any:
    return yaml.safe_load((FOLDER / "provisioning" / path).read_text(encoding="utf-8"))


GROUPS = provisioned("alerting/rules.yaml")["groups"]
SOURCES = [source["uid"] for source in provisioned("datasources/medallion.yaml")["datasources"]]


def test_the_dashboards_keep_the_rules() -> None:
    assert lint_dashboards({**DASHBOARDS, **by_themselves()}, PARTITIONS) == []


def test_the_alert_rules_keep_the_rules() -> None:
    assert lint_rules(GROUPS, SOURCES, RUNBOOK, PARTITIONS) == []


def panel(dashboard: Json, kind: str) -> Json:
    found: Json = next(panel for panel in dashboard["panels"] if panel["type"] == kind)
    return found


def same_uid(dashboards: dict[str, Json]) -> None:
    dashboards["sales"]["uid"] = dashboards["pipeline-health"]["uid"]


def same_ref(dashboards: dict[str, Json]) -> None:
    targets = panel(dashboards["sales"], "timeseries")["targets"]
    targets.append(copy.deepcopy(targets[0]))


def same_panel_id(dashboards: dict[str, Json]) -> None:
    dashboards["sales"]["panels"][1]["id"] = dashboards["sales"]["panels"][0]["id"]


def overlap(dashboards: dict[str, Json]) -> None:
    panel(dashboards["sales"], "timeseries")["gridPos"]["y"] -= 1


def too_wide(dashboards: dict[str, Json]) -> None:
    panel(dashboards["sales"], "timeseries")["gridPos"]["w"] = 25


def no_unit(dashboards: dict[str, Json]) -> None:
    del panel(dashboards["sales"], "stat")["fieldConfig"]["defaults"]["unit"]


def no_description(dashboards: dict[str, Json]) -> None:
    panel(dashboards["sales"], "stat")["description"] = ""


def no_age(dashboards: dict[str, Json]) -> None:
    dashboards["sales"]["panels"] = [each for each in dashboards["sales"]["panels"] if each["title"] != "Age"]


def no_completeness(dashboards: dict[str, Json]) -> None:
    panels = dashboards["sales"]["panels"]
    dashboards["sales"]["panels"] = [each for each in panels if each["title"] != "Complete but for the last"]


def no_environment(dashboards: dict[str, Json]) -> None:
    variables = dashboards["sales"]["templating"]["list"]
    dashboards["sales"]["templating"]["list"] = [each for each in variables if each["name"] != "environment"]


def no_marks(dashboards: dict[str, Json]) -> None:
    del dashboards["sales"]["annotations"]["list"][0]


def no_link(dashboards: dict[str, Json]) -> None:
    dashboards["sales"]["links"] = []


def other_source(dashboards: dict[str, Json]) -> None:
    panel(dashboards["sales"], "stat")["targets"][0]["datasource"]["uid"] = "somebody-elses"


def whole_table(dashboards: dict[str, Json]) -> None:
    target = panel(dashboards["sales"], "timeseries")["targets"][0]
    target["rawSQL"] = target["rawSQL"].replace("$__dateFilter(order_date)", "TRUE")


def upper_case(dashboards: dict[str, Json]) -> None:
    target = panel(dashboards["sales"], "timeseries")["targets"][0]
    target["rawSQL"] = target["rawSQL"].replace("AS time", 'AS "Time"')


def unknown_variable(dashboards: dict[str, Json]) -> None:
    target = panel(dashboards["sales"], "timeseries")["targets"][0]
    target["rawSQL"] = target["rawSQL"].replace("${region:", "${country:")


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (same_uid, "is that of several dashboards"),
        (same_ref, "is that of several queries"),
        (same_panel_id, "is there several times"),
        (overlap, "lies over"),
        (too_wide, "does not fit on the grid"),
        (no_unit, "has no unit"),
        (no_description, "has no title or no description"),
        (no_age, "does not say how old"),
        (no_completeness, "how complete its numbers are"),
        (no_environment, "has no variable environment"),
        (no_marks, "does not mark failed checks"),
        (no_link, "has no link to an asset"),
        (other_source, "expected the data source"),
        (whole_table, "in whole: no condition on order_date"),
        (upper_case, "lower case"),
        (unknown_variable, "${country} is no variable"),
    ],
)
def test_a_mistake_in_a_dashboard_is_seen(break_it: Callable[[dict[str, Json]], None], seen: str) -> None:
    dashboards = copy.deepcopy(DASHBOARDS)
    break_it(dashboards)
    assert any(seen in problem for problem in lint_dashboards(dashboards, PARTITIONS))


def no_condition(rule: Json) -> None:
    rule["condition"] = "C"


def about_nothing(rule: Json) -> None:
    rule["data"][1]["model"]["expression"] = "X"


def unknown_source(rule: Json) -> None:
    rule["data"][0]["datasourceUid"] = "somebody-elses"


def macro(rule: Json) -> None:
    rule["data"][0]["model"]["rawSQL"] += " AND $__timeFilter(observed_at)"


def no_runbook(rule: Json) -> None:
    rule["annotations"]["runbook"] = "docs/runbook.md: What nobody wrote"


def environment_variable(rule: Json) -> None:
    rule["annotations"]["summary"] = "{{ $labels.table_name }}"


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (no_condition, "its condition C is none of"),
        (about_nothing, "is about X, which is none"),
        (unknown_source, "asks somebody-elses"),
        (macro, "uses a macro"),
        (no_runbook, "is no heading"),
        (environment_variable, "an annotation has a $"),
    ],
)
def test_a_mistake_in_a_rule_is_seen(break_it: Callable[[Json], None], seen: str) -> None:
    groups = copy.deepcopy(GROUPS)
    break_it(groups[0]["rules"][0])
    assert any(seen in problem for problem in lint_rules(groups, SOURCES, RUNBOOK, PARTITIONS))


def test_a_rule_that_is_there_twice_is_seen() -> None:
    groups = copy.deepcopy(GROUPS)
    groups[1]["rules"].append(groups[0]["rules"][0])
    assert any("is that of several rules" in problem for problem in lint_rules(groups, SOURCES, RUNBOOK, PARTITIONS))


def test_no_file_holds_a_key() -> None:
    for file in (FOLDER / "provisioning").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8").lower()
        assert not [
            word for word in ("securejsondata", "accesskey", "access_key", "secret", "password") if word in text
        ]


def test_alerts_go_to_a_contact_point_that_is_there() -> None:
    there = {point["name"] for point in provisioned("alerting/contact-points.yaml")["contactPoints"]}
    for policy in provisioned("alerting/policies.yaml")["policies"]:
        assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} <= there
