"""The bucket of compute logs: what each step of a run printed.

Belongs here: the bucket, and who may read or write a log in it. Does not belong here: how Dagster is told to use it
(docker/dagster.yaml).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.access import Grant, grant
from infra.bucket import private_bucket
from infra.findings import accept
from infra.settings import Environment

_FOLDER: Final = "compute-logs"
_WILDCARD: Final = "a log's key holds its run and step"


class ComputeLogs(Construct):
    """A bucket whose objects expire with the environment's logs."""

    def __init__(self, scope: Construct, settings: Environment, *, access_logs: s3.IBucket) -> None:
        super().__init__(scope, "ComputeLogs")
        bucket = private_bucket(
            self,
            "Bucket",
            settings,
            settings.global_name("dagster"),
            versioned=False,
            access_logs=access_logs,
            access_logs_prefix="dagster/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(settings.retention.log_days),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        accept(bucket, CKV_AWS_21="what is in it is written once and expires")
        self.bucket = bucket
        # By name, not by reference: the bucket must not wait for the roles, nor the roles for the bucket.
        self._arn = settings.bucket_arn(settings.global_name("dagster"))

    def write(self) -> list[Grant]:
        """Return what a run needs to store its logs."""
        return [grant("WriteComputeLogs", ["s3:PutObject"], [f"{self._arn}/{_FOLDER}/*"], _WILDCARD)]

    def read(self) -> list[Grant]:
        """Return what the page needs to show them."""
        return [
            grant("ReadComputeLogs", ["s3:GetObject"], [f"{self._arn}/{_FOLDER}/*"], _WILDCARD),
            grant(
                "ListComputeLogs",
                ["s3:ListBucket"],
                [self._arn],
                conditions={"StringLike": {"s3:prefix": [f"{_FOLDER}/*"]}},
            ),
        ]
