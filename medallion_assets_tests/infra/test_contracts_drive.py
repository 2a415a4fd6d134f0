"""Adding a table or a mart is adding a file of the domain: its resources and permissions appear, nothing else moves."""

from __future__ import annotations

import re
from typing import Any

from medallion_assets_tests.infra.assembly import Assembly, Template
from medallion_assets_tests.infra.conftest import ENTITIES
from medallion_assets_tests.infra.snapshot import stable


def added(before: Template, after: Template) -> dict[str, dict[str, Any]]:
    """The resources that only `after` has. Raises AssertionError when one is gone."""
    old, new = before.body["Resources"], after.body["Resources"]
    assert set(old) <= set(new)
    return {name: new[name] for name in new if name not in old}


def changed(before: Template, after: Template) -> set[str]:
    """The logical ids of resources that both have and that differ in more than the image or package."""
    old, new = stable(before), stable(after)
    return {name for name in old if old[name] != new[name]}


def test_a_new_contract_and_mart_bring_their_resources_and_permissions(
    dev: Assembly, variants: dict[str, Assembly]
) -> None:
    after = variants["dev"]
    (bronze,) = added(dev["Lake"], after["Lake"]).values()
    assert bronze["Properties"]["TableInput"]["Name"] == "invoices"
    assert not changed(dev["Lake"], after["Lake"])

    capture = {
        resource["Type"]: resource["Properties"] for resource in added(dev["Capture"], after["Capture"]).values()
    }
    assert set(capture) == {
        "AWS::DynamoDB::Table",
        "AWS::Lambda::EventSourceMapping",
        "AWS::IAM::Policy",
        "AWS::CloudWatch::Alarm",
    }
    assert capture["AWS::DynamoDB::Table"]["KeySchema"] == [
        {"AttributeName": "TenantID", "KeyType": "HASH"},
        {"AttributeName": "InvoiceNo", "KeyType": "RANGE"},
    ]
    kinds = {
        one["AttributeName"]: one["AttributeType"] for one in capture["AWS::DynamoDB::Table"]["AttributeDefinitions"]
    }
    assert kinds == {"TenantID": "S", "InvoiceNo": "N"}
    assert {name[:8] for name in changed(dev["Capture"], after["Capture"])} == {"RoleDefa"}, "one more prefix to put to"

    # A role's policy has a limit of characters, from which on the CDK puts its last statements into another one.
    overflow = added(dev["Orchestrator"], after["Orchestrator"])
    assert {name.partition("OverflowPolicy")[0] for name in overflow} <= {"Rolepipeline", "Roleoperator"}
    moved = changed(dev["Orchestrator"], after["Orchestrator"])
    overview = {name for name in moved if name.startswith("Overview")}  # its table's alarms
    policies = moved - overview
    assert len(overview) == 1
    roles = {re.split("DefaultPolicy|OverflowPolicy", name)[0] for name in policies}
    assert roles == {"Rolepipeline", "Roleoperator"}
    resources = after["Orchestrator"].body["Resources"]
    for role in roles:
        policy = str([resources[name] for name in resources if re.match(f"{role}(Default|Overflow)Policy", name)])
        for place in ("bronze/Invoices/*", "bronze/_gaps/Invoices/*", "warehouse/silver/invoices/*", "table/Invoices"):
            assert place in policy
        assert "table/quarantine/invoices" in policy
        assert "warehouse/gold/same_metrics/*" in policy
        assert "table/gold/same_metrics" in policy
    assert not added(dev["Dashboards"], after["Dashboards"])
    assert not changed(dev["Dashboards"], after["Dashboards"])


def test_contracts_of_one_table_share_its_table_mapping_and_permissions(variants: dict[str, Assembly]) -> None:
    def named(template: Template, kind: str) -> dict[str, dict[str, Any]]:
        found = template.body["Resources"].items()
        return {name: one["Properties"] for name, one in found if one["Type"] == kind}

    capture, lake = variants["open"]["Capture"], variants["open"]["Lake"]
    (app,) = [one for one in named(capture, "AWS::DynamoDB::Table").values() if one["TableName"] == "App"]
    assert [one["AttributeName"] for one in app["KeySchema"]] == ["PK", "SK"]
    mappings = named(capture, "AWS::Lambda::EventSourceMapping")
    assert len(mappings) == len(named(capture, "AWS::DynamoDB::Table"))
    assert any(name.startswith("Mappingapp") for name in mappings)
    bronze = {one["TableInput"]["Name"]: one["TableInput"] for one in named(lake, "AWS::Glue::Table").values()}
    assert bronze["app"]["StorageDescriptor"]["Location"].endswith("/bronze/App/")
    assert not bronze.keys() & set(ENTITIES)
    policies = str(variants["open"]["Orchestrator"].body)
    for place in ("bronze/App/*", "table/App", "warehouse/silver/members/*", "warehouse/deleted/sessions/*"):
        assert place in policies
