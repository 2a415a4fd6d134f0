"""Bronze in an S3 bucket.

Belongs here: the calls to S3, and its errors as ours. Does not belong here: the meaning of keys (naming).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Final

from medallion_assets.capture.store import OBJECT_SUFFIX, Entry, object_prefix
from medallion_assets.errors import CorruptObject, LakeUnavailable, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3's error codes that another attempt does not change; all others may be temporary.
_REFUSALS: Final = frozenset(
    {
        "NoSuchBucket",
        "InvalidBucketName",
        "AccessDenied",
        "403",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "PermanentRedirect",
    }
)


class S3Store:
    """Bronze below an S3 prefix. boto3 is imported and its client is created on first use."""

    def __init__(self, bucket: str, prefix: str, *, client: "S3Client | None" = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._cached_client = client
        self._creating = threading.Lock()

    def put(self, path: str, data: bytes) -> None:
        """Put one object; S3 makes it visible as a whole."""
        with self._translate_errors(path):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=data)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """List with StartAfter, 1,000 keys a call."""
        return (entry.path for entry in self._listed(table, object_prefix(table, day), after, suffix))

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """List as `list` does, with each object's size and ETag."""
        return self._listed(table, object_prefix(table, day), after, OBJECT_SUFFIX)

    def _listed(self, table: str, prefix: str, after: str | None, suffix: str) -> Iterator[Entry]:
        with self._translate_errors(table):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix, StartAfter=self._prefix + after if after else ""
            ):
                for found in page.get("Contents", ()):
                    if found["Key"].endswith(suffix):
                        yield Entry(found["Key"][len(self._prefix) :], found["Size"], found["ETag"].strip('"'))

    def read(self, path: str) -> bytes:
        """Return an object's bytes. Raises CorruptObject when there is no such object."""
        with self._translate_errors(path):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)["Body"].read()
            except self._client.exceptions.NoSuchKey as error:
                raise CorruptObject(
                    f"Bronze object {self.uri(path)} is missing; restore it. Readers stop here and skip nothing"
                ) from error

    def remove(self, path: str) -> None:
        """Delete one object; in a bucket with versions its bytes stay as an older version."""
        with self._translate_errors(path):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    def uri(self, path: str) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self._bucket}/{self._prefix}{path}"

    @property
    def _client(self) -> "S3Client":
        with self._creating:  # boto3 creates clients of one session in one thread at a time
            if self._cached_client is None:
                self._cached_client = _create_client()
            return self._cached_client

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _REFUSALS:
                raise SettingsError(
                    f"S3 refused {self.uri(what)} ({code}): the bucket {self._bucket!r} must exist and the credentials "
                    "must be allowed to use it. Create it, or correct MEDALLION_BRONZE or the AWS_ variables."
                ) from error
            raise LakeUnavailable(f"S3 failed on {self.uri(what)} ({code}): {error} Try again.") from error
        except (NoCredentialsError, NoRegionError) as error:
            raise SettingsError(
                f"S3 cannot be reached for {self.uri(what)}: {error} Set the AWS_ variables."
            ) from error
        except BotoCoreError as error:
            raise LakeUnavailable(f"S3 did not answer for {self.uri(what)}: {error} Try again.") from error


def _create_client() -> "S3Client":
    import boto3
    from botocore.config import Config

    # The retries of one call end within three minutes; a reader waits 15 minutes for late names.
    return boto3.client(
        "s3",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 5},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=50,
        ),
    )
