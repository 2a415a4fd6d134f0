"""The Orchestrator stack: Dagster on Fargate with its network, database and entrance.

Belongs here: which constructs there are and what they hand to each other. Does not belong here: what is in them
(constructs), what Dagster does (defs), how it is configured inside (docker/dagster.yaml).
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.compute_logs import ComputeLogs
from infra.constructs.database import Database
from infra.constructs.entrance import Entrance
from infra.constructs.network import Network
from infra.constructs.orchestrator_alarms import add_orchestrator_alarms
from infra.constructs.services import Services
from infra.settings import Environment
from medallion_assets.contracts.loader import Domain


class OrchestratorStack(Stack):
    """Dagster."""

    def __init__(
        self, scope: Construct, settings: Environment, domain: Domain, *, image: Path, access_logs: s3.IBucket
    ) -> None:
        super().__init__(
            scope,
            "Orchestrator",
            stack_name=f"{settings.prefix}-orchestrator",
            env={"account": settings.account, "region": settings.region},
            termination_protection=settings.protected,
            description=f"Medallion assets: Dagster of {settings.environment}",
        )
        network = Network(self, settings)
        database = Database(self, settings, network)
        services = Services(
            self,
            settings,
            domain,
            image=image,
            network=network,
            database=database,
            compute_logs=ComputeLogs(self, settings, access_logs=access_logs),
        )
        entrance = Entrance(self, settings, network=network, webserver=services.webserver, access_logs=access_logs)
        alarms = Construct(self, "Alarms")
        add_orchestrator_alarms(alarms, settings, database=database.instance, target=entrance.target)
        alarms.node.add_dependency(services)  # a filter on the daemon's log
        page = f"https://{settings.orchestrator.hostname}"
        CfnOutput(self, "PageUrl", value=page, description="What people open")
        CfnOutput(self, "BalancerName", value=entrance.address, description="Where the hostname points")
        CfnOutput(self, "UserPool", value=entrance.user_pool_id, description="The pool of users who may sign in")
