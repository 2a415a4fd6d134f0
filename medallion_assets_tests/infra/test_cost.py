"""`medallion cost` assumes the sizes that the templates have, those of dev: each is held against them."""

from __future__ import annotations

import json
import math

from grafana.files import FOLDER
from medallion_assets.cost.data import load_prices
from medallion_assets.cost.model import ASSUMPTIONS, SMALLEST_MOVED
from medallion_assets.settings import Settings
from medallion_assets_tests.infra.assembly import Assembly
from medallion_assets_tests.infra.test_lake import bucket, rules


def assumed(name: str) -> float:
    return float(ASSUMPTIONS[name].value)


def test_capture_is_as_assumed(dev: Assembly) -> None:
    capture = dev["Capture"]
    assert capture.one("AWS::Lambda::Function")["MemorySize"] == assumed("lambda_gb") * 1024
    windows = {one["MaximumBatchingWindowInSeconds"] for one in capture.properties("AWS::Lambda::EventSourceMapping")}
    assert windows == {assumed("window_seconds")}
    alarms = [alarm for template in dev.templates for alarm in template.properties("AWS::CloudWatch::Alarm")]
    assert len(alarms) == assumed("alarms")


def test_bronze_grows_cold_as_assumed(dev: Assembly) -> None:
    lake = bucket(dev["Lake"], "lake")
    cold = rules(lake)["bronze-grows-cold"]
    smallest = lake["LifecycleConfiguration"]["TransitionDefaultMinimumObjectSize"]
    assert smallest == f"all_storage_classes_{SMALLEST_MOVED // 1024}K"
    assert [step["TransitionInDays"] for step in cold["Transitions"]] == [
        assumed("standard_days"),
        2 * assumed("standard_days"),
    ]


def test_dagster_is_as_assumed(dev: Assembly) -> None:
    stack = dev["Orchestrator"]
    tasks = {task["ContainerDefinitions"][0]["Name"]: task for task in stack.properties("AWS::ECS::TaskDefinition")}
    services = [tasks[name] for name in ("webserver", "daemon", "code")]
    assert len(stack.properties("AWS::ECS::Service")) == len(services)
    assert sum(int(task["Cpu"]) for task in services) == assumed("service_vcpu") * 1024
    assert sum(int(task["Memory"]) for task in services) == assumed("service_gb") * 1024
    assert (int(tasks["run"]["Cpu"]), int(tasks["run"]["Memory"])) == (
        assumed("run_vcpu") * 1024,
        assumed("run_gb") * 1024,
    )
    assert assumed("metrics") == 8 + 11 * len(services) + 6 * (len(services) + 1)
    database = stack.one("AWS::RDS::DBInstance")
    assert int(database["AllocatedStorage"]) == assumed("rds_gb")
    assert load_prices().unit("rds_hours") == f"{database['DBInstanceClass']}-hours"
    assert database["MultiAZ"] is False
    for kind in ("AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        assert len(stack.resources(kind)) == 1, kind
    secrets = [name for template in dev.templates for name in template.resources("AWS::SecretsManager::Secret")]
    assert len(secrets) == assumed("secrets")
    assert Settings.model_fields["read_capacity"].default == assumed("read_capacity")


def test_dashboards_ask_as_often_as_assumed() -> None:
    """A dashboard's refresh runs the queries of its panels and of its annotations."""
    dashboards = [json.loads(file.read_text()) for file in (FOLDER / "dashboards").glob("*.json")]
    queries = [
        sum(len(panel.get("targets", [])) for panel in dashboard["panels"])
        + sum("target" in annotation for annotation in dashboard["annotations"]["list"])
        for dashboard in dashboards
    ]
    assert math.ceil(sum(queries) / len(queries)) == assumed("panels")
    assert {dashboard["refresh"] for dashboard in dashboards} == {"1m"}
    assert assumed("refresh_seconds") == 60
