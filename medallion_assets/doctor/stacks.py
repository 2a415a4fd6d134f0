"""The environment's stacks as CloudFormation has them: nothing stands in the way of the next deployment."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.finding import Finding, code, ok, warning, wrong


def check_stack(stack: str, account: Account) -> Iterator[Finding]:
    """Yield whether a stack can be created or updated."""
    subject = f"stack {stack}"
    try:
        (found,) = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as refused:
        if code(refused) != "ValidationError":
            raise
        yield ok(subject, "will be made")
        return
    status = found["StackStatus"]
    if status.endswith("_IN_PROGRESS"):
        yield warning(subject, status, "wait until it is done")
    elif status.endswith("_FAILED"):
        yield wrong(
            subject,
            status,
            "see its events; then aws cloudformation continue-update-rollback, or delete the stack",
        )
    elif status == "ROLLBACK_COMPLETE":
        yield warning(subject, f"{status}: its first deployment failed", "see its events; deploying removes it first")
    else:
        yield ok(subject, status)
