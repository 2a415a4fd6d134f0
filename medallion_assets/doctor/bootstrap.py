"""What the CDK needs before its first deployment: an enabled region, and its bootstrap there."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, code, ok, wrong


def check_region(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether the account has the region enabled."""
    found = account.client("ec2").describe_regions(RegionNames=[assembly.region], AllRegions=True)["Regions"]
    status = found[0]["OptInStatus"] if found else "not known"
    if status in {"opt-in-not-required", "opted-in"}:
        yield ok("region", f"{assembly.region} is enabled")
    else:
        yield wrong(
            "region",
            f"{assembly.region} is {status} in this account",
            f"aws account enable-region --region-name {assembly.region}",
        )


def check_bootstrap(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether the CDK's bootstrap is there and new enough."""
    fix = (
        f".venv-infra/bin/python -m infra.cdk --env {assembly.environment} bootstrap "
        f"aws://{assembly.account}/{assembly.region}"
    )
    try:
        found = account.client("ssm").get_parameter(Name=assembly.bootstrap_parameter)["Parameter"]["Value"]
    except ClientError as refused:
        if code(refused) != "ParameterNotFound":
            raise
        yield wrong("bootstrap", f"there is none: no parameter {assembly.bootstrap_parameter}", fix)
        return
    if int(found) < assembly.bootstrap_version:
        yield wrong("bootstrap", f"version {found}; expected {assembly.bootstrap_version} or newer", fix)
    else:
        yield ok("bootstrap", f"version {found}")
