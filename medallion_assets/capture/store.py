"""The store of Bronze objects: an S3 prefix, or a directory.

Belongs here: put, list, read and the address of an object, with the same meaning in both places. Does not belong here:
what the names mean (naming), and which of them are new (position). Paths are relative to the Bronze root. Listings have
`.parquet` objects only, unless another suffix is asked for: a folder marker or a `_SUCCESS` file of another tool is not
a change.
"""

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from medallion_assets.errors import CorruptObject, LakeUnavailable, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECT_SUFFIX: Final = ".parquet"

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


# Errors of a file system that only the owner of the machine can change.
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

# No write takes this long: the poller repeats one that took ten minutes, a Lambda function ends after fifteen.
_ABANDONED_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class Entry:
    """A Bronze object in a listing. `tag` changes when the object is written again, even with the same bytes."""

    path: str
    bytes: int
    tag: str


class BronzeStore(Protocol):
    """A place for Bronze objects. Methods raise LakeUnavailable (try again) or SettingsError (somebody must act)."""

    def put(self, path: str, data: bytes) -> None:
        """Write an object; readers see all of it or nothing, and it is durable when this returns."""

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """Yield the paths below `table` in order, strictly after the text `after`, of one capture day if given."""

    def entries(self, table: str, *, after: str | None = None) -> Iterator[Entry]:
        """Yield the `.parquet` objects below `table` as `list` does, with their size and tag."""

    def read(self, path: str) -> bytes:
        """Return an object's bytes. Raises CorruptObject when there is no such object."""

    def uri(self, path: str) -> str:
        """Return the address that DuckDB reads: `s3://bucket/key`, or a file path."""


def open_store(url: str, *, client: "S3Client | None" = None) -> BronzeStore:
    """Return the store at `s3://bucket/prefix`, or in a directory; nothing is read or written until it is used.

    Region, endpoint and credentials are boto3's own. `client` replaces the client that it would create on first use.
    Raises SettingsError for any other URL.
    """
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SettingsError(f"Bronze store {url!r} has no bucket; expected s3://<bucket>/<prefix>")
        return S3Store(bucket, prefix.strip("/"), client=client)
    if not url or "://" in url:
        raise SettingsError(f"Bronze store {url!r} is neither s3://<bucket>/<prefix> nor a directory")
    return FileStore(Path(url))


def _prefix(table: str, day: date | None) -> str:
    return f"{table}/" + (f"year={day:%Y}/month={day:%m}/day={day:%d}/" if day else "")


class FileStore:
    """Bronze in a directory, for tests, benchmarks and machines without S3.

    Files are written in `.partial/` below the root and then renamed. The next writer removes what a writer that died
    left there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partial = self._root / ".partial"
        self._cleaned = False

    def put(self, path: str, data: bytes) -> None:
        """Write to a temporary file, sync it, rename it, sync the directory."""
        target = self._root / path
        with self._translate_errors(path, "written"):
            self._clean()
            _make_durable(target.parent)
            handle, name = tempfile.mkstemp(dir=self._partial)
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_directory(target.parent)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """Walk the directories in the order in which S3 lists keys; skip those that end before `after`."""
        return self._walk(_prefix(table, day), after or "", suffix)

    def entries(self, table: str, *, after: str | None = None) -> Iterator[Entry]:
        """List with each file's size; its tag is its time of modification and its inode."""
        for path in self.list(table, after=after):
            try:
                found = (self._root / path).stat()
            except FileNotFoundError:
                continue  # It was deleted after the directory was read.
            yield Entry(path, found.st_size, f"{found.st_mtime_ns:x}-{found.st_ino:x}")

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises CorruptObject when there is no such file."""
        with self._translate_errors(path, "read"):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError as error:
                raise CorruptObject(
                    f"Bronze object {self._root / path} is missing; restore it. Readers stop here and skip nothing"
                ) from error

    def uri(self, path: str) -> str:
        """Return the absolute file path."""
        return str(self._root / path)

    def _walk(self, prefix: str, after: str, suffix: str) -> Iterator[str]:
        with self._translate_errors(prefix, "listed"):
            try:
                # A directory sorts with its slash, as its keys do.
                names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(self._root / prefix))
            except FileNotFoundError:
                return
        for path in (prefix + name for name in names):
            if path.endswith("/"):
                if path >= after[: len(path)]:
                    yield from self._walk(path, after, suffix)
            elif path > after and path.endswith(suffix):
                yield path

    def _clean(self) -> None:
        """Remove the files of dead writers, once per store; younger files may belong to living writers."""
        if self._cleaned:
            return
        self._partial.mkdir(parents=True, exist_ok=True)
        abandoned = time.time() - _ABANDONED_SECONDS
        for left in self._partial.iterdir():
            with suppress(FileNotFoundError):  # Another writer removed it first.
                if left.stat().st_mtime < abandoned:
                    left.unlink()
        self._cleaned = True

    @contextmanager
    def _translate_errors(self, path: str, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"Bronze's {self._root / path} cannot be {what}: {error.strerror or error}."
            if error.errno in _FORBIDDEN:
                raise SettingsError(f"{problem} Give this user the permission, or correct MEDALLION_BRONZE.") from error
            raise LakeUnavailable(f"{problem} Fix the cause and try again.") from error


def _make_durable(directory: Path) -> None:
    """Create a directory so that it survives a power cut, with its content."""
    missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for created in missing:
        _sync_directory(created.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class S3Store:
    """Bronze below an S3 prefix. boto3 is imported and its client is created on first use."""

    def __init__(self, bucket: str, prefix: str, *, client: "S3Client | None" = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._cached_client = client

    def put(self, path: str, data: bytes) -> None:
        """Put one object; S3 makes it visible as a whole."""
        with self._translate_errors(path):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=data)

    def list(
        self, table: str, *, after: str | None = None, day: date | None = None, suffix: str = OBJECT_SUFFIX
    ) -> Iterator[str]:
        """List with StartAfter, 1,000 keys a call."""
        return (entry.path for entry in self._listed(table, _prefix(table, day), after, suffix))

    def entries(self, table: str, *, after: str | None = None) -> Iterator[Entry]:
        """List as `list` does, with each object's size and ETag."""
        return self._listed(table, _prefix(table, None), after, OBJECT_SUFFIX)

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

    def uri(self, path: str) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self._bucket}/{self._prefix}{path}"

    @property
    def _client(self) -> "S3Client":
        if self._cached_client is None:
            import boto3
            from botocore.config import Config

            # The retries of one call end within three minutes; a reader waits 15 minutes for late names.
            self._cached_client = boto3.client(
                "s3",
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": 5},
                    connect_timeout=5,
                    read_timeout=30,
                    max_pool_connections=50,
                ),
            )
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
