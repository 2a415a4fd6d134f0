"""The Orchestrator stack: Dagster on Fargate with its network, database and entrance.

Belongs here: which constructs there are and what they hand to each other. Does not belong here: what is in them
(constructs), what Dagster does (defs), how it is configured inside (docker/dagster.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Fn, Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.compute_logs import ComputeLogs
from infra.constructs.database import Database
from infra.constructs.entrance import Entrance
from infra.constructs.network import Network
from infra.constructs.orchestrator_alarms import add_orchestrator_alarms
from infra.constructs.overview import add_overview
from infra.constructs.services import Services
from infra.outputs import publish
from infra.settings import Environment
from medallion_assets.contracts.loader import Domain


class OrchestratorStack(Stack):
    """Dagster."""

    def __init__(
        self,
        scope: Construct,
        settings: Environment,
        domain: Domain,
        *,
        image: Path,
        access_logs: s3.IBucket,
        capture_alarms: Sequence[str],
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
        entrance = Entrance(
            self,
            settings,
            network=network,
            webserver=services.webserver,
            viewer=services.viewer,
            access_logs=access_logs,
        )
        alarms = Construct(self, "Alarms")
        names = add_orchestrator_alarms(alarms, settings, database=database.instance, target=entrance.target)
        add_overview(
            self,
            settings,
            alarms=[*capture_alarms, *names],
            database=database.instance,
            target=entrance.target,
        )
        alarms.node.add_dependency(services)  # a filter on the daemon's log
        page = f"https://{settings.orchestrator.hostname}"
        publish(self, settings, "page-url", page, "What people open")
        publish(self, settings, "balancer-name", entrance.address, "Where the hostname points (CNAME)")
        publish(self, settings, "balancer-arn", entrance.balancer_arn, "The load balancer, e.g. for a web ACL")
        for name, user_pool_id in entrance.user_pools.items():
            publish(self, settings, name, user_pool_id, "The pool of users who may sign in")
        publish(self, settings, "cluster-name", services.cluster_name, "The ECS cluster of services, runs and operator")
        publish(self, settings, "cluster-arn", services.cluster_arn, "The ECS cluster of services, runs and operator")
        publish(self, settings, "operator-task", services.operator_task, "The task definition of commands by hand")
        publish(self, settings, "image", services.image_name, "The image of every container of Dagster")
        publish(self, settings, "vpc-id", network.vpc.vpc_id, "The network of Dagster")
        subnets = Fn.join(",", [subnet.subnet_id for subnet in network.vpc.private_subnets])
        publish(self, settings, "private-subnets", subnets, "The subnets of services and runs, with commas between")
        for name, group in network.groups.items():
            publish(self, settings, f"security-group/{name}", group.security_group_id, f"The security group of {name}")
