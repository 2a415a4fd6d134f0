"""Who asks: the credentials, the account they are of, and the endpoint that answers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, ok, warning, wrong


def check_account(assembly: Assembly, account: Account) -> Finding:
    """Return whether the credentials are of the environment's account. Raises ClientError, BotoCoreError."""
    who = account.client("sts").get_caller_identity()
    if who["Account"] != assembly.account:
        return wrong(
            "account",
            f"the credentials are of account {who['Account']} ({who['Arn']}); {assembly.environment} is in "
            f"{assembly.account}. Nothing else was asked",
            f"choose credentials of {assembly.account} (AWS_PROFILE), or correct `account` in the environment's file",
        )
    return ok("account", f"{who['Account']}, as {who['Arn']}")


def check_endpoint(account: Account) -> Iterator[Finding]:
    """Yield a warning if the answers are not AWS's own."""
    endpoint = account.client("sts").meta.endpoint_url
    host = urlsplit(endpoint).hostname or ""
    if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        yield warning(
            "endpoint",
            f"{endpoint} answers, which is not AWS: an `ok` below is only as true as its answers",
            "unset AWS_ENDPOINT_URL to ask AWS",
        )
