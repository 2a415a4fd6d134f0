"""Who asks AWS, and where: the account, the region and the identity of the credentials.

Belongs here: asking STS. Does not belong here: what the caller may do with a table (probe).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from boto3.session import Session


@dataclass(frozen=True)
class Caller:
    """The identity of the credentials; `partition` is `aws`, `aws-cn` or another group of regions."""

    account: str
    region: str
    identity: str

    @property
    def partition(self) -> str:
        """The second part of every ARN of the account."""
        return self.identity.split(":")[1] if self.identity.startswith("arn:") else "aws"

    def table_arn(self, table: str) -> str:
        """Return the ARN of a DynamoDB table of the account and region."""
        return f"arn:{self.partition}:dynamodb:{self.region}:{self.account}:table/{table}"


def find_caller(session: Session) -> Caller:
    """Return who the session's credentials are. The request, sts:GetCallerIdentity, needs no permission.

    Raises SettingsError without a region, and botocore's errors for credentials that are missing or not valid.
    """
    region = session.region_name
    if region is None:
        raise SettingsError("No AWS region is chosen: expected AWS_REGION, or a profile (AWS_PROFILE) that names one.")
    found = session.client("sts", region_name=region).get_caller_identity()
    return Caller(account=found["Account"], region=region, identity=found["Arn"])
