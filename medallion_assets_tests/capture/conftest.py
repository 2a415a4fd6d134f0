"""A bucket of the test's own: bucket names are shared by all accounts, as on AWS."""

from __future__ import annotations

import uuid

import boto3
import pytest

from medallion_assets.local.emulator import Emulator
from medallion_assets_tests.fixtures.disk import disk

__all__ = ["bucket", "disk"]


@pytest.fixture
def bucket(aws: Emulator) -> str:
    """An empty bucket in the test's account."""
    name = f"bronze-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name
