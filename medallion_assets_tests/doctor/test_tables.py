"""Existing tables: key, stream and encryption; the mapping that is deployed reads the stream that its table writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.finding import Finding, Level
from medallion_assets.doctor.mappings import check_mappings
from medallion_assets.doctor.tables import check_table, existing_tables
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.doctor.environment import (
    STACK,
    account_id,
    assembly_of,
    create_orders,
    levels,
    mapping_of,
)


def check(folder: Path, stream: str, **others: Any) -> list[Finding]:
    assembly = assembly_of(folder / "test", {"Mapping": mapping_of(stream), **others})
    ((named, mapping),) = existing_tables(assembly).items()
    assert named == stream
    return list(check_table(stream, mapping, assembly, Account(REGION)))


def test_a_table_as_the_contract_describes_it(aws: Emulator, tmp_path: Path) -> None:
    assert levels(check(tmp_path, create_orders())) == {
        "table Orders: key": Level.OK,
        "table Orders: stream": Level.OK,
        "table Orders: encryption": Level.OK,
    }


def test_a_table_that_is_not_there(aws: Emulator, tmp_path: Path) -> None:
    stream = f"arn:aws:dynamodb:{REGION}:{account_id()}:table/Orders/stream/2026-01-01T00:00:00.000"
    (found,) = check(tmp_path, stream)
    assert found.level is Level.WRONG and "there is none" in found.seen
    (found,) = check(tmp_path, stream.replace(account_id(), "999999999999"))
    assert found.level is Level.NOT_ASKED


BOTH = [{"AttributeName": "OrderID", "KeyType": "HASH"}, {"AttributeName": "Line", "KeyType": "RANGE"}]
TYPED = [{"AttributeName": "Line", "AttributeType": "N"}, {"AttributeName": "OrderID", "AttributeType": "S"}]


@pytest.mark.parametrize(
    ("changes", "subject", "seen"),
    [
        (
            {"KeySchema": BOTH, "AttributeDefinitions": TYPED},
            "table Orders: key",
            "it is OrderID (S) + Line (N); the contract says OrderID (S)",
        ),
        (
            {"AttributeDefinitions": [{"AttributeName": "OrderID", "AttributeType": "N"}]},
            "table Orders: key",
            "it is OrderID (N); the contract says OrderID (S)",
        ),
        ({"StreamSpecification": {"StreamEnabled": False}}, "table Orders: stream", "it is off"),
        (
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
            "table Orders: stream",
            "it sends KEYS_ONLY; expected NEW_AND_OLD_IMAGES",
        ),
    ],
)
def test_a_table_that_is_not_the_contracts(
    aws: Emulator, tmp_path: Path, changes: dict[str, Any], subject: str, seen: str
) -> None:
    (found,) = (one for one in check(tmp_path, create_orders(**changes)) if one.level is not Level.OK)
    assert (found.level, found.subject, found.seen) == (Level.WRONG, subject, seen)
    assert found.fix


def test_a_stream_that_was_replaced_is_not_the_one_that_the_settings_name(aws: Emulator, tmp_path: Path) -> None:
    old = create_orders().partition("/stream/")[0] + "/stream/2020-01-01T00:00:00.000"
    (found,) = (one for one in check(tmp_path, old) if one.level is not Level.OK)
    assert found.level is Level.WRONG and f"the settings name {old}, which nobody writes to" in found.seen


def test_a_key_of_the_customer_needs_a_permission(aws: Emulator, tmp_path: Path) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    stream = create_orders(SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key})
    found = check(tmp_path, stream)
    assert levels(found)["table Orders: encryption"] is Level.WRONG
    statement = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
    policy = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [statement]}}}
    found = check(tmp_path, stream, Policy=policy)
    assert levels(found)["table Orders: encryption"] is Level.OK


def deploy_mapping() -> dict[str, Any]:
    """A stack with a table, a function and the mapping between them; returns its resources."""
    resources = {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "Orders",
                "KeySchema": [{"AttributeName": "OrderID", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "OrderID", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            },
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "capture",
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": f"arn:aws:iam::{account_id()}:role/capture",
                "Code": {"ZipFile": "def handler(event, context): pass"},
            },
        },
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
                "FunctionName": {"Ref": "Function"},
                "StartingPosition": "TRIM_HORIZON",
            },
        },
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps({"Resources": resources}))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return resources


def test_a_deployed_mapping_reads_the_stream_that_its_table_writes(aws: Emulator, tmp_path: Path) -> None:
    resources = deploy_mapping()
    assembly = assembly_of(tmp_path / "test", resources)
    assert not existing_tables(assembly)
    (found,) = check_mappings(assembly, Account(REGION))
    assert found.level is Level.OK and found.subject == "mapping of Orders"

    dynamodb = boto3.client("dynamodb")
    before = dynamodb.describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
    dynamodb.update_table(TableName="Orders", StreamSpecification={"StreamEnabled": False})
    on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    after = dynamodb.update_table(TableName="Orders", StreamSpecification=on)["TableDescription"]["LatestStreamArn"]  # type: ignore[arg-type]
    assert after != before
    (found,) = check_mappings(assembly, Account(REGION))
    assert found.level is Level.WRONG
    assert found.seen == f"it reads {before}; the table writes {after}"


def test_a_mapping_that_is_disabled_or_gone_reads_nothing(aws: Emulator, tmp_path: Path) -> None:
    assembly = assembly_of(tmp_path / "test", deploy_mapping())
    client = boto3.client("lambda")
    (mapping,) = client.list_event_source_mappings()["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    (found,) = check_mappings(assembly, Account(REGION))
    assert found.level is Level.WRONG and "it is Disabled" in found.seen
    client.delete_event_source_mapping(UUID=mapping["UUID"])
    (found,) = check_mappings(assembly, Account(REGION))
    assert found.level is Level.WRONG and found.seen == "it was deployed, and is gone"
