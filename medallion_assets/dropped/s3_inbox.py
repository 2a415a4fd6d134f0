"""Dropped files below an S3 prefix.

Belongs here: the calls to S3. Does not belong here: what the keys mean (inbox). A put of S3 is whole, so every listed
object is written completely.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from medallion_assets.dropped.inbox import DroppedFile, is_folder, is_waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES: Final = 8 * 1024 * 1024
_GONE: Final = frozenset({"NoSuchKey", "404", "412", "PreconditionFailed"})


class S3Inbox:
    """A prefix with a folder for each table. The client is made on first use."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def _client(self) -> S3Client:
        import boto3

        return boto3.client("s3")

    def waiting(self, table: str) -> Iterator[DroppedFile]:
        """List the table's folder, 1,000 keys a call."""
        folder = f"{self._prefix}{table}/"
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder):
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(folder)
                if is_waiting(name) and name:
                    yield DroppedFile(table, name, found["Size"], found["ETag"], found["LastModified"])

    def folders(self) -> list[str]:
        """List the root with a delimiter."""
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, Delimiter="/")
        names = [one["Prefix"].removeprefix(self._prefix).rstrip("/") for one in found.get("CommonPrefixes", ())]
        return sorted(filter(is_folder, names))

    def fetch(self, file: DroppedFile, folder: Path) -> Path | None:
        """Download the object, if it has its tag."""
        target = folder / "dropped"
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=self._key(file.path), IfMatch=file.tag)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise
        with target.open("wb") as out:
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                out.write(chunk)
        return target

    def is_same(self, file: DroppedFile) -> bool:
        """Ask for the object's tag."""
        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._key(file.path))["ETag"] == file.tag
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return False
            raise

    def move(self, file: DroppedFile, path: str) -> None:
        """Copy the object and delete it. One that was written again meanwhile stays, and is another file."""
        if not self.is_same(file):
            return
        key = self._key(file.path)
        # Copies in parts what is larger than the 5 GB of one call.
        self._client.copy({"Bucket": self._bucket, "Key": key}, self._bucket, self._key(path))
        if self.is_same(file):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def put(self, path: str, data: bytes) -> None:
        """Put one object."""
        self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=data)

    def uri(self, path: str) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self._bucket}/{self._key(path)}"

    def _key(self, path: str) -> str:
        return f"{self._prefix}{path}"
