"""Where a site is: a directory, or a prefix of a bucket.

Belongs here: put, look up and remove one file, with the headers that a browser is given. Does not belong here: which
files there are (files, write).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medallion_assets.errors import SettingsError
from medallion_assets.lake.outage import translate_outages
from medallion_assets.site.files import SiteFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class SitePlace(Protocol):
    """A place for the files of a site, by path. Methods raise SettingsError or LakeUnavailable."""

    def put(self, path: str, file: SiteFile) -> None:
        """Write a file; readers see all of it or what was there before."""

    def list(self, folder: str) -> Mapping[str, datetime]:
        """Return the paths of the files below a folder, each with when it was written (aware UTC)."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone is no error."""


def open_place(url: str, *, region: str) -> SitePlace:
    """Return the place `s3://bucket/prefix`, or a directory. Raises SettingsError for any other URL."""
    if url.startswith("s3://"):
        from medallion_assets.lake.aws import open_session

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SettingsError(f"The site {url!r} has no bucket; expected s3://<bucket>/<prefix> or a directory")
        return BucketPlace(open_session(region).client("s3"), bucket, prefix.strip("/"))
    if not url or "://" in url:
        raise SettingsError(f"The site {url!r} is neither s3://<bucket>/<prefix> nor a directory")
    return FolderPlace(Path(url).absolute())


class FolderPlace:
    """A directory, which any web server may serve."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, file: SiteFile) -> None:
        """Write a temporary file beside it and rename that."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".partial")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(file.content)
            temporary.chmod(0o644)  # a web server runs as somebody else
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def list(self, folder: str) -> Mapping[str, datetime]:
        """Walk the directory; files that are being written are left out."""
        found = {}
        for path in (self._root / folder).rglob("*"):
            with suppress(FileNotFoundError):  # somebody removed it after the directory was read
                if path.is_file() and not path.name.endswith(".partial"):
                    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    found[path.relative_to(self._root).as_posix()] = written_at
        return found

    def remove(self, path: str) -> None:
        """Unlink the file."""
        (self._root / path).unlink(missing_ok=True)


class BucketPlace:
    """A prefix of a bucket, with the headers that S3 and CloudFront hand on to browsers."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @translate_outages()
    def put(self, path: str, file: SiteFile) -> None:
        """Put the object; S3 makes it visible as a whole."""
        self._client.put_object(
            Bucket=self._bucket,
            Key=self._prefix + path,
            Body=file.content,
            ContentType=file.media_type,
            CacheControl=file.cache_control,
        )

    @translate_outages()
    def list(self, folder: str) -> Mapping[str, datetime]:
        """List the prefix, 1,000 keys a call."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"
        )
        return {
            found["Key"].removeprefix(self._prefix): found["LastModified"]
            for page in pages
            for found in page.get("Contents", ())
        }

    @translate_outages()
    def remove(self, path: str) -> None:
        """Delete the object."""
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)
