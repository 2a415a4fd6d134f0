"""Log groups: encrypted, kept for as long as the environment's settings say.

Belongs here: one log group and its retention. Does not belong here: what is written to it.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.findings import accept
from infra.removal import removal_policy
from infra.settings import Environment

_RETENTION: Final = {
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
}
"""The days that settings may say, as CloudWatch names them."""


def log_group(scope: Construct, construct_id: str, settings: Environment, name: str) -> logs.LogGroup:
    """Return a new log group with this name."""
    group = logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=logs.RetentionDays[_RETENTION[settings.retention.log_days]],
        removal_policy=removal_policy(settings),
    )
    accept(group, CKV_AWS_158="encrypted with CloudWatch's own key; logs hold counts and names, no data")
    return group
