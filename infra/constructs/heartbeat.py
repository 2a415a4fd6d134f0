"""The heartbeat: an item that is written every five minutes, so that its arrival shows that the whole way works.

Belongs here: the schedule that writes it. Does not belong here: what watches it: the alarm on a quiet table
(capture_alarms) and Grafana's alert on its Silver table and the marts over it (grafana/alerts.py). A domain that has a
table `heartbeat` has one; docs/deploy.md shows its contract.
"""

from __future__ import annotations

import json
from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra import access
from infra.settings import Environment
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import SettingsError

TABLE: Final = "heartbeat"
"""The lake name of the table; its key is one string, and the item has the time in `WrittenAt`."""

QUIET_MINUTES: Final = 15

_TIME: Final = "WrittenAt"


class Heartbeat(Construct):
    """EventBridge Scheduler puts the item itself; no code of ours runs."""

    def __init__(self, scope: Construct, settings: Environment, contract: Contract) -> None:
        super().__init__(scope, "Heartbeat")
        (key, *more) = contract.key_columns
        if more or key.type.kind != "string" or _TIME not in {column.attribute for column in contract.columns.values()}:
            raise SettingsError(
                f"{contract.table}: the heartbeat's table has a key of one string and a column {_TIME}; "
                "correct its contract, or give the table another name"
            )
        role = iam.Role(
            self,
            "Role",
            role_name=f"{settings.prefix}-heartbeat",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": settings.account}}
            ),
            description="Puts the heartbeat's item",
        )
        put = access.grant("PutHeartbeat", ["dynamodb:PutItem"], [settings.table_arn(contract.table)])
        access.grant_to(role, put, *access.decrypt_tables(settings))
        item = {key.attribute: {"S": "heartbeat"}, _TIME: {"S": "<aws.scheduler.scheduled-time>"}}
        schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            name=f"{settings.prefix}-heartbeat",
            schedule_expression="rate(5 minutes)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{settings.partition}:scheduler:::aws-sdk:dynamodb:putItem",
                role_arn=role.role_arn,
                input=json.dumps({"TableName": settings.source_name(contract.table), "Item": item}),
            ),
        )
        schedule.node.add_dependency(role)
