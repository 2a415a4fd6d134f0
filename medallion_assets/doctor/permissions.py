"""Who may deploy: the bootstrap's roles can be taken on, and CloudFormation's role may make what the templates have.

Belongs here: the permission that each type of resource needs first. Does not belong here: what the environment's own
roles may do, which the templates' tests check (infra).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, code, not_asked, ok, warning, wrong

_MAKES: Final = {
    "AWS::Athena::WorkGroup": "athena:CreateWorkGroup",
    "AWS::Budgets::Budget": "budgets:ModifyBudget",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::CodeDeploy::DeploymentGroup": "codedeploy:CreateDeploymentGroup",
    "AWS::Cognito::UserPool": "cognito-idp:CreateUserPool",
    "AWS::DynamoDB::Table": "dynamodb:CreateTable",
    "AWS::EC2::SecurityGroup": "ec2:CreateSecurityGroup",
    "AWS::EC2::VPC": "ec2:CreateVpc",
    "AWS::ECS::Cluster": "ecs:CreateCluster",
    "AWS::ECS::Service": "ecs:CreateService",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elasticloadbalancing:CreateLoadBalancer",
    "AWS::Glue::Database": "glue:CreateDatabase",
    "AWS::Grafana::Workspace": "grafana:CreateWorkspace",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::Lambda::EventSourceMapping": "lambda:CreateEventSourceMapping",
    "AWS::Lambda::Function": "lambda:CreateFunction",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::RDS::DBInstance": "rds:CreateDBInstance",
    "AWS::S3::Bucket": "s3:CreateBucket",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SSM::Parameter": "ssm:PutParameter",
    "AWS::SecretsManager::Secret": "secretsmanager:CreateSecret",
}
"""The action that makes a resource of each type. A policy that allows it and not what follows is not seen."""


def check_role(role: str, account: Account) -> Iterator[Finding]:
    """Yield whether the caller may take on a role of the bootstrap, by taking it on: that is what a deployment does."""
    subject = f"role {role.rpartition('/')[2]}"
    try:
        account.client("sts").assume_role(RoleArn=role, RoleSessionName="medallion-doctor", DurationSeconds=900)
    except ClientError as refused:
        if code(refused) != "AccessDenied":
            raise
        yield warning(
            subject,
            "these credentials may not take it on, so they cannot deploy; or there is no such role",
            f"deploy with others, or allow these sts:AssumeRole on {role}",
        )
        return
    yield ok(subject, "can be taken on")


def check_execution(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether CloudFormation's role may make each type of resource, as IAM simulates it."""
    role = assembly.executing_role
    subject = f"role {role.rpartition('/')[2]}"
    types = {resource.type for resource in assembly.resources}
    actions = sorted(action for kind, action in _MAKES.items() if kind in types)
    iam = account.client("iam")
    try:
        iam.get_role(RoleName=role.rpartition("/")[2])
    except ClientError as refused:
        if code(refused) != "NoSuchEntity":
            raise
        yield not_asked(subject, "it does not exist", "bootstrap first")
        return
    pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=role, ActionNames=actions)
    results = [one for page in pages for one in page["EvaluationResults"]]
    denied = sorted(one["EvalActionName"] for one in results if one["EvalDecision"] != "allowed")
    if denied:
        yield wrong(subject, f"it may not {', '.join(denied)}", "bootstrap again with a policy that allows them")
    else:
        yield ok(subject, f"may make every type of resource ({len(actions)} actions simulated)")
