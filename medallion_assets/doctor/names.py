"""Names that are taken: CloudFormation makes no resource whose name exists, and fails in the middle of a deployment.

Belongs here: per type, where its name is in a template and how AWS is asked for it. Does not belong here: names that
AWS gives itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly, Resource
from medallion_assets.doctor.finding import Finding, answered, code, ok, wrong


def check_names(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield one line for each type of resource, and one for each name that is taken."""
    for kind in _TYPES:
        if resources := assembly.of_type(kind):
            yield from answered(_plural(kind), _check_type(kind, resources, account))


def _check_type(kind: str, resources: list[Resource], account: Account) -> Iterator[Finding]:
    name_in, is_taken = _TYPES[kind]
    free, made = 0, 0
    for resource in resources:
        name = name_in(resource.properties)
        if not isinstance(name, str):
            continue
        if account.physical_id(resource) is not None:
            made += 1
        elif why := is_taken(account, name):
            yield wrong(
                f"name {name}",
                f"{_noun(kind)} of this name {why}, and no stack of this environment made it",
                "remove it if an earlier deployment left it; else choose another name in the environment's file",
            )
        else:
            free += 1
    if free or made:
        yield ok(_plural(kind), f"{free} names are free, {made} are this environment's own")


def _noun(kind: str) -> str:
    return f"{kind.removeprefix('AWS::').replace('::', ' ')}"


def _plural(kind: str) -> str:
    return f"names of {_noun(kind)}"


def _bucket(account: Account, name: str) -> str:
    try:
        account.client("s3").head_bucket(Bucket=name)
    except ClientError as refused:
        match code(refused):
            case "404":
                return ""
            case "403" | "301":
                return "exists in another account or region"
            case _:
                raise
    return "exists"


def _user_pool_domain(account: Account, name: str) -> str:
    found = account.client("cognito-idp").describe_user_pool_domain(Domain=name)["DomainDescription"]
    return "exists" if found.get("UserPoolId") else ""


def _log_group(account: Account, name: str) -> str:
    found = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return "exists" if any(group["logGroupName"] == name for group in found) else ""


def _secret(account: Account, name: str) -> str:
    try:
        found = account.client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as refused:
        if code(refused) != "ResourceNotFoundException":
            raise
        return ""
    return "is scheduled for deletion, which keeps the name" if found.get("DeletedDate") else "exists"


def _described(service: str, operation: str, argument: str, missing: str) -> Callable[[Account, str], str]:
    """Return how to ask with an operation that describes one resource and refuses with `missing` if there is none."""

    def is_taken(account: Account, name: str) -> str:
        try:
            getattr(account.client(service), operation)(**{argument: name})
        except ClientError as refused:
            if code(refused) != missing:
                raise
            return ""
        return "exists"

    return is_taken


_NAME: Final = "Name"
_TYPES: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Account, str], str]]]] = {
    "AWS::S3::Bucket": (lambda of: of.get("BucketName"), _bucket),
    "AWS::Glue::Database": (
        lambda of: of["DatabaseInput"][_NAME],
        _described("glue", "get_database", _NAME, "EntityNotFoundException"),
    ),
    "AWS::DynamoDB::Table": (
        lambda of: of.get("TableName"),
        _described("dynamodb", "describe_table", "TableName", "ResourceNotFoundException"),
    ),
    "AWS::IAM::Role": (lambda of: of.get("RoleName"), _described("iam", "get_role", "RoleName", "NoSuchEntity")),
    "AWS::Athena::WorkGroup": (
        lambda of: of[_NAME],
        _described("athena", "get_work_group", "WorkGroup", "InvalidRequestException"),
    ),
    "AWS::Lambda::Function": (
        lambda of: of.get("FunctionName"),
        _described("lambda", "get_function", "FunctionName", "ResourceNotFoundException"),
    ),
    "AWS::Logs::LogGroup": (lambda of: of.get("LogGroupName"), _log_group),
    "AWS::SecretsManager::Secret": (lambda of: of.get(_NAME), _secret),
    "AWS::SSM::Parameter": (
        lambda of: of.get(_NAME),
        _described("ssm", "get_parameter", _NAME, "ParameterNotFound"),
    ),
    "AWS::Cognito::UserPoolDomain": (lambda of: of["Domain"], _user_pool_domain),
}
"""By type: the name in the properties (no text: AWS chooses it), and why it is taken; empty if it is free."""
