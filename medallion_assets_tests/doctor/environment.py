"""A small environment as the CDK writes it down, for the account and region of the local AWS's fixture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from medallion_assets.doctor.assembly import Assembly, read_assembly
from medallion_assets.doctor.finding import Finding, Level
from medallion_assets.local.emulator import REGION

BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
STACK = "medallion-test-all"
KEY = [{"AttributeName": "OrderID", "AttributeType": "S"}]
Resources = Mapping[str, Mapping[str, Any]]


def account_id() -> str:
    return os.environ["AWS_ACCESS_KEY_ID"]


def write_assembly(folder: Path, resources: Resources, outputs: Mapping[str, str] | None = None) -> Path:
    """Write one stack with these resources, as `make synth` writes four."""
    account = account_id()
    role = "arn:${{AWS::Partition}}:iam::" + account + ":role/cdk-hnb659fds-{}-role-" + f"{account}-{REGION}"
    folder.mkdir(exist_ok=True)
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": f"aws://{account}/{REGION}",
        "properties": {
            "templateFile": "All.template.json",
            "stackName": STACK,
            "assumeRoleArn": role.format("deploy"),
            "cloudFormationExecutionRoleArn": role.format("cfn-exec"),
            "lookupRole": {"arn": role.format("lookup")},
            "requiresBootstrapStackVersion": 6,
            "bootstrapStackVersionSsmParameter": BOOTSTRAP,
        },
    }
    assets = {"type": "cdk:asset-manifest", "properties": {"file": "All.assets.json"}}
    place = {"assumeRoleArn": role.format("file-publishing")}
    written = {
        "manifest.json": {"artifacts": {"All": stack, "All.assets": assets}},
        "All.assets.json": {"files": {"a": {"destinations": {"here": place}}}},
        "All.template.json": {
            "Resources": resources,
            "Outputs": {name: {"Value": value} for name, value in (outputs or {}).items()},
        },
    }
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def assembly_of(folder: Path, resources: Resources, outputs: Mapping[str, str] | None = None) -> Assembly:
    return read_assembly(write_assembly(folder, resources, outputs))


def mapping_of(stream: str) -> dict[str, Any]:
    """The mapping of an existing table with the key of the contract, as `infra` writes it."""
    properties = {"EventSourceArn": stream, "FunctionName": {"Ref": "Function"}}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties, "Metadata": {"Key": KEY}}


def create_orders(**changes: Any) -> str:
    """Create the table that the contract describes, or another; return the ARN of its stream."""
    asked: dict[str, Any] = {
        "TableName": "Orders",
        "KeySchema": [{"AttributeName": "OrderID", "KeyType": "HASH"}],
        "AttributeDefinitions": KEY,
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        **changes,
    }
    made = boto3.client("dynamodb").create_table(**asked)["TableDescription"]
    return made.get("LatestStreamArn", f"{made['TableArn']}/stream/2026-01-01T00:00:00.000")


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in findings}
