"""The Lake stack: the buckets, the Glue databases with Bronze as external tables, and Athena.

Belongs here: where data lies and how it is found. All layers but Bronze are databases only: their tables are Iceberg's,
which the pipeline makes and changes itself. Does not belong here: who may use them (access).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.bucket import private_bucket
from infra.findings import accept, acknowledge
from infra.outputs import publish
from infra.removal import removal_policy
from infra.settings import LAYERS, AthenaEngine, Environment
from medallion_assets.contracts.loader import Domain, Source

BRONZE_COLUMNS: Final = {
    "event_id": "string",
    "event_name": "string",
    "table_name": "string",
    "sequence_number": "string",
    "approximate_creation_time": "timestamp",
    "keys": "string",
    "new_image": "string",
    "old_image": "string",
    "user_identity": "string",
    "stream_arn": "string",
    "captured_at": "timestamp",
}
"""Bronze as Athena names its types; a test holds it against the objects that capture writes."""

_GIB: Final = 1024**3


class LakeStack(Stack):
    """Buckets, databases, Bronze tables, a workgroup for people, and one for the marts if Athena computes them."""

    def __init__(self, scope: Construct, settings: Environment, domain: Domain) -> None:
        super().__init__(
            scope,
            "Lake",
            stack_name=f"{settings.prefix}-lake",
            env={"account": settings.account, "region": settings.region},
            termination_protection=settings.protected,
            description=f"Medallion assets: the lake of {settings.environment}",
        )
        self._settings = settings
        keep = settings.retention
        self.logs = private_bucket(
            self,
            "Logs",
            settings,
            settings.global_name("logs"),
            versioned=False,
            access_logs=None,
            lifecycle_rules=[s3.LifecycleRule(id="expire", expiration=Duration.days(keep.access_log_days)), _UPLOADS],
        )
        self.lake = self._bucket()
        if settings.orchestrator.notify_arrivals:
            self._notify_arrivals()
        self.results = private_bucket(
            self,
            "Results",
            settings,
            settings.global_name("athena"),
            versioned=False,
            access_logs=self.logs,
            access_logs_prefix="athena/",
            holds_data=True,
            lifecycle_rules=[s3.LifecycleRule(id="expire", expiration=Duration.days(keep.query_result_days)), _UPLOADS],
        )
        written_once = "what is in it is written once and expires"
        accept(self.logs, CKV_AWS_18="access logs of the logs would log themselves", CKV_AWS_21=written_once)
        accept(self.results, CKV_AWS_21=written_once)
        databases = {layer: self._database(layer) for layer in LAYERS}
        for source in domain.sources.values():
            self._bronze_table(source, domain).add_resource_dependency(databases["bronze"])
        self.workgroup = workgroup(
            self, settings, self.results, name=settings.prefix, scan_limit_gb=settings.athena.scan_limit_gb
        )
        if isinstance(settings.engine, AthenaEngine):
            limit = settings.engine.scan_limit_gb
            workgroup(self, settings, self.results, id="Marts", name=settings.marts_workgroup, scan_limit_gb=limit)
        publish(self, settings, "bucket-name", self.lake.bucket_name, "The bucket of all layers")
        publish(self, settings, "bucket-arn", self.lake.bucket_arn, "The bucket of all layers")
        publish(self, settings, "bronze-url", settings.bronze, "Where Bronze objects are, one folder per table")
        publish(self, settings, "warehouse-url", settings.warehouse, "Where the Iceberg tables are")
        for layer, database in databases.items():
            publish(self, settings, f"glue-database/{layer}", database.ref, f"The Glue database of {layer}")
        publish(self, settings, "results-bucket-arn", self.results.bucket_arn, "The bucket of the results of queries")
        publish(self, settings, "workgroup-name", self.workgroup.ref, "The Athena workgroup for people")

    def _bucket(self) -> s3.IBucket:
        """Return the bucket of all layers: the one that exists, or a new one."""
        settings, keep = self._settings, self._settings.retention
        if settings.lake_bucket is not None:
            return s3.Bucket.from_bucket_name(self, "Bucket", settings.lake_bucket)
        return private_bucket(
            self,
            "Bucket",
            settings,
            settings.bucket,
            versioned=True,
            access_logs=self.logs,
            access_logs_prefix="lake/",
            holds_data=True,
            # Colder classes bill a smaller object as one of 128 KB, and its move: it would cost more there, not less.
            smallest_moved=s3.TransitionDefaultMinimumObjectSize.ALL_STORAGE_CLASSES_128_K,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="bronze-grows-cold",
                    prefix="bronze/",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.INFREQUENT_ACCESS, transition_after=Duration.days(90)
                        ),
                        # Instant retrieval: any day can be rerun at any time, without a restore before it.
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=Duration.days(180),
                        ),
                    ],
                ),
                # Of rules that overlap the shorter time counts.
                _overwritten("overwritten", "warehouse/", keep.overwritten_days),
                _overwritten("copies-overwritten", "bronze/_compacted/", keep.overwritten_days),
                _overwritten("bronze-overwritten", "bronze/", keep.bronze_overwritten_days),
                _UPLOADS,
            ],
        )

    def _notify_arrivals(self) -> None:
        """Make the queue to which the bucket sends a notification of each new Bronze object.

        The sensor lists everything every five minutes, so a message is of no use after that, and nobody deletes one: it
        is hidden when it was received, and expires.
        """
        useful = Duration.minutes(5)
        queue = sqs.Queue(
            self,
            "Arrivals",
            queue_name=self._settings.arrivals_queue,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=useful,
            visibility_timeout=useful,
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(queue, "AwsSolutions-SQS3", "what nobody received in time is found by a listing")
        accept(queue, CKV_AWS_27="encrypted with SQS's own key; the check knows KMS keys only")
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="BucketTells",
                actions=["sqs:SendMessage"],
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                resources=[queue.queue_arn],
                conditions={
                    # By its name: the bucket is made after this policy, which S3 tries with a message.
                    "ArnEquals": {"aws:SourceArn": self._settings.bucket_arn(self._settings.bucket)},
                    "StringEquals": {"aws:SourceAccount": self._settings.account},
                },
            )
        )
        if self._settings.lake_bucket is not None:
            return  # who owns the bucket adds the notification; docs/deploy.md says which
        bucket = self.lake.node.default_child
        assert isinstance(bucket, s3.CfnBucket)  # noqa: S101 - what the construct makes
        # Not add_event_notification: it brings a function of its own that may change the bucket.
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[
                                s3.CfnBucket.FilterRuleProperty(name="prefix", value="bronze/"),
                                s3.CfnBucket.FilterRuleProperty(name="suffix", value=".parquet"),
                            ]
                        )
                    ),
                )
            ]
        )
        for child in queue.node.find_all():
            if isinstance(child, sqs.CfnQueuePolicy):
                bucket.add_resource_dependency(child)

    def _database(self, layer: str) -> glue.CfnDatabase:
        database = glue.CfnDatabase(
            self,
            f"Database{layer.title()}",
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=self._settings.database(layer),
                description=f"{layer.title()} of {self._settings.prefix}",
                location_uri=self._settings.bronze if layer == "bronze" else f"{self._settings.warehouse}/{layer}",
            ),
        )
        database.apply_removal_policy(removal_policy(self._settings))
        return database

    def _bronze_table(self, source: Source, domain: Domain) -> glue.CfnTable:
        """Bronze of one table as Athena sees it: the days are computed, so nothing crawls and nothing is registered."""
        location = f"{self._settings.bronze}/{source.table}"
        return glue.CfnTable(
            self,
            f"Bronze{source.name}",
            catalog_id=self.account,
            database_name=self._settings.database("bronze"),
            table_input=glue.CfnTable.TableInputProperty(
                name=source.name,
                description=f"Every captured change of {source.table}, as sent",
                table_type="EXTERNAL_TABLE",
                parameters={
                    "EXTERNAL": "TRUE",
                    "classification": "parquet",
                    "projection.enabled": "true",
                    # As a date the year ends with today's; a fixed last year would be listed, or reached.
                    "projection.year.type": "date",
                    "projection.year.format": "yyyy",
                    "projection.year.range": f"{domain.since.year},NOW",
                    "projection.year.interval": "1",
                    "projection.year.interval.unit": "YEARS",
                    "projection.month.type": "integer",
                    "projection.month.range": "1,12",
                    "projection.month.digits": "2",
                    "projection.day.type": "integer",
                    "projection.day.range": "1,31",
                    "projection.day.digits": "2",
                    "storage.location.template": f"{location}/year=${{year}}/month=${{month}}/day=${{day}}",
                },
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name=name, type="string", comment="of the capture day, UTC")
                    for name in ("year", "month", "day")
                ],
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=f"{location}/",
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name, type=kind) for name, kind in BRONZE_COLUMNS.items()
                    ],
                    input_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
                    ),
                ),
            ),
        )


_UPLOADS: Final = s3.LifecycleRule(id="aborted-uploads", abort_incomplete_multipart_upload_after=Duration.days(1))


def _overwritten(id: str, prefix: str, days: int) -> s3.LifecycleRule:
    """A rule that removes overwritten and deleted objects after some days, and what marks a deleted one after that."""
    return s3.LifecycleRule(
        id=id,
        prefix=prefix,
        noncurrent_version_expiration=Duration.days(days),
        expired_object_delete_marker=True,
    )


def workgroup(
    scope: Construct,
    settings: Environment,
    results: s3.IBucket,
    *,
    name: str,
    scan_limit_gb: int,
    id: str = "Workgroup",
) -> athena.CfnWorkGroup:
    """A workgroup on engine version 3 that cancels a query at its limit; clients cannot choose otherwise."""
    return athena.CfnWorkGroup(
        scope,
        id,
        name=name,
        description=f"Queries of {settings.prefix}; cancelled beyond {scan_limit_gb} GiB scanned",
        recursive_delete_option=not settings.keep_data,
        work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
            enforce_work_group_configuration=True,
            publish_cloud_watch_metrics_enabled=True,
            bytes_scanned_cutoff_per_query=scan_limit_gb * _GIB,
            engine_version=athena.CfnWorkGroup.EngineVersionProperty(selected_engine_version="Athena engine version 3"),
            result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                output_location=f"s3://{results.bucket_name}/{name}/",
                expected_bucket_owner=settings.account,
                encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                    encryption_option="SSE_KMS" if settings.kms_key_arn else "SSE_S3", kms_key=settings.kms_key_arn
                ),
            ),
        ),
    )
