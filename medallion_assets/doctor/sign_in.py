"""Where people sign in: Identity Center for a managed Grafana, a user pool that exists already for Dagster's page."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, answered, code, ok, warning, wrong


def check_sign_in(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield a line for Identity Center and for each user pool, where the environment needs one that exists."""
    workspaces = assembly.of_type("AWS::Grafana::Workspace")
    if any("AWS_SSO" in workspace.properties["AuthenticationProviders"] for workspace in workspaces):
        yield from answered("Identity Center", _check_identity_center(account))
    for listener in assembly.of_type("AWS::ElasticLoadBalancingV2::Listener"):
        for action in listener.properties["DefaultActions"]:
            pool = action.get("AuthenticateCognitoConfig", {}).get("UserPoolArn")
            if isinstance(pool, str):
                yield from answered("user pool", _check_pool(pool, account))


def _check_identity_center(account: Account) -> Iterator[Finding]:
    found = account.client("sso-admin").list_instances()["Instances"]
    if found:
        yield ok("Identity Center", f"{found[0]['InstanceArn']} in {account.region}")
    else:
        yield warning(
            "Identity Center",
            f"none in {account.region}; people sign in to the managed Grafana with it",
            "enable it, or see that the organization has it in another region; else choose `grafana: existing`",
        )


def _check_pool(arn: str, account: Account) -> Iterator[Finding]:
    pool = arn.rpartition("/")[2]
    try:
        found = account.client("cognito-idp").describe_user_pool(UserPoolId=pool)["UserPool"]
    except ClientError as refused:
        if code(refused) != "ResourceNotFoundException":
            raise
        yield wrong("user pool", f"there is no {pool} in {account.region}", "correct it in the environment's file")
        return
    yield ok("user pool", f"{found['Name']} ({pool})")
