"""Read and write the files of tables on S3 with as few requests as the protocol allows.

A table's files never change under their names. So a file of metadata or a manifest is fetched once and kept, one that
this process wrote is not fetched at all, and nothing asks whether a new name is taken: it has a random part. Small
files are written in one request.

Belongs here: bytes by name. Does not belong here: which file is the current one (catalogs).
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import pyarrow as pa
from botocore.exceptions import ClientError
from pyarrow.fs import FileSystem, S3FileSystem
from pyiceberg.io import FileIO, InputStream, OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.utils.concurrent import ExecutorFactory

from medallion_assets.lake.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

KEPT_SUFFIXES: Final = (".metadata.json", ".avro")
KEPT_BYTES: Final = 64 * 1024 * 1024
"""How much is kept: the metadata of a hundred tables."""


class Kept(Generic[T]):
    """What was read, by the location of its file, of bounded size; what was not asked for longest goes first.

    Threads may share it.
    """

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._limit = limit
        self._size = size
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()
        self._reading = OneAtATime()

    def get(self, location: str) -> T | None:
        """Return what is kept of a file; None if nothing is."""
        with self._lock:
            found = self._kept.get(location)
            if found is not None:
                self._kept.move_to_end(location)
            return found

    def get_or_read(self, location: str, read: Callable[[], T]) -> T:
        """Return what is kept of a file; else what `read` returns, which one thread does while others wait for it."""
        with self._reading.alone(location):
            content = self.get(location)
            if content is None:
                content = read()
                self.keep(location, content)
            return content

    def keep(self, location: str, content: T) -> None:
        """Keep the content of a file."""
        with self._lock:
            self._forget(location)
            self._kept[location] = content
            self._total += self._size(content)
            while self._total > self._limit:
                self._forget(next(iter(self._kept)))

    def items(self) -> list[tuple[str, T]]:
        """Return everything that is kept, by location; what was asked for last comes last."""
        with self._lock:
            return list(self._kept.items())

    def forget(self, location: str) -> None:
        """Keep a file no longer, if it is kept."""
        with self._lock:
            self._forget(location)

    def _forget(self, location: str) -> None:
        content = self._kept.pop(location, None)
        self._total -= self._size(content) if content is not None else 0


_files: Kept[bytes] = Kept(KEPT_BYTES, len)


def delete_files(io: FileIO, locations: Iterable[str]) -> None:
    """Delete files, several at a time. One that is gone already is no error."""

    def delete(location: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            io.delete(location)

    list(ExecutorFactory.get_or_create().map(delete, locations))


def read_file(io: FileIO, location: str) -> bytes:
    """Return the content of a file, in one request, and do not keep it. For a file that is needed as a whole."""
    if isinstance(io, S3FileIO):
        return io.fetch(location)
    with io.new_input(location).open() as stream:
        return stream.read()


class S3FileIO(PyArrowFileIO):
    """pyiceberg's file access to S3. `client` reads metadata files: Arrow would ask for their size first."""

    def __init__(self, filesystem: S3FileSystem, client: S3Client) -> None:
        super().__init__()
        self._filesystem = filesystem
        self._client = client
        self._kept = _files

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> FileSystem:
        if scheme not in {"s3", "s3a", "s3n"}:
            raise ValueError(f"{scheme}: a table of a lake on S3 has files on S3 only")
        return self._filesystem

    def new_input(self, location: str) -> PyArrowFile:
        """Return the file to read."""
        return self._file(location)

    def new_output(self, location: str) -> PyArrowFile:
        """Return the file to write."""
        return self._file(location)

    def delete(self, location: Any) -> None:
        """Delete a file."""
        name = location if isinstance(location, str) else location.location
        self._kept.forget(name)
        super().delete(name)

    def fetch(self, location: str) -> bytes:
        """Return the content of a file from S3."""
        _, _, path = self.parse_location(location, self.properties)
        return _fetch(self._client, path, location)

    def _file(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        kind = _KeptFile if location.endswith(KEPT_SUFFIXES) else _NewFile
        file = kind(fs=self.fs_by_scheme(scheme, netloc), location=location, path=path)
        if isinstance(file, _KeptFile):
            file.kept, file.client = self._kept, self._client
        return file


class _NewFile(PyArrowFile):
    """A file whose name nobody else takes."""

    def create(self, overwrite: bool = False) -> OutputStream:
        return super().create(overwrite=True)


class _KeptFile(_NewFile):
    """A small file that is read and written as a whole."""

    kept: Kept[bytes]
    client: S3Client

    def __len__(self) -> int:
        content = self.kept.get(self.location)
        return super().__len__() if content is None else len(content)

    def exists(self) -> bool:
        return self.kept.get(self.location) is not None or super().exists()

    def open(self, seekable: bool = True) -> InputStream:
        content = self.kept.get_or_read(self.location, lambda: _fetch(self.client, self._path, self.location))
        return cast(InputStream, pa.BufferReader(content))

    def create(self, overwrite: bool = False) -> OutputStream:
        return cast(OutputStream, _Written(self, super().create()))


def _fetch(client: S3Client, path: str, location: str) -> bytes:
    bucket, _, key = path.partition("/")
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as answer:
        if answer.response["Error"]["Code"] == "NoSuchKey":
            raise FileNotFoundError(f"{location} does not exist") from answer
        raise


class _Written:
    """A stream whose bytes are kept once they are stored."""

    def __init__(self, file: _KeptFile, stream: OutputStream) -> None:
        self._file = file
        self._stream = stream
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return self._stream.write(part)

    def tell(self) -> int:
        return sum(map(len, self._parts))

    def close(self) -> None:
        self._stream.close()
        self._file.kept.keep(self._file.location, b"".join(self._parts))

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._stream.__exit__(kind, error, trace)
