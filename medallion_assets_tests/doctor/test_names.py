"""Names that are taken, and by whom; the state of the stacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.finding import Level
from medallion_assets.doctor.names import check_names
from medallion_assets.doctor.stacks import check_stack
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.doctor.environment import STACK, account_id, assembly_of, levels


def resources() -> dict[str, Any]:
    made = {
        "Bucket": ("AWS::S3::Bucket", {"BucketName": f"lake-of-{account_id()}"}),
        "Silver": (
            "AWS::Glue::Database",
            {"CatalogId": account_id(), "DatabaseInput": {"Name": "silver"}},
        ),
        "Log": ("AWS::Logs::LogGroup", {"LogGroupName": "/medallion-test/run"}),
        "Workgroup": ("AWS::Athena::WorkGroup", {"Name": "medallion-test"}),
        "Role": ("AWS::IAM::Role", {"RoleName": "medallion-test-capture", "AssumeRolePolicyDocument": {}}),
        "Secret": ("AWS::SecretsManager::Secret", {"Name": "medallion-test-database"}),
        "Parameter": ("AWS::SSM::Parameter", {"Name": "/medallion/test/x", "Type": "String", "Value": "x"}),
    }
    return {name: {"Type": kind, "Properties": properties} for name, (kind, properties) in made.items()}


def take_all() -> None:
    """Make everything by hand that the stack would make."""
    boto3.client("s3").create_bucket(Bucket=f"lake-of-{account_id()}")
    boto3.client("glue").create_database(DatabaseInput={"Name": "silver"})
    boto3.client("logs").create_log_group(logGroupName="/medallion-test/run")
    boto3.client("athena").create_work_group(Name="medallion-test")
    boto3.client("iam").create_role(RoleName="medallion-test-capture", AssumeRolePolicyDocument="{}")
    boto3.client("secretsmanager").create_secret(Name="medallion-test-database", SecretString="x")
    boto3.client("ssm").put_parameter(Name="/medallion/test/x", Value="x", Type="String")


def test_free_names_are_one_line_for_each_type(aws: Emulator, tmp_path: Path) -> None:
    found = list(check_names(assembly_of(tmp_path / "test", resources()), Account(REGION)))
    assert len(found) == len(resources())
    assert {finding.seen for finding in found} == {"1 names are free, 0 are this environment's own"}


def test_a_name_that_no_stack_of_the_environment_made_is_taken(aws: Emulator, tmp_path: Path) -> None:
    take_all()
    found = list(check_names(assembly_of(tmp_path / "test", resources()), Account(REGION)))
    assert len(found) == len(resources())
    for finding in found:
        assert finding.level is Level.WRONG, finding
        assert "no stack of this environment made it" in finding.seen


def test_a_bucket_of_another_account_is_taken(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assembly = assembly_of(tmp_path / "test", {"Bucket": resources()["Bucket"]})
    other = boto3.client("s3", aws_access_key_id="999999999999", aws_secret_access_key="local")
    other.create_bucket(Bucket=f"lake-of-{account_id()}")
    (found,) = check_names(assembly, Account(REGION))
    assert found.level is Level.WRONG and "exists in another account" in found.seen


def test_what_the_stack_made_is_its_own(aws: Emulator, tmp_path: Path) -> None:
    template = json.dumps({"Resources": resources()})
    boto3.client("cloudformation").create_stack(
        StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    boto3.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    account = Account(REGION)
    found = list(check_names(assembly_of(tmp_path / "test", resources()), account))
    assert {finding.seen for finding in found} == {"0 names are free, 1 are this environment's own"}
    assert levels(list(check_stack(STACK, account))) == {f"stack {STACK}": Level.OK}
