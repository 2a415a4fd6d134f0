"""Buckets: encrypted, never public, over TLS only, owned by the account, with their accesses logged.

Belongs here: what every bucket of the project has in common. Does not belong here: what is in it, and for how long
(the stacks and constructs that make one).
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.removal import removal_policy
from infra.settings import Environment


def private_bucket(
    scope: Construct,
    construct_id: str,
    settings: Environment,
    name: str,
    *,
    versioned: bool,
    lifecycle_rules: Sequence[s3.LifecycleRule],
    access_logs: s3.IBucket | None,
    access_logs_prefix: str | None = None,
    holds_data: bool = False,
    smallest_moved: s3.TransitionDefaultMinimumObjectSize | None = None,
) -> s3.Bucket:
    """Return a new bucket. `access_logs` is None only for the bucket that the access logs are written to.

    A bucket that `holds_data` has the environment's key, if there is one.
    """
    arn = settings.kms_key_arn if holds_data else None
    key = kms.Key.from_key_arn(scope, f"{construct_id}Key", arn) if arn is not None else None
    return s3.Bucket(
        scope,
        construct_id,
        bucket_name=name,
        encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        bucket_key_enabled=True if key else None,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        versioned=versioned,
        lifecycle_rules=list(lifecycle_rules),
        transition_default_minimum_object_size=smallest_moved,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=access_logs_prefix,
        removal_policy=removal_policy(settings),
    )
