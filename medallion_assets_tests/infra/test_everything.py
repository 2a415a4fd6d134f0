"""What holds of every resource of every stack: kept where data is to be kept, named and tagged by its environment."""

from __future__ import annotations

import json
import re
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
    "AWS::Budgets::Budget": "Budget",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
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

PRINCIPALS: Final = {
    "budgets",
    "cloudwatch",
    "codedeploy",
    "delivery.logs",
    "ecs-tasks",
    "lambda",
    "logging.s3",
    "s3",
    "scheduler",
    "vpc-flow-logs",
}
"""The services that something is allowed to, or that take a role."""

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
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Version",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::SecretTargetAttachment",
    "Custom::VpcRestrictDefaultSG",
}
"""Kinds that CloudFormation gives no tags."""


def resources(assembly: Assembly) -> Iterator[Resource]:
    """Yield what we declare: not the function and role that the CDK adds to close the VPC's default group."""
    for template in assembly.templates:
        for name, one in template.body["Resources"].items():
            if not name.startswith("CustomVpcRestrictDefaultSGCustomResourceProvider"):
                yield name, one


def tags(properties: dict[str, Any]) -> dict[str, str]:
    found = properties.get("Tags") or properties.get("UserPoolTags") or properties.get("ResourceTags", {})
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
def test_what_a_failed_first_deployment_made_goes_with_its_rollback(
    assemblies: dict[str, Assembly], environment: str
) -> None:
    """What stayed, or is protected, would have the name that the next attempt needs."""
    for name, one in resources(assemblies[environment]):
        assert one.get("DeletionPolicy") != "Retain", name
        assert not protected(one), name
    assert not terminations(assemblies[environment]) & {True}


def test_stacks_that_stand_are_protected(variants: dict[str, Assembly]) -> None:
    found = {one["Type"] for _, one in resources(variants["athena"]) if protected(one)}
    assert found == {
        "AWS::Cognito::UserPool",
        "AWS::DynamoDB::Table",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::RDS::DBInstance",
    }
    assert terminations(variants["athena"]) == {True}


def protected(resource: dict[str, Any]) -> bool:
    """Return whether a resource is protected against deletion."""
    found = resource.get("Properties", {})
    attributes = {str(one["Key"]): one["Value"] for one in found.get("LoadBalancerAttributes", ())}
    marks = [found.get(name) for name in ("DeletionProtection", "DeletionProtectionEnabled")]
    return bool({True, "ACTIVE", "true"} & {*marks, attributes.get("deletion_protection.enabled")})


def terminations(assembly: Assembly) -> set[bool]:
    """Return what the stacks say of protection against their own deletion."""
    artifacts = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"].values()
    stacks = [one for one in artifacts if one["type"] == "aws:cloudformation:stack"]
    assert len(stacks) == len(assembly.templates)
    return {one["properties"]["terminationProtection"] for one in stacks}


def test_nothing_names_another_partition(variants: dict[str, Assembly]) -> None:
    """In China every ARN is in aws-cn; principals of services are named as everywhere."""
    for template in variants["existing"].templates:
        text = json.dumps(template.body["Resources"])
        assert "arn:aws:" not in text and "arn:aws-us-gov:" not in text
        endpoints = re.findall(r"[\w.-]+\.amazonaws\.com(?!\.cn)", text)
        assert {name.removesuffix(".amazonaws.com") for name in endpoints} <= PRINCIPALS


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
