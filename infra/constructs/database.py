"""The database of Dagster: PostgreSQL with its runs, ticks and schedules, and the secret that opens it.

Belongs here: the instance and its secret. Does not belong here: who may read the secret (services).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.network import Network
from infra.findings import accept, acknowledge
from infra.settings import Environment

_FINDINGS: Final = {
    "SMG4": "tasks read the secret when they start: a rotation would cut them off. docs/deploy.md says how to rotate",
    "RDS3": "Dagster's history can be restored from its backup; a second zone is a setting, on in prod",
    "RDS10": "a setting (protected), switched on once the stacks stand: before, it would block a rollback",
    "RDS11": "the port is no secret: the instance is in isolated subnets and lets in three security groups",
}


class Database(Construct):
    """A PostgreSQL instance in the isolated subnets."""

    def __init__(self, scope: Construct, settings: Environment, network: Network) -> None:
        super().__init__(scope, "Database")
        orchestrator = settings.orchestrator
        database = rds.DatabaseInstance(
            self,
            "Instance",
            instance_identifier=f"{settings.prefix}-dagster",
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18),
            instance_type=ec2.InstanceType(orchestrator.database_class),
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[network.groups["database"]],
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
            deletion_protection=settings.protected,
            delete_automated_backups=not settings.keep_data,
            removal_policy=RemovalPolicy.SNAPSHOT if settings.keep_data else RemovalPolicy.DESTROY,
            cloudwatch_logs_exports=["postgresql"],
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            copy_tags_to_snapshot=True,
        )
        for finding, why in _FINDINGS.items():
            acknowledge(database, f"AwsSolutions-{finding}", why)
        accept(
            database,
            CKV_AWS_118="it holds runs and ticks: the basic metrics tell when it is too small",
            CKV_AWS_157=_FINDINGS["RDS3"],
            CKV_AWS_161="Dagster's storage takes a password; a token would end after 15 minutes",
        )
        accept(database.node.find_child("Secret"), CKV_AWS_149="encrypted with the account's Secrets Manager key")
        secret = database.secret
        assert secret is not None  # noqa: S101 - generated with the database
        self.instance = database
        self.address: str = database.db_instance_endpoint_address
        self.secret: secretsmanager.ISecret = secret
