"""What holds of every resource of every stack: kept where data is to be kept, named and tagged by its environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from medallion_assets_tests.infra.assembly import Assembly
from medallion_assets_tests.infra.conftest import NAMES

Resource = tuple[str, dict[str, Any]]

KEPT: Final = {
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::Glue::Database",
    "AWS::RDS::DBInstance",
    "AWS::Logs::LogGroup",
    "AWS::Cognito::UserPool",
}
NAMED: Final = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolDomain": "Domain",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::Grafana::Workspace": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::ServiceDiscovery::PrivateDnsNamespace": "Name",
}
"""What is unique in an account or in all. Tables keep the application's names, Glue's databases those in the SQL."""

UNTAGGED: Final = {
    "AWS::Cognito::UserPoolClient",
    "AWS::Cognito::UserPoolDomain",
    "AWS::EC2::Route",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::IAM::Policy",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::SecretTargetAttachment",
}
"""Kinds that CloudFormation gives no tags."""


def resources(assembly: Assembly) -> Iterator[Resource]:
    for template in assembly.templates:
        yield from template.body["Resources"].items()


def tags(properties: dict[str, Any]) -> dict[str, str]:
    found = properties.get("Tags", properties.get("UserPoolTags", {}))
    return found if isinstance(found, dict) else {tag["Key"]: tag["Value"] for tag in found}


@pytest.mark.parametrize("environment", NAMES)
def test_deleting_a_stack_keeps_data_outside_dev(assemblies: dict[str, Assembly], environment: str) -> None:
    found = [(name, one) for name, one in resources(assemblies[environment]) if one["Type"] in KEPT]
    assert {one["Type"] for _, one in found} >= KEPT - {"AWS::DynamoDB::Table"}
    for name, one in found:
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            stays = one[policy] in {"Retain", "Snapshot", "RetainExceptOnCreate"}
            assert stays == (environment != "dev"), (name, policy)


@pytest.mark.parametrize("environment", NAMES)
def test_names_carry_the_environment(assemblies: dict[str, Assembly], environment: str) -> None:
    for name, one in resources(assemblies[environment]):
        if one["Type"] in NAMED:
            assert f"medallion-{environment}" in str(one["Properties"][NAMED[one["Type"]]]), name
        if "RoleName" in one.get("Properties", {}):
            assert one["Properties"]["RoleName"].startswith(f"medallion-{environment}-"), name


@pytest.mark.parametrize("environment", NAMES)
def test_everything_is_tagged(assemblies: dict[str, Assembly], environment: str) -> None:
    expected = {"project": "medallion", "environment": environment, "owner": "team:data"}
    for name, one in resources(assemblies[environment]):
        if one["Type"] not in UNTAGGED:
            assert tags(one["Properties"]).items() >= expected.items(), name


def test_logs_end_some_day(assembly: Assembly) -> None:
    for name, one in resources(assembly):
        if one["Type"] == "AWS::Logs::LogGroup":
            assert one["Properties"]["RetentionInDays"] <= 365, name
