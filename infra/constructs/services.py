"""Dagster on Fargate: the code server, the daemon and the webserver, and the tasks of runs and of commands by hand.

Belongs here: cluster, image, task definitions, containers, services. Does not belong here: what a task may do (roles),
how Dagster is configured inside (docker/dagster.yaml).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from infra.constructs.compute_logs import ComputeLogs
from infra.constructs.database import Database
from infra.constructs.network import CODE_PORT, WEB_PORT, Network
from infra.constructs.roles import daemon_role, operator_role, pipeline_role, viewer_role, webserver_role
from infra.findings import acknowledge
from infra.log_groups import log_group
from infra.settings import SMALLEST_STORAGE_GB, AthenaEngine, Environment, TrinoEngine
from medallion_assets.contracts.loader import Domain

_SERVICE_MEMORY_MB: Final = 2048
_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - in a container of its own, behind its security group
_TMP: Final = "/tmp"  # noqa: S108 - the task's own disk, and the only folder that its container can write to
_WRITTEN: Final = "tmp"
_ECR_IMAGE: Final = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)[:@](.+)")
_WORKSPACE: Final = ("-w", "/opt/dagster/home/workspace.yaml")


class Services(Construct):
    """The cluster with all of Dagster's tasks; `webserver` is the service that the load balancer sends people to."""

    def __init__(
        self,
        scope: Construct,
        settings: Environment,
        domain: Domain,
        *,
        image: Path,
        network: Network,
        database: Database,
        compute_logs: ComputeLogs,
    ) -> None:
        super().__init__(scope, "Services")
        self._settings = settings
        self._takes_files = any(contract.files is not None for contract in domain.tables)
        self._network = network
        self._database = database
        self._compute_logs = compute_logs
        self._cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=settings.prefix,
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        self.cluster_name, self.cluster_arn = self._cluster.cluster_name, self._cluster.cluster_arn
        self._namespace = discovery.PrivateDnsNamespace(
            self, "Namespace", name=f"{settings.prefix}.internal", vpc=network.vpc
        )
        self._image, self.image_name = self._image_of(image)

        pipeline = pipeline_role(self, settings, domain, compute_logs)
        self.operator_task = self._operator(operator_role(self, settings, domain))
        run = self._run(pipeline)
        code = self._code(pipeline)
        service_env = {
            "DAGSTER_CODE_HOST": f"code.{self._namespace.namespace_name}",
            # A revision, not the family: the launcher looks up a family's newest revision once, when it starts, and the
            # next deployment deregisters that one. With a revision here, a deployment restarts the service.
            "DAGSTER_RUN_TASK_DEFINITION": run.task_definition_arn,
        }
        daemon = self._daemon(daemon_role(self, settings, run=run, cluster=self._cluster), service_env)
        # Its sensors ask the code server; a run is started in the daemon's own network, with its group.
        daemon.node.add_dependency(code)
        self.webserver = self._webserver("webserver", webserver_role(self, settings, compute_logs), service_env)
        self.viewer = (
            self._webserver("viewer", viewer_role(self, settings, compute_logs), service_env, options=["--read-only"])
            if settings.orchestrator.viewers is not None
            else None
        )

    def _image_of(self, folder: Path) -> tuple[ecs.ContainerImage, str]:
        """Return the image that the settings name, or else one that is built when it is deployed; and its name."""
        uri = self._settings.orchestrator.image
        if uri is None:
            built = ecr_assets.DockerImageAsset(
                self, "Image", directory=str(folder), platform=ecr_assets.Platform.LINUX_ARM64
            )
            return ecs.ContainerImage.from_docker_image_asset(built), built.image_uri
        match = _ECR_IMAGE.fullmatch(uri)
        if match is None:
            return ecs.ContainerImage.from_registry(uri), uri
        account, region, name, pinned = match.groups()
        repository = ecr.Repository.from_repository_attributes(
            self,
            "Repository",
            repository_arn=f"arn:{self._settings.partition}:ecr:{region}:{account}:repository/{name}",
            repository_name=name,
        )
        return ecs.ContainerImage.from_ecr_repository(repository, pinned), uri

    def _operator(self, role: iam.Role) -> str:
        """A task that a person starts with a command of `medallion`. Returns its family."""
        orchestrator = self._settings.orchestrator
        task = self._run_task("operator", role)
        environment = self._pipeline_env(orchestrator.run_memory_mb)
        self._container(task, "operator", ["medallion", "status"], environment=environment)
        return str(task.family)

    def _run(self, role: iam.Role) -> ecs.FargateTaskDefinition:
        """The task definition that the launcher starts every run from; it gives the command."""
        orchestrator = self._settings.orchestrator
        task = self._run_task("run", role)
        self._container(
            task,
            "run",
            ["dagster", "--version"],
            environment=self._pipeline_env(orchestrator.run_memory_mb)
            | self._engine_env()
            | self._settings.traces_to(self._settings.telemetry.runs),
            secrets=self._engine_secrets(),
        )
        return task

    def _run_task(self, name: str, role: iam.IRole) -> ecs.FargateTaskDefinition:
        orchestrator = self._settings.orchestrator
        return self._task(
            name,
            role,
            cpu=orchestrator.run_cpu,
            memory_mb=orchestrator.run_memory_mb,
            storage_gb=orchestrator.run_storage_gb,
        )

    def _code(self, role: iam.Role) -> ecs.FargateService:
        task = self._task("code", role, cpu=512, memory_mb=_SERVICE_MEMORY_MB)
        serve = ["dagster", "api", "grpc", "-h", _EVERY_ADDRESS, "-p", str(CODE_PORT)]
        self._container(
            task,
            "code",
            [*serve, "-m", "medallion_assets.definitions"],
            environment=self._pipeline_env(_SERVICE_MEMORY_MB) | self._arrivals_env(),
            health=["code", str(CODE_PORT)],
        )
        service = self._service("code", task)
        service.enable_cloud_map(
            name="code",
            cloud_map_namespace=self._namespace,
            dns_record_type=discovery.DnsRecordType.A,
            dns_ttl=Duration.seconds(10),
        )
        return service

    def _daemon(self, role: iam.Role, environment: Mapping[str, str]) -> ecs.FargateService:
        task = self._task("daemon", role, cpu=512, memory_mb=_SERVICE_MEMORY_MB)
        self._container(
            task,
            "daemon",
            ["dagster-daemon", "run", *_WORKSPACE],
            environment=environment,
            health=["daemon"],
        )
        return self._service("daemon", task)

    def _webserver(
        self, name: str, role: iam.Role, environment: Mapping[str, str], *, options: Sequence[str] = ()
    ) -> ecs.FargateService:
        task = self._task(name, role, cpu=512, memory_mb=1024)
        self._container(
            task,
            name,
            ["dagster-webserver", "-h", _EVERY_ADDRESS, "-p", str(WEB_PORT), *_WORKSPACE, *options],
            environment=environment,
            port=WEB_PORT,
        )
        return self._service(name, task, group="webserver", replicas_while_deploying=True)

    def _pipeline_env(self, memory_mb: int) -> dict[str, str]:
        """Return the variables of a container with this memory that opens the lake."""
        settings = self._settings
        return {
            "AWS_REGION": settings.region,
            "MEDALLION_BRONZE": settings.bronze,
            "MEDALLION_WAREHOUSE": settings.warehouse,
            "MEDALLION_CATALOG": "glue",
            "MEDALLION_FRESHNESS": settings.orchestrator.freshness,
            "MEDALLION_GIVEN_UP": f"s3://{settings.given_up_bucket}",
            "MEDALLION_EXPORTS": settings.exports,
            **({"MEDALLION_RAW": settings.raw} if self._takes_files else {}),
            **settings.source_tables,
            **settings.kinesis_tables,
            **({"MEDALLION_DATABASE_PREFIX": settings.database_prefix} if settings.database_prefix else {}),
            # DuckDB would take four fifths of the host's memory. The other half is for Python, Arrow and Dagster.
            "MEDALLION_DUCKDB_MEMORY_MB": str(memory_mb // 2),
            "MEDALLION_SPILL_FOLDER": _TMP,
        }

    def _arrivals_env(self) -> dict[str, str]:
        """Return the variable of the queue of arrivals. Only the code server has it, which evaluates the sensor."""
        settings = self._settings
        if not settings.orchestrator.notify_arrivals:
            return {}
        url = f"https://sqs.{settings.region}.{settings.services_domain}/{settings.account}/{settings.arrivals_queue}"
        return {"MEDALLION_ARRIVALS_QUEUE": url}

    def _engine_env(self) -> dict[str, str]:
        """Return the variables that choose the engine of the marts. Only runs compute, so only they have them."""
        settings = self._settings
        match settings.engine:
            case AthenaEngine():
                return {
                    "MEDALLION_ENGINE": "athena",
                    "MEDALLION_ATHENA_WORKGROUP": settings.marts_workgroup,
                    "MEDALLION_ATHENA_OUTPUT": f"s3://{settings.global_name('athena')}/{settings.marts_workgroup}",
                }
            case TrinoEngine() as trino:
                return {
                    "MEDALLION_ENGINE": "trino",
                    "MEDALLION_TRINO_URL": trino.url,
                    "MEDALLION_TRINO_CATALOG": trino.catalog,
                    "MEDALLION_TRINO_USER": trino.user,
                }
            case None:
                return {}

    def _engine_secrets(self) -> dict[str, ecs.Secret]:
        match self._settings.engine:
            case TrinoEngine(password_secret_arn=str() as arn):
                secret = secretsmanager.Secret.from_secret_complete_arn(self, "TrinoPassword", arn)
                return {"MEDALLION_TRINO_PASSWORD": ecs.Secret.from_secrets_manager(secret)}
            case _:
                return {}

    def _task(
        self, name: str, role: iam.IRole, *, cpu: int, memory_mb: int, storage_gb: int = SMALLEST_STORAGE_GB
    ) -> ecs.FargateTaskDefinition:
        task = ecs.FargateTaskDefinition(
            self,
            f"Task{name}",
            family=f"{self._settings.prefix}-{name}",
            cpu=cpu,
            memory_limit_mib=memory_mb,
            ephemeral_storage_gib=storage_gb if storage_gb > SMALLEST_STORAGE_GB else None,
            task_role=role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        task.add_volume(name=_WRITTEN)
        acknowledge(task, "AwsSolutions-ECS2", "places and names only; user and password come from the secret")
        acknowledge(
            task.obtain_execution_role(),
            "AwsSolutions-IAM5[Resource::*]",
            "ecr:GetAuthorizationToken only: IAM knows no resource for it",
        )
        return task

    def _container(
        self,
        task: ecs.FargateTaskDefinition,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        secrets: Mapping[str, ecs.Secret] = MappingProxyType({}),
        health: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        container = task.add_container(
            name,
            container_name=name,
            image=self._image,
            command=list(command),
            readonly_root_filesystem=True,
            memory_limit_mib=int(str(task.memory_mib)),
            environment={
                "AWS_DEFAULT_REGION": self._settings.region,
                "DAGSTER_DB_HOST": self._database.address,
                "DAGSTER_LOGS_BUCKET": self._compute_logs.bucket.bucket_name,
                **environment,
            },
            secrets={
                "DAGSTER_DB_USER": ecs.Secret.from_secrets_manager(self._database.secret, "username"),
                "DAGSTER_DB_PASSWORD": ecs.Secret.from_secrets_manager(self._database.secret, "password"),
                **secrets,
            },
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=name,
                log_group=log_group(self, f"Log{name}", self._settings, f"/{self._settings.prefix}/{name}"),
            ),
            port_mappings=[ecs.PortMapping(container_port=port)] if port else None,
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "/opt/dagster/home/probe.py", *health],
                interval=Duration.seconds(60),
                timeout=Duration.seconds(20),
                start_period=Duration.seconds(120),
            )
            if health
            else None,
        )
        container.add_mount_points(ecs.MountPoint(container_path=_TMP, source_volume=_WRITTEN, read_only=False))

    def _service(
        self,
        name: str,
        task: ecs.FargateTaskDefinition,
        *,
        group: str | None = None,
        replicas_while_deploying: bool = False,
    ) -> ecs.FargateService:
        """One task. Daemon and code server never have a second one: two daemons would start every run twice."""
        return ecs.FargateService(
            self,
            f"Service{name}",
            service_name=name,
            cluster=self._cluster,
            task_definition=task,
            desired_count=1,
            min_healthy_percent=100 if replicas_while_deploying else 0,
            max_healthy_percent=200 if replicas_while_deploying else 100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            security_groups=[self._network.groups[group or name]],
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            assign_public_ip=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
