"""What the local AWS lacks is answered by botocore's Stubber, in the shape that the service's description has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.certificate import PAGE_URL, check_certificate, covers, find_certificates
from medallion_assets.doctor.finding import Level
from medallion_assets.doctor.lake_formation import check_lake_formation
from medallion_assets.doctor.quotas import check_quotas
from medallion_assets.doctor.sign_in import check_sign_in
from medallion_assets.doctor.stacks import check_stack
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.doctor.environment import STACK, account_id, assembly_of, levels, mapping_of

ARN = "arn:aws:dynamodb:{}:{}:table/Orders/stream/x"


@contextmanager
def stubbed(account: Account, service: str) -> Iterator[Stubber]:
    with Stubber(account.client(service)) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(("limit", "level"), [(2.0, Level.OK), (1.0, Level.WRONG)])
def test_a_quota_has_room_for_what_the_templates_add(aws: Emulator, tmp_path: Path, limit: float, level: Level) -> None:
    """The account has its default VPC; the stack adds another."""
    assembly = assembly_of(tmp_path / "test", {"Vpc": {"Type": "AWS::EC2::VPC"}})
    account = Account(REGION)
    which = {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}
    with stubbed(account, "service-quotas") as stub:
        # The account's own value is unknown until it was raised once.
        stub.add_client_error("get_service_quota", "NoSuchResourceException", expected_params=which)
        stub.add_response("get_aws_default_service_quota", {"Quota": {"Value": limit}}, which)
        found = levels(list(check_quotas(assembly, account)))
    assert found["quota VPCs"] is level


@pytest.mark.parametrize(("limit", "level"), [(3.0, Level.OK), (2.0, Level.WRONG)])
def test_one_task_of_each_kind_fits(aws: Emulator, tmp_path: Path, limit: float, level: Level) -> None:
    task = {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Cpu": "1536"}}
    account = Account(REGION)
    with stubbed(account, "service-quotas") as stub:
        stub.add_response("get_service_quota", {"Quota": {"Value": limit}})
        found = levels(list(check_quotas(assembly_of(tmp_path / "test", {"A": task, "B": task}), account)))
    assert found["quota Fargate vCPU"] is level


@pytest.mark.parametrize(("limit", "level"), [(1_000, Level.OK), (10, Level.WARNING), (0, Level.WRONG)])
def test_each_shard_can_have_its_instance(aws: Emulator, tmp_path: Path, limit: int, level: Level) -> None:
    mapping = mapping_of(ARN.format(REGION, account_id()))
    account = Account(REGION)
    with stubbed(account, "lambda") as stub:
        stub.add_response("get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": limit}})
        found = levels(list(check_quotas(assembly_of(tmp_path / "test", {"Mapping": mapping}), account)))
    assert found == {"quota Lambda concurrency": level}


def _grants(principal: str) -> list[dict[str, Any]]:
    return [{"Principal": {"DataLakePrincipalIdentifier": principal}, "Permissions": ["ALL"]}]


@pytest.mark.parametrize(
    ("databases", "tables", "resource", "level"),
    [
        (_grants("IAM_ALLOWED_PRINCIPALS"), _grants("IAM_ALLOWED_PRINCIPALS"), "AWS::SNS::Topic", Level.OK),
        (_grants("IAM_ALLOWED_PRINCIPALS"), [], "AWS::SNS::Topic", Level.WRONG),
        ([], [], "AWS::SNS::Topic", Level.WRONG),
        ([], [], "AWS::LakeFormation::PrincipalPermissions", Level.OK),
    ],
)
def test_lake_formation_decides_nothing_or_has_grants(
    aws: Emulator, tmp_path: Path, databases: list[Any], tables: list[Any], resource: str, level: Level
) -> None:
    assembly = assembly_of(tmp_path / "test", {"Other": {"Type": resource}})
    account = Account(REGION)
    defaults = {"CreateDatabaseDefaultPermissions": databases, "CreateTableDefaultPermissions": tables}
    with stubbed(account, "lakeformation") as stub:
        stub.add_response("get_data_lake_settings", {"DataLakeSettings": defaults})
        (found,) = check_lake_formation(assembly, account)
    assert found.level is level


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("UPDATE_COMPLETE", Level.OK),
        ("UPDATE_IN_PROGRESS", Level.WARNING),
        ("ROLLBACK_COMPLETE", Level.WARNING),
        ("UPDATE_ROLLBACK_COMPLETE", Level.OK),
        ("UPDATE_ROLLBACK_FAILED", Level.WRONG),
    ],
)
def test_a_stack_can_be_updated(aws: Emulator, status: str, level: Level) -> None:
    account = Account(REGION)
    with stubbed(account, "cloudformation") as stub:
        stack = {"StackName": STACK, "CreationTime": datetime.now(UTC), "StackStatus": status}
        stub.add_response("describe_stacks", {"Stacks": [stack]})
        (found,) = check_stack(STACK, account)
    assert found.level is level


@pytest.mark.parametrize(
    ("instances", "level"),
    [([{"InstanceArn": "arn:aws:sso:::instance/ssoins-0123456789abcdef"}], Level.OK), ([], Level.WARNING)],
)
def test_a_managed_grafana_needs_identity_center(
    aws: Emulator, tmp_path: Path, instances: list[Any], level: Level
) -> None:
    workspace = {"Type": "AWS::Grafana::Workspace", "Properties": {"AuthenticationProviders": ["AWS_SSO"]}}
    account = Account(REGION)
    with stubbed(account, "sso-admin") as stub:
        stub.add_response("list_instances", {"Instances": instances})
        (found,) = check_sign_in(assembly_of(tmp_path / "test", {"Workspace": workspace}), account)
    assert found.level is level


def test_an_existing_user_pool_is_there(aws: Emulator, tmp_path: Path) -> None:
    pool = boto3.client("cognito-idp").create_user_pool(PoolName="people")["UserPool"]

    def check(arn: str) -> Level:
        config = {"AuthenticateCognitoConfig": {"UserPoolArn": arn}}
        listener = {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": {"DefaultActions": [config]}}
        (found,) = check_sign_in(assembly_of(tmp_path / "test", {"Listener": listener}), Account(REGION))
        return found.level

    here = f"arn:aws:cognito-idp:{REGION}:{account_id()}:userpool/"
    assert check(here + pool["Id"]) is Level.OK
    assert check(f"{here}{REGION}_nobody000") is Level.WRONG


@pytest.mark.parametrize(
    ("name", "hostname", "covered"),
    [
        ("dagster.example.com", "dagster.example.com", True),
        ("Dagster.Example.com", "dagster.example.com", True),
        ("*.example.com", "dagster.example.com", True),
        ("*.example.com", "dagster.dev.example.com", False),
        ("*.example.com", "example.com", False),
        ("example.com", "dagster.example.com", False),
    ],
)
def test_a_star_of_a_certificate_is_one_label(name: str, hostname: str, covered: bool) -> None:
    assert covers(name, hostname) == covered


@pytest.mark.parametrize(
    ("certificate", "level", "seen"),
    [
        ({"Status": "ISSUED"}, Level.OK, "issued for dagster.example.com"),
        ({"Status": "PENDING_VALIDATION"}, Level.WRONG, "its status is PENDING_VALIDATION"),
        ({"Status": "ISSUED", "DomainName": "example.org"}, Level.WRONG, "it is for example.org"),
        ({"Status": "ISSUED", "NotAfter": datetime.now(UTC) + timedelta(days=3)}, Level.WARNING, "it expires at"),
    ],
)
def test_the_certificate_is_issued_for_the_page(
    aws: Emulator, tmp_path: Path, certificate: dict[str, Any], level: Level, seen: str
) -> None:
    arn = f"arn:aws:acm:{REGION}:{account_id()}:certificate/00000000-0000-0000-0000-000000000003"
    host = "dagster.example.com"
    listener = {"Certificates": [{"CertificateArn": arn}], "DefaultActions": []}
    viewers = {"Conditions": [{"Field": "host-header", "HostHeaderConfig": {"Values": ["view.example.com"]}}]}
    resources = {
        "Listener": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": listener},
        "Viewers": {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": viewers},
    }
    assembly = assembly_of(tmp_path / "test", resources, {PAGE_URL: f"https://{host}"})
    assert find_certificates(assembly) == [(arn, host), (arn, "view.example.com")]
    account = Account(REGION)
    (missing,) = check_certificate(arn, host, assembly, account)
    assert missing.level is Level.WRONG and "there is no" in missing.seen
    (abroad,) = check_certificate(arn.replace(REGION, "us-west-2"), host, assembly, account)
    assert abroad.level is Level.WRONG and "in us-west-2" in abroad.seen.replace(f"{account_id()}, ", "in ")
    with stubbed(account, "acm") as stub:
        described = {"DomainName": "dagster.example.com", "Type": "AMAZON_ISSUED", **certificate}
        stub.add_response("describe_certificate", {"Certificate": described})
        (found,) = check_certificate(arn, host, assembly, account)
    assert found.level is level and seen in found.seen
