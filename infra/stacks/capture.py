"""The Capture stack: what brings every change of the domain's tables into Bronze.

Belongs here: tables (where they are ours), the function, one event source mapping per contract, the queue for what it
gives up, alarms. The mapping's settings are those of our own poller; see `PollerSettings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import access
from infra.findings import accept, acknowledge
from infra.log_groups import log_group
from infra.package import HANDLER
from infra.settings import Environment
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Column, Contract

# One try to write takes at most three minutes with its own retries (capture.store); the sensor waits 15 for late names.
_TIMEOUT: Final = Duration.minutes(5)
# DynamoDB keeps a stream's records for 24 hours: six hours in the queue's sight leave 18 to repair from the stream.
_MAX_AGE: Final = Duration.hours(6)
_RETRIES: Final = 10


class CaptureStack(Stack):
    """Streams to Bronze."""

    def __init__(self, scope: Construct, settings: Environment, domain: Domain, *, package: Path) -> None:
        super().__init__(
            scope,
            "Capture",
            stack_name=f"{settings.prefix}-capture",
            env={"account": settings.account, "region": settings.region},
            description=f"Medallion assets: capture of {settings.environment}",
        )
        self._settings = settings
        self.failed = sqs.Queue(
            self,
            "Failed",
            queue_name=f"{settings.prefix}-capture-failed",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        acknowledge(self.failed, "AwsSolutions-SQS3", "this is the queue that failed batches end in")
        accept(self.failed, CKV_AWS_27="encrypted with SQS's own key; the check knows KMS keys only")
        self.alerts = sns.Topic(self, "Alerts", topic_name=settings.alerts_topic, enforce_ssl=True)
        accept(self.alerts, CKV_AWS_26="alarms hold names and numbers; CloudWatch cannot use AWS's own key for a topic")
        # A policy of one's own replaces the default one, which lets the account's alarms in.
        self.alerts.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[self.alerts.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": settings.account}},
            )
        )
        if settings.alert_email:
            self.alerts.add_subscription(subscriptions.EmailSubscription(settings.alert_email))
        role = self._role(domain)
        self.function = self._function(role, package)
        for contract in domain.tables:
            stream = settings.sources.streams.get(contract.table) or self._table(contract).table_stream_arn
            assert stream is not None, contract.table  # noqa: S101 - a table with a stream has its ARN
            self._mapping(contract, stream, role)
        self._alarms()

    def _table(self, contract: Contract) -> dynamodb.Table:
        keys = [dynamodb.Attribute(name=column.attribute, type=_key_type(column)) for column in contract.key_columns]
        keep = self._settings.keep_data
        table = dynamodb.Table(
            self,
            f"Table{contract.lake_name}",
            table_name=contract.table,
            partition_key=keys[0],
            sort_key=keys[1] if len(keys) > 1 else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=keep,
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
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
        access.grant_to(role, *access.write_bronze(self._settings, domain))
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
            timeout=_TIMEOUT,
            role=role,
            log_group=group,
            environment={"MEDALLION_BRONZE": settings.bronze},
        )
        acknowledge(function, "AwsSolutions-L1", "one version behind the newest: its wheels have been out for a year")
        accept(
            function,
            CKV_AWS_115="one instance per shard: a limit below the number of shards would hold capture back",
            CKV_AWS_116="what the event source mapping gives up goes to its dead-letter queue",
            CKV_AWS_117="it calls S3 and SQS only; from inside a VPC its traffic would pay for a gateway",
            CKV_AWS_173="the variable holds the name of a bucket; it is encrypted with Lambda's own key",
        )
        return function

    def _mapping(self, contract: Contract, stream_arn: str, role: iam.Role) -> None:
        policy = iam.Policy(
            self,
            f"Stream{contract.lake_name}",
            statements=[access.read_stream(stream_arn, contract.table).statement],
            roles=[role],
        )
        mapping = lambda_.EventSourceMapping(
            self,
            f"Mapping{contract.lake_name}",
            target=self.function,
            event_source_arn=stream_arn,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=1_000,
            max_batching_window=Duration.seconds(1),
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            retry_attempts=_RETRIES,
            max_record_age=_MAX_AGE,
            on_failure=sources.SqsDlq(self.failed),
        )
        mapping.node.add_dependency(policy)

    def _alarms(self) -> None:
        notify = actions.SnsAction(self.alerts)
        minute = Duration.minutes(1)
        function, queue = self.function, self.failed
        age = function.metric("IteratorAge", statistic="Maximum", period=minute)
        waiting = queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=minute)
        for name, metric, threshold, minutes, meaning in (
            ("iterator-age", age, 300_000, 5, "Changes wait five minutes and more before they are captured (ms)."),
            ("errors", function.metric_errors(period=minute), 1, 3, "The capture function fails."),
            ("throttles", function.metric_throttles(period=minute), 1, 3, "The capture function is not let run."),
            ("failed", waiting, 1, 1, "Capture gave changes up: Bronze lacks them until they are repaired."),
        ):
            alarm = cloudwatch.Alarm(
                self,
                f"Alarm-{name}",
                alarm_name=f"{self._settings.prefix}-capture-{name}",
                alarm_description=f"{meaning} See docs/runbook.md.",
                metric=metric,
                threshold=threshold,
                evaluation_periods=minutes,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(notify)
            alarm.add_ok_action(notify)


def _key_type(column: Column) -> dynamodb.AttributeType:
    match column.type.kind:
        case "string":
            return dynamodb.AttributeType.STRING
        case "binary":
            return dynamodb.AttributeType.BINARY
        case _:
            return dynamodb.AttributeType.NUMBER


_ARCHITECTURES: Final = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}
