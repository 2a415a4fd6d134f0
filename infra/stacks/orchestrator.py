"""The Orchestrator stack: Dagster on Fargate, its database, and the one door to its page.

Belongs here: network, the three services (webserver, daemon, code server), the task definitions of runs and of commands
by hand, PostgreSQL, logs, the load balancer with sign-in, one role per principal. Does not belong here: what Dagster
does (defs), how it is configured inside (docker/dagster.yaml), what may be done with the lake (access).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aws_cdk import CfnOutput, Duration, Fn, RemovalPolicy, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_elasticloadbalancingv2_actions as elb_actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from infra import access
from infra.findings import accept, acknowledge
from infra.settings import Environment
from infra.stacks.capture import log_retention
from medallion_assets.contracts.loader import Domain

_WEB_PORT: Final = 3000
_CODE_PORT: Final = 4000
_DATABASE_PORT: Final = 5432
_COMPUTE_LOGS: Final = "compute-logs"
_TASK_IDS: Final = "tasks are named by their ids; the cluster is this environment's own"
_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - in a container of its own, behind its security group

_DATABASE_FINDINGS: Final = {
    "SMG4": "tasks read the secret when they start: a rotation would cut them off. docs/deploy.md says how to rotate",
    "RDS3": "Dagster's history can be restored from its backup; a second zone is a setting, on in prod",
    "RDS10": "a setting (keep_data): on in stg and prod, off in dev, which goes with its stacks",
    "RDS11": "the port is no secret: the instance is in isolated subnets and lets in three security groups",
}


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
            description=f"Medallion assets: Dagster of {settings.environment}",
        )
        self._settings = settings
        self._removal = RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY
        self.vpc = self._network()
        self._groups = {name: self._group(name) for name in ("balancer", "webserver", "code", "daemon", "database")}
        self._open_ports()
        self.database = self._database()
        self.logs_bucket = self._logs_bucket(access_logs)
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=settings.prefix,
            vpc=self.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        self._namespace = discovery.PrivateDnsNamespace(
            self, "Namespace", name=f"{settings.prefix}.internal", vpc=self.vpc
        )
        built = ecr_assets.DockerImageAsset(
            self, "Image", directory=str(image), platform=ecr_assets.Platform.LINUX_ARM64
        )
        self._image = ecs.ContainerImage.from_docker_image_asset(built)

        pipeline = self._role(
            "pipeline", "Code server and runs: read Bronze, write the lake, hold it against the tables"
        )
        access.give(
            pipeline,
            *access.read_bronze(settings, domain),
            *access.write_lake(settings, domain),
            *access.read_tables(settings, domain),
            self._on_logs("WriteComputeLogs", "s3:PutObject"),
        )
        operator = self._role("operator", "verify and repair by hand: as runs, and put amendments in Bronze")
        access.give(
            operator,
            *access.read_bronze(settings, domain),
            *access.write_bronze(settings, domain),
            *access.write_lake(settings, domain),
            *access.read_tables(settings, domain),
        )
        orchestrator = settings.orchestrator
        by_hand = self._task("operator", operator, cpu=orchestrator.run_cpu, memory_mb=orchestrator.run_memory_mb)
        run = self._task("run", pipeline, cpu=orchestrator.run_cpu, memory_mb=orchestrator.run_memory_mb)
        code = self._task("code", pipeline, cpu=512, memory_mb=2048)
        daemon = self._task("daemon", self._daemon_role(run), cpu=512, memory_mb=2048)
        webserver = self._task("webserver", self._webserver_role(), cpu=512, memory_mb=1024)

        self._container(by_hand, "operator", ["medallion", "status"], environment=self._pipeline_environment())
        self._container(run, "run", ["dagster", "--version"], environment=self._pipeline_environment())
        self._container(
            code,
            "code",
            [
                "dagster",
                "api",
                "grpc",
                "-h",
                _EVERY_ADDRESS,
                "-p",
                str(_CODE_PORT),
                "-m",
                "medallion_assets.definitions",
            ],
            environment=self._pipeline_environment(),
            health=["dagster", "api", "grpc-health-check", "-p", str(_CODE_PORT)],
        )
        talking = {"DAGSTER_CODE_HOST": f"code.{self._namespace.namespace_name}"}
        talking["DAGSTER_RUN_TASK_DEFINITION"] = run.family
        workspace = ["-w", "/opt/dagster/home/workspace.yaml"]
        self._container(
            daemon,
            "daemon",
            ["dagster-daemon", "run", *workspace],
            environment=talking,
            health=["dagster-daemon", "liveness-check"],
        )
        self._container(
            webserver,
            "webserver",
            ["dagster-webserver", "-h", _EVERY_ADDRESS, "-p", str(_WEB_PORT), *workspace],
            environment=talking,
            port=_WEB_PORT,
        )
        code_service = self._service("code", code)
        code_service.enable_cloud_map(
            name="code",
            cloud_map_namespace=self._namespace,
            dns_record_type=discovery.DnsRecordType.A,
            dns_ttl=Duration.seconds(10),
        )
        # Its sensors ask the code server; a run is started in the daemon's own network, with its group.
        self._service("daemon", daemon).node.add_dependency(code_service)
        self._door(self._service("webserver", webserver, replicas_while_deploying=True), access_logs)

    def _network(self) -> ec2.Vpc:
        settings = self._settings
        vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=settings.prefix,
            ip_addresses=ec2.IpAddresses.cidr(settings.orchestrator.vpc_cidr),
            availability_zones=[Fn.select(number, Fn.get_azs()) for number in range(2)],
            nat_gateways=settings.orchestrator.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22),
                ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            restrict_default_security_group=False,
        )
        # Bronze and the lake are the bulk of the traffic; over the gateway it costs nothing.
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(self._log("vpc")),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        return vpc

    def _group(self, name: str) -> ec2.SecurityGroup:
        # The database and the balancer open nothing by themselves, but for the sign-in that is added to the balancer.
        return ec2.SecurityGroup(
            self,
            f"Group{name}",
            vpc=self.vpc,
            security_group_name=f"{self._settings.prefix}-{name}",
            description=f"Dagster {name}",
            allow_all_outbound=name not in {"balancer", "database"},
        )

    def _open_ports(self) -> None:
        groups, orchestrator = self._groups, self._settings.orchestrator
        for group in ("webserver", "code", "daemon"):
            groups["database"].add_ingress_rule(groups[group], ec2.Port.tcp(_DATABASE_PORT), f"PostgreSQL from {group}")
        for group in ("webserver", "daemon"):
            groups["code"].add_ingress_rule(groups[group], ec2.Port.tcp(_CODE_PORT), f"code server from {group}")
        groups["webserver"].add_ingress_rule(groups["balancer"], ec2.Port.tcp(_WEB_PORT), "page from the balancer")
        groups["balancer"].add_egress_rule(groups["webserver"], ec2.Port.tcp(_WEB_PORT), "page")
        for ranged in orchestrator.reachable_from or (orchestrator.vpc_cidr,):
            groups["balancer"].add_ingress_rule(ec2.Peer.ipv4(ranged), ec2.Port.tcp(443), "who may open the page")

    def _database(self) -> rds.DatabaseInstance:
        settings, orchestrator = self._settings, self._settings.orchestrator
        database = rds.DatabaseInstance(
            self,
            "Database",
            instance_identifier=f"{settings.prefix}-dagster",
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18),
            instance_type=ec2.InstanceType(orchestrator.database_class),
            vpc=self.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[self._groups["database"]],
            credentials=rds.Credentials.from_generated_secret(
                "dagster", secret_name=f"{settings.prefix}/dagster/database"
            ),
            database_name="dagster",
            multi_az=orchestrator.database_multi_az,
            allocated_storage=20,
            max_allocated_storage=100,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            backup_retention=Duration.days(orchestrator.database_backup_days),
            deletion_protection=settings.keep_data,
            delete_automated_backups=not settings.keep_data,
            removal_policy=RemovalPolicy.SNAPSHOT if settings.keep_data else RemovalPolicy.DESTROY,
            cloudwatch_logs_exports=["postgresql"],
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            copy_tags_to_snapshot=True,
        )
        for finding, why in _DATABASE_FINDINGS.items():
            acknowledge(database, f"AwsSolutions-{finding}", why)
        accept(
            database,
            CKV_AWS_118="it holds runs and ticks: the basic metrics tell when it is too small",
            CKV_AWS_157=_DATABASE_FINDINGS["RDS3"],
            CKV_AWS_161="Dagster's storage takes a password; a token would end after 15 minutes",
        )
        accept(database.node.find_child("Secret"), CKV_AWS_149="encrypted with the account's Secrets Manager key")
        return database

    def _logs_bucket(self, access_logs: s3.IBucket) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "ComputeLogs",
            bucket_name=self._settings.global_name("dagster"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(self._settings.retention.log_days),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix="dagster/",
            removal_policy=self._removal,
        )
        accept(bucket, CKV_AWS_21="what is in it is written once and expires")
        return bucket

    def _log(self, name: str) -> logs.LogGroup:
        group = logs.LogGroup(
            self,
            f"Log{name}",
            log_group_name=f"/{self._settings.prefix}/{name}",
            retention=log_retention(self._settings),
            removal_policy=self._removal,
        )
        accept(group, CKV_AWS_158="encrypted with CloudWatch's own key; logs hold counts and names, no data")
        return group

    def _role(self, name: str, description: str) -> iam.Role:
        return iam.Role(
            self,
            f"Role{name}",
            role_name=f"{self._settings.prefix}-{name}",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            description=description,
        )

    def _task(self, name: str, role: iam.IRole, *, cpu: int, memory_mb: int) -> ecs.FargateTaskDefinition:
        task = ecs.FargateTaskDefinition(
            self,
            f"Task{name}",
            family=f"{self._settings.prefix}-{name}",
            cpu=cpu,
            memory_limit_mib=memory_mb,
            task_role=role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
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
        health: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        secret = self.database.secret
        assert secret is not None  # noqa: S101 - generated with the database
        task.add_container(
            name,
            container_name=name,
            image=self._image,
            command=list(command),
            environment={
                "AWS_DEFAULT_REGION": self.region,
                "DAGSTER_DB_HOST": self.database.db_instance_endpoint_address,
                "DAGSTER_LOGS_BUCKET": self.logs_bucket.bucket_name,
                **environment,
            },
            secrets={
                "DAGSTER_DB_USER": ecs.Secret.from_secrets_manager(secret, "username"),
                "DAGSTER_DB_PASSWORD": ecs.Secret.from_secrets_manager(secret, "password"),
            },
            logging=ecs.LogDrivers.aws_logs(stream_prefix=name, log_group=self._log(name)),
            port_mappings=[ecs.PortMapping(container_port=port)] if port else None,
            health_check=ecs.HealthCheck(
                command=["CMD", *health],
                interval=Duration.seconds(30),
                timeout=Duration.seconds(20),
                start_period=Duration.seconds(120),
            )
            if health
            else None,
        )

    def _pipeline_environment(self) -> dict[str, str]:
        settings = self._settings
        return {
            "AWS_REGION": settings.region,
            "MEDALLION_BRONZE": settings.bronze,
            "MEDALLION_WAREHOUSE": settings.warehouse,
            "MEDALLION_CATALOG": "glue",
        }

    def _service(
        self, name: str, task: ecs.FargateTaskDefinition, *, replicas_while_deploying: bool = False
    ) -> ecs.FargateService:
        """One task. Of daemon and code server there is never a second one: two daemons would start every run twice."""
        return ecs.FargateService(
            self,
            f"Service{name}",
            service_name=name,
            cluster=self.cluster,
            task_definition=task,
            desired_count=1,
            min_healthy_percent=100 if replicas_while_deploying else 0,
            max_healthy_percent=200 if replicas_while_deploying else 100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            security_groups=[self._groups[name]],
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            assign_public_ip=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )

    def _on_logs(self, sid: str, action: str) -> access.Grant:
        resource = f"arn:aws:s3:::{self._settings.global_name('dagster')}/{_COMPUTE_LOGS}/*"
        return _grant(sid, [action], [resource], "a log's key holds its run and step")

    def _see_tasks(self) -> list[access.Grant]:
        """Look at tasks and stop runs: what the launcher needs wherever it is made."""
        return [
            _grant("Tasks", ["ecs:DescribeTasks", "ecs:StopTask"], [self._tasks_arn()], _TASK_IDS),
            _grant("Definitions", ["ecs:DescribeTaskDefinition"], ["*"], "IAM knows no resource for this action"),
        ]

    def _tasks_arn(self) -> str:
        return f"arn:aws:ecs:{self.region}:{self.account}:task/{self._settings.prefix}/*"

    def _daemon_role(self, run: ecs.FargateTaskDefinition) -> iam.Role:
        role = self._role("daemon", "Daemon: starts, watches and stops runs")
        here, prefix = f"{self.region}:{self.account}", self._settings.prefix
        family = f"arn:aws:ecs:{here}:task-definition/{prefix}-run"
        run_roles = [run.task_role.role_arn, run.obtain_execution_role().role_arn]
        access.give(
            role,
            *self._see_tasks(),
            _grant(
                "StartRuns",
                ["ecs:RunTask"],
                [family, f"{family}:*"],
                "every deployment makes a new revision; the daemon starts the family's newest",
                {"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}},
            ),
            _grant(
                "TagRuns",
                ["ecs:TagResource"],
                [self._tasks_arn()],
                _TASK_IDS,
                {"StringEquals": {"ecs:CreateAction": "RunTask"}},
            ),
            _grant(
                "OwnNetwork",
                ["ec2:DescribeNetworkInterfaces"],
                ["*"],
                "IAM knows no resource for this action; the launcher asks for the groups of the daemon's own interface",
            ),
            _grant(
                "PassRunRoles",
                ["iam:PassRole"],
                run_roles,
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
            _grant(
                "LogsOfFailedRuns",
                ["logs:GetLogEvents"],
                [f"arn:aws:logs:{here}:log-group:/{prefix}/run:log-stream:*"],
                "a stream's name holds the task's id",
            ),
        )
        return role

    def _webserver_role(self) -> iam.Role:
        role = self._role("webserver", "Webserver: shows compute logs, stops runs")
        access.give(
            role,
            *self._see_tasks(),
            self._on_logs("ReadComputeLogs", "s3:GetObject"),
            _grant(
                "ListComputeLogs",
                ["s3:ListBucket"],
                [f"arn:aws:s3:::{self._settings.global_name('dagster')}"],
                conditions={"StringLike": {"s3:prefix": [f"{_COMPUTE_LOGS}/*"]}},
            ),
        )
        return role

    def _door(self, webserver: ecs.FargateService, access_logs: s3.IBucket) -> None:
        """HTTPS with a sign-in before Dagster, which has none. From inside the VPC only, unless ranges are named."""
        settings, orchestrator = self._settings, self._settings.orchestrator
        public = bool(orchestrator.reachable_from)
        balancer = elb.ApplicationLoadBalancer(
            self,
            "Balancer",
            load_balancer_name=f"{settings.prefix}-dagster",
            vpc=self.vpc,
            vpc_subnets=ec2.SubnetSelection(
                subnet_type=ec2.SubnetType.PUBLIC if public else ec2.SubnetType.PRIVATE_WITH_EGRESS
            ),
            internet_facing=public,
            security_group=self._groups["balancer"],
            deletion_protection=settings.keep_data,
            drop_invalid_header_fields=True,
        )
        balancer.log_access_logs(access_logs, "dagster-page")
        users = cognito.UserPool(
            self,
            "Users",
            user_pool_name=f"{settings.prefix}-dagster",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            mfa=cognito.Mfa.REQUIRED,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            password_policy=cognito.PasswordPolicy(
                min_length=14,
                require_digits=True,
                require_lowercase=True,
                require_uppercase=True,
                require_symbols=True,
                temp_password_validity=Duration.days(3),
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            deletion_protection=settings.keep_data,
            removal_policy=self._removal,
        )
        acknowledge(
            users, "AwsSolutions-COG8", "few people sign in, with a second factor; the Plus tier is priced per user"
        )
        client = users.add_client(
            "Page",
            generate_secret=True,
            prevent_user_existence_errors=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[f"https://{orchestrator.hostname}/oauth2/idpresponse"],
            ),
        )
        domain = users.add_domain(
            "SignIn",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=f"{settings.prefix}-{settings.account}"),
        )
        target = elb.ApplicationTargetGroup(
            self,
            "Target",
            vpc=self.vpc,
            port=_WEB_PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[webserver],
            deregistration_delay=Duration.seconds(15),
            health_check=elb.HealthCheck(path="/server_info", healthy_http_codes="200"),
        )
        balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[acm.Certificate.from_certificate_arn(self, "Certificate", orchestrator.certificate_arn)],
            ssl_policy=elb.SslPolicy.TLS13_RES,
            default_action=elb_actions.AuthenticateCognitoAction(
                next=elb.ListenerAction.forward([target]),
                user_pool=users,
                user_pool_client=client,
                user_pool_domain=domain,
            ),
        )
        CfnOutput(self, "BalancerName", value=balancer.load_balancer_dns_name, description="Where the hostname points")
        CfnOutput(self, "UserPool", value=users.user_pool_id, description="Whose users may sign in")


def _grant(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    why: str = "",
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> access.Grant:
    statement = iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)
    return access.Grant(statement, why)
