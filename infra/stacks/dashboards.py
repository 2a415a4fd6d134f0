"""The Dashboards stack: what Grafana may query, and Grafana itself where it is managed.

Belongs here: one workgroup with its limit, one role that may query it, read Gold and the health tables and send
alerts, the managed workspace. Does not belong here: dashboards, alerts and provisioning, which are code in grafana/.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_grafana as grafana
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import access, lake_formation
from infra.outputs import publish
from infra.settings import Environment
from infra.stacks.lake import workgroup

READS: Final = ("gold", "ops")
"""Marts, and what the pipeline writes down about itself. The other layers hold personal data."""


class DashboardsStack(Stack):
    """Grafana's way to Gold."""

    def __init__(self, scope: Construct, settings: Environment, *, results: s3.IBucket) -> None:
        super().__init__(
            scope,
            "Dashboards",
            stack_name=f"{settings.prefix}-dashboards",
            env={"account": settings.account, "region": settings.region},
            termination_protection=settings.protected,
            description=f"Medallion assets: Grafana of {settings.environment}",
        )
        name = f"{settings.prefix}-grafana"
        workgroup(self, settings, results, name=name, scan_limit_gb=settings.dashboards.scan_limit_gb)
        role = iam.Role(
            self,
            "Role",
            role_name=f"{settings.prefix}-grafana",
            assumed_by=_principal(settings),
            description="Grafana: queries Gold and the health tables in one workgroup, sends alerts",
        )
        access.grant_to(
            role,
            *access.query(settings, name, settings.global_name("athena"), name),
            *access.browse_athena(settings, name),
            *access.read_layers(settings, READS),
            *access.use_data_key(settings),
            access.alert(settings),
        )
        lake_formation.grant_tables(settings, role, READS, lake_formation.READ)
        publish(self, settings, "role-arn", role.role_arn, "For Grafana's Athena data source: assume role ARN")
        publish(self, settings, "workgroup-name", name, "For Grafana's Athena data source: workgroup")
        if settings.dashboards.grafana == "managed":
            workspace = grafana.CfnWorkspace(
                self,
                "Workspace",
                name=settings.prefix,
                account_access_type="CURRENT_ACCOUNT",
                authentication_providers=["AWS_SSO"],
                permission_type="CUSTOMER_MANAGED",
                role_arn=role.role_arn,
                data_sources=["ATHENA"],
                plugin_admin_enabled=True,  # the Athena plugin is installed by grafana.sync
            )
            publish(self, settings, "endpoint", workspace.attr_endpoint, "Where the managed Grafana is")


def _principal(settings: Environment) -> iam.IPrincipal:
    if settings.dashboards.principal_arn is not None:
        return iam.ArnPrincipal(settings.dashboards.principal_arn)
    return iam.ServicePrincipal(
        "grafana.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": settings.account}}
    )
