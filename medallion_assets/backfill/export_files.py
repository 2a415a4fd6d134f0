"""The files of an export, in a folder or below `s3://bucket/prefix`, read as streams.

Belongs here: opening a file and its size. Does not belong here: what the files say (export).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class ExportFiles(Protocol):
    """The folder of an export, in which DynamoDB writes its manifests. Paths are relative to it, `..` is allowed."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file. Raises FileNotFoundError, SettingsError, and botocore's errors."""

    def uri(self, path: str) -> str:
        """Return the address of a file, for messages."""


def open_export_files(location: str, *, client: S3Client | None = None) -> ExportFiles:
    """Return the files at a folder or `s3://bucket/prefix`; nothing is read. Raises SettingsError for another URL."""
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket or not prefix.strip("/"):
            raise SettingsError(f"{location!r} is no export; expected s3://<bucket>/<prefix>/AWSDynamoDB/<export id>")
        return _InS3(bucket, prefix.strip("/"), client)
    if "://" in location:
        raise SettingsError(f"{location!r} is neither a folder nor s3://<bucket>/<prefix>/AWSDynamoDB/<export id>")
    return _InFolder(Path(location))


class _InFolder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        try:
            return (self._root / path).open("rb")
        except PermissionError as refused:
            raise SettingsError(
                f"{self.uri(path)} cannot be read: {refused.strerror}. Let this user read it."
            ) from refused

    def uri(self, path: str) -> str:
        return str((self._root / path).resolve())


class _InS3:
    def __init__(self, bucket: str, prefix: str, client: S3Client | None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = client

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        if self._client is None:
            import boto3

            self._client = boto3.client("s3")
        try:
            body: Any = self._client.get_object(Bucket=self._bucket, Key=self._key(path))["Body"]
        except self._client.exceptions.NoSuchKey as error:
            raise FileNotFoundError(self.uri(path)) from error
        return closing(body)

    def uri(self, path: str) -> str:
        return f"s3://{self._bucket}/{self._key(path)}"

    def _key(self, path: str) -> str:
        parts = self._prefix.split("/")
        while path.startswith("../"):
            path, parts = path.removeprefix("../"), parts[:-1]
        return "/".join([*parts, path])
