"""The store of Bronze objects: an S3 prefix, or a directory.

Belongs here: put, list, read, remove and the address of an object, with the same meaning in both places. Does not
belong here: the two places (file_store, s3_store), what names mean (naming), and which of them are new (position).
Paths are relative to the Bronze root. Listings have `.parquet` objects only, unless another suffix is asked for: a
folder marker or a `_SUCCESS` file of another tool is not a change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECT_SUFFIX: Final = ".parquet"


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

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        """Yield the `.parquet` objects below `table` as `list` does, with their size and tag."""

    def read(self, path: str) -> bytes:
        """Return an object's bytes. Raises CorruptObject when there is no such object."""

    def remove(self, path: str) -> None:
        """Remove an object; one that is gone is no error."""

    def uri(self, path: str) -> str:
        """Return the address that DuckDB reads: `s3://bucket/key`, or a file path."""


def open_store(url: str, *, client: "S3Client | None" = None) -> BronzeStore:
    """Return the store at `s3://bucket/prefix`, or in a directory; nothing is read or written until it is used.

    Region, endpoint and credentials are boto3's own. `client` replaces the client that it would create on first use.
    Raises SettingsError for any other URL.
    """
    from medallion_assets.capture.file_store import FileStore
    from medallion_assets.capture.s3_store import S3Store

    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SettingsError(f"Bronze store {url!r} has no bucket; expected s3://<bucket>/<prefix>")
        return S3Store(bucket, prefix.strip("/"), client=client)
    if not url or "://" in url:
        raise SettingsError(f"Bronze store {url!r} is neither s3://<bucket>/<prefix> nor a directory")
    return FileStore(Path(url))


def object_prefix(table: str, day: date | None) -> str:
    """Return the prefix of the paths of a table's objects, of one capture day if given."""
    return f"{table}/" + (f"year={day:%Y}/month={day:%m}/day={day:%d}/" if day else "")
