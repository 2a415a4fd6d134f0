"""The Capture stack: what brings every change of the domain's tables into Bronze.

Belongs here: tables (where they are ours), the function, one event source mapping per table, the bucket for what
Lambda gives up, the topic for alerts. Does not belong here: the mapping's settings (capture.mapping), alarms
(constructs.capture_alarms).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aws_cdk import CfnResource, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra import access
from infra.bucket import private_bucket
from infra.constructs import heartbeat
from infra.constructs.budget import add_budget
from infra.constructs.capture_alarms import add_capture_alarms
from infra.constructs.release import Release
from infra.findings import accept, acknowledge
from infra.log_groups import log_group
from infra.outputs import publish
from infra.package import HANDLER
from infra.removal import removal_policy
from infra.settings import Environment, KinesisSource
from medallion_assets.capture.mapping import DEPLOYED
from medallion_assets.contracts.loader import Domain, Source
from medallion_assets.contracts.model import Column


class CaptureStack(Stack):
    """Streams to Bronze."""

    def __init__(
        self, scope: Construct, settings: Environment, domain: Domain, *, package: Path, access_logs: s3.IBucket
    ) -> None:
        super().__init__(
            scope,
            "Capture",
            stack_name=f"{settings.prefix}-capture",
            env={"account": settings.account, "region": settings.region},
            termination_protection=settings.protected,
            description=f"Medallion assets: capture of {settings.environment}",
        )
        self._settings = settings
        self._given_up = self._bucket(access_logs)
        self.alerts = sns.Topic(self, "Alerts", topic_name=settings.alerts_topic, enforce_ssl=True)
        accept(self.alerts, CKV_AWS_26="alarms hold names and numbers; CloudWatch cannot use AWS's own key for a topic")
        # A policy of one's own replaces the default one, which lets the account's alarms in.
        self._let_publish("Alarms", "cloudwatch")
        if settings.monthly_budget_usd is not None:
            self._let_publish("Budget", "budgets")
            add_budget(self, settings, self.alerts, usd=settings.monthly_budget_usd)
        if settings.alert_email:
            self.alerts.add_subscription(subscriptions.EmailSubscription(settings.alert_email))
        role = self._role(domain)
        self.function = self._function(role, package)
        release = Release(self, settings, self.function)
        mappings, expect_changes = {}, dict(settings.capture.expect_changes)
        for table, source in domain.sources.items():
            if source.name == heartbeat.TABLE:
                heartbeat.Heartbeat(self, settings, source.contracts[0])
            if table in settings.by_kinesis:
                continue
            stream = settings.sources.streams.get(table) or self._table(source).table_stream_arn
            assert stream is not None, table  # noqa: S101 - a table with a stream has its ARN
            mappings[table] = self._mapping(source, stream, role, release.alias)
            if source.name == heartbeat.TABLE:
                expect_changes.setdefault(table, heartbeat.QUIET_MINUTES)
        for kinesis in settings.sources.kinesis:
            mappings[f"kinesis-{kinesis.name}"] = self._kinesis_mapping(kinesis, role, release.alias)
        paging = add_capture_alarms(
            self, settings, self.alerts, function=self.function, mappings=mappings, expect_changes=expect_changes
        )
        self.alarms = [*paging, *release.alarms]
        publish(self, settings, "function-name", self.function.function_name, "The function that writes Bronze")
        publish(self, settings, "function-arn", self.function.function_arn, "The function that writes Bronze")
        publish(self, settings, "alerts-topic-arn", self.alerts.topic_arn, "The SNS topic that alarms are sent to")
        given_up = self._given_up.bucket_name
        publish(self, settings, "given-up-bucket", given_up, "What Lambda gave up, for medallion redrive --given-up")

    def _let_publish(self, sid: str, service: str) -> None:
        """Let a service publish to the topic, for this account."""
        self.alerts.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                resources=[self.alerts.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self._settings.account}},
            )
        )

    def _bucket(self, access_logs: s3.IBucket) -> s3.Bucket:
        """The on-failure destination of the mappings. What is in it stays until it is redriven."""
        settings = self._settings
        return private_bucket(
            self,
            "GivenUp",
            settings,
            settings.given_up_bucket,
            versioned=True,
            access_logs=access_logs,
            access_logs_prefix="given-up/",
            holds_data=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="redriven",
                    noncurrent_version_expiration=Duration.days(settings.retention.overwritten_days),
                    expired_object_delete_marker=True,
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )

    def _table(self, source: Source) -> dynamodb.Table:
        keys = [dynamodb.Attribute(name=column.attribute, type=_key_type(column)) for column in source.key_columns]
        table = dynamodb.Table(
            self,
            f"Table{source.name}",
            table_name=self._settings.source_name(source.table),
            partition_key=keys[0],
            sort_key=keys[1] if len(keys) > 1 else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._settings.protected,
            removal_policy=removal_policy(self._settings),
        )
        accept(table, CKV_AWS_119="encrypted with the account's DynamoDB key; a production table is the application's")
        return table

    def _role(self, domain: Domain) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            role_name=f"{self._settings.prefix}-capture",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description="Capture: reads the domain's streams, puts Bronze objects",
        )
        access.grant_to(
            role,
            *access.write_bronze(self._settings, domain),
            *access.give_up(self._settings),
            *access.decrypt_tables(self._settings),
            *access.use_data_key(self._settings),
            *(access.write_traces() if self._settings.telemetry.capture_layer_arn else ()),
        )
        return role

    def _function(self, role: iam.Role, package: Path) -> lambda_.Function:
        settings = self._settings
        name = f"{settings.prefix}-capture"
        group = log_group(self, "Log", settings, f"/aws/lambda/{name}")
        group.grant_write(role)
        function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            description=f"Stream records to Bronze objects in {settings.bronze}",
            code=lambda_.Code.from_asset(str(package)),
            handler=HANDLER,
            runtime=lambda_.Runtime(f"python{settings.capture.python}", lambda_.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[settings.capture.architecture],
            memory_size=settings.capture.memory_mb,
            timeout=Duration.seconds(DEPLOYED.timeout_s),
            role=role,
            log_group=group,
            environment={
                "MEDALLION_BRONZE": settings.bronze,
                **settings.source_tables,
                **settings.kinesis_tables,
                **settings.traces_to(settings.telemetry.capture),
            },
            layers=[lambda_.LayerVersion.from_layer_version_arn(self, "Collector", layer)]
            if (layer := settings.telemetry.capture_layer_arn)
            else None,
        )
        acknowledge(function, "AwsSolutions-L1", "one version behind the newest: its wheels have been out for a year")
        accept(
            function,
            CKV_AWS_115="one instance per shard: a limit below the number of shards would hold capture back",
            CKV_AWS_116="what the event source mapping gives up goes to a bucket",
            CKV_AWS_117="it calls S3 only; from inside a VPC its traffic would pay for a gateway",
            CKV_AWS_173="the variable holds the name of a bucket; it is encrypted with Lambda's own key",
        )
        return function

    def _mapping(
        self, source: Source, stream_arn: str, role: iam.Role, target: lambda_.IFunction
    ) -> lambda_.EventSourceMapping:
        # For the preflight, which compares it with the table.
        # By their first letter, S, N and B are DynamoDB's own names of the types.
        key = [
            {"AttributeName": column.attribute, "AttributeType": _key_type(column).value[0]}
            for column in source.key_columns
        ]
        return self._map(
            source.name,
            stream_arn,
            access.read_stream(stream_arn, source.table),
            role,
            target,
            max_record_age_s=DEPLOYED.max_record_age_s,
            metadata={"Key": key},
        )

    def _kinesis_mapping(
        self, source: KinesisSource, role: iam.Role, target: lambda_.IFunction
    ) -> lambda_.EventSourceMapping:
        """One mapping for all tables of a stream of Kinesis."""
        return self._map(
            f"Kinesis{source.name}",
            source.stream,
            access.read_kinesis(source.stream, source.name),
            role,
            target,
            max_record_age_s=source.retention_hours * 3_600,
            metadata={"Tables": [self._settings.source_name(table) for table in source.tables]},
        )

    def _map(
        self,
        name: str,
        stream_arn: str,
        grant: access.Grant,
        role: iam.Role,
        target: lambda_.IFunction,
        *,
        max_record_age_s: float | None,
        metadata: Mapping[str, object],
    ) -> lambda_.EventSourceMapping:
        policy = iam.Policy(self, f"Stream{name}", statements=[grant.statement], roles=[role])
        mapping = lambda_.EventSourceMapping(
            self,
            f"Mapping{name}",
            target=target,
            event_source_arn=stream_arn,
            starting_position=lambda_.StartingPosition[DEPLOYED.starting_position],
            batch_size=DEPLOYED.batch_size,
            max_batching_window=Duration.seconds(DEPLOYED.window_s),
            report_batch_item_failures=DEPLOYED.report_item_failures,
            bisect_batch_on_error=DEPLOYED.bisect,
            parallelization_factor=DEPLOYED.parallelization_factor,
            metrics_config=lambda_.MetricsConfig(metrics=[lambda_.MetricType.EVENT_COUNT]),
        )
        # The CDK takes no -1, which is AWS's "no limit", and would let the function read and write all of the bucket.
        resource = mapping.node.default_child
        assert isinstance(resource, CfnResource)  # noqa: S101 - a mapping is one resource
        limits = {"MaximumRetryAttempts": DEPLOYED.max_retries, "MaximumRecordAgeInSeconds": max_record_age_s}
        for setting, limit in limits.items():
            resource.add_property_override(setting, -1 if limit is None else int(limit))
        for key, value in metadata.items():
            resource.add_metadata(key, value)
        destination = {"OnFailure": {"Destination": self._given_up.bucket_arn}}
        resource.add_property_override("DestinationConfig", destination)
        # Lambda tries the destination and the stream when the mapping is made.
        mapping.node.add_dependency(policy, role)
        return mapping


def _key_type(column: Column) -> dynamodb.AttributeType:
    match column.type.kind:
        case "string":
            return dynamodb.AttributeType.STRING
        case "binary":
            return dynamodb.AttributeType.BINARY
        case _:
            return dynamodb.AttributeType.NUMBER


_ARCHITECTURES: Final = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}
