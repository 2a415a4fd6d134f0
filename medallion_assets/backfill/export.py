"""An export of a DynamoDB table to S3, in the layout that AWS documents.

    <prefix>/AWSDynamoDB/<export id>/manifest-summary.json   written last: table, point in time, number of items
    <prefix>/AWSDynamoDB/<export id>/manifest-files.json     one line per data file: its key, items, MD5
    <prefix>/AWSDynamoDB/<export id>/data/*.json.gz          one line per item: {"Item": {...}}
    <prefix>/AWSDynamoDB/data/*.json.gz                      of incremental exports: one line per key that changed

Each manifest has its MD5 beside it (`.md5`; the documentation also says `.checksum`). Source: Amazon DynamoDB Developer
Guide, "DynamoDB table export output format". Belongs here: what the manifests say, and whether the files are as they
say. Does not belong here: what the items mean (bronze_rows).
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final

import orjson

from medallion_assets.backfill.export_files import ExportFiles
from medallion_assets.errors import SettingsError

_SUMMARY: Final = "manifest-summary.json"
_FILES: Final = "manifest-files.json"
_CHECKSUMS: Final = (".md5", ".checksum")
_READ_BYTES: Final = 4 * 1024 * 1024
_DATA_KEY: Final = re.compile(r"(?:.*/)?AWSDynamoDB/(?:(?P<export>[^/]+)/)?data/(?P<name>[^/]+)")


@dataclass(frozen=True)
class DataFile:
    """One data file: its path below the export's folder, its items, and its MD5 in base64."""

    path: str
    items: int
    md5: str


@dataclass(frozen=True)
class Export:
    """An export: all items of a table as they were at `at`, aware UTC. `bytes` is what it was billed for.

    An incremental one (`since`) has only the keys that changed from `since` to `at`, and their state at `at`.
    It was complete at `ended_at`. An export that is made from a scan has items as they were between the two.
    """

    id: str
    table_arn: str
    at: datetime
    ended_at: datetime
    items: int
    bytes: int
    since: datetime | None
    files: tuple[DataFile, ...]


def read_export(files: ExportFiles, *, table_arn: str) -> Export:
    """Return what the manifests of an export say, if it is a complete export of the table `table_arn`.

    Raises SettingsError for anything else, in one sentence, and botocore's errors.
    """
    summary = _json(files, _SUMMARY, _manifest(files, _SUMMARY))
    try:
        kind, form = summary.get("exportType", "FULL_EXPORT"), summary["outputFormat"]
        found = str(summary["tableArn"])
        id_ = str(summary["exportArn"]).rpartition("/")[2]
        items, size = int(summary["itemCount"]), int(summary["billedSizeBytes"])
        at, since = None, None
        if kind == "FULL_EXPORT":
            at = _time(summary["exportTime"])
        elif kind == "INCREMENTAL_EXPORT":
            at, since = _time(summary["exportToTime"]), _time(summary["exportFromTime"])
        ended_at = _time(summary["endTime"])
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise _foreign(files, _SUMMARY, f"{type(wrong).__name__}: {wrong}") from wrong
    if found != table_arn:
        raise SettingsError(f"{files.uri(_SUMMARY)} is of an export of {found}; expected one of {table_arn}.")
    if at is None:
        raise SettingsError(
            f"{files.uri(_SUMMARY)} is of an export of the type {kind}; expected FULL_EXPORT or INCREMENTAL_EXPORT."
        )
    if form != "DYNAMODB_JSON":
        raise SettingsError(
            f"{files.uri(_SUMMARY)} is of an export in the format {form}; export the table as DYNAMODB_JSON."
        )
    data_files = tuple(_data_file(files, line) for line in _manifest(files, _FILES).splitlines() if line.strip())
    if (listed := sum(one.items for one in data_files)) != items:
        raise SettingsError(
            f"{files.uri(_FILES)} lists {listed:,} items, and {_SUMMARY} {items:,}: copy the export again, as a whole."
        )
    return Export(id_, found, at, ended_at, items, size, since, data_files)


def require_intact(files: ExportFiles, one: DataFile) -> int:
    """Check a data file's MD5 and number of items; return its size in bytes.

    Raises SettingsError, and botocore's errors.
    """
    digest, items, size = hashlib.md5(usedforsecurity=False), 0, 0
    unpack = zlib.decompressobj(wbits=31)
    last = b"\n"
    try:
        with files.open(one.path) as data:
            while piece := data.read(_READ_BYTES):
                digest.update(piece)
                size += len(piece)
                while piece:
                    lines = unpack.decompress(piece)
                    items += lines.count(b"\n")
                    last = lines[-1:] or last
                    piece = unpack.unused_data
                    if unpack.eof and piece:
                        unpack = zlib.decompressobj(wbits=31)
    except FileNotFoundError as gone:
        raise SettingsError(f"{files.uri(one.path)} is not there; copy the export again, as a whole.") from gone
    except zlib.error as wrong:
        raise _damaged(files, one, f"it is not gzip ({wrong})") from wrong
    if not _is_md5(digest.digest(), one.md5):
        raise _damaged(files, one, "its MD5 is not the one in the manifest")
    items += last != b"\n"
    if items != one.items:
        raise _damaged(files, one, f"it has {items:,} items, and {one.items:,} in the manifest")
    return size


def read_lines(files: ExportFiles, one: DataFile, *, max_bytes: int) -> Iterator[list[str]]:
    """Yield the lines of a data file, about `max_bytes` of them at a time.

    Raises SettingsError for a file that is not UTF-8 in gzip, FileNotFoundError, and botocore's errors.
    """
    rest = b""
    try:
        with files.open(one.path) as data, gzip.GzipFile(fileobj=data) as unpacked:
            while piece := unpacked.read(max_bytes):
                whole, newline, rest = (rest + piece).rpartition(b"\n")
                if newline:
                    yield whole.decode().split("\n")
        if rest:
            yield [rest.decode()]
    except (EOFError, zlib.error, UnicodeDecodeError, gzip.BadGzipFile) as wrong:
        raise _damaged(files, one, f"{type(wrong).__name__}: {wrong}") from wrong


def _manifest(files: ExportFiles, name: str) -> bytes:
    """Return a manifest, after a check of its MD5."""
    try:
        data = _read(files, name)
    except FileNotFoundError as gone:
        raise SettingsError(
            f"{files.uri(name)} is not there: DynamoDB writes it last, so this export is not complete, or this is not "
            "its folder (<prefix>/AWSDynamoDB/<export id>). Wait until the export is COMPLETED, or correct --export."
        ) from gone
    for suffix in _CHECKSUMS:
        try:
            checksum = _read(files, name.removesuffix(".json") + suffix).decode(errors="replace").strip()
        except FileNotFoundError:
            continue
        if not _is_md5(hashlib.md5(data, usedforsecurity=False).digest(), checksum):
            raise SettingsError(
                f"{files.uri(name)} does not have the MD5 of its {suffix} file; copy the export again, as a whole."
            )
        return data
    raise SettingsError(f"{files.uri(name)} has no .md5 file; copy the export again, as a whole.")


def _data_file(files: ExportFiles, line: bytes) -> DataFile:
    fields = _json(files, _FILES, line)
    try:
        key, items, md5 = fields["dataFileS3Key"], int(fields["itemCount"]), str(fields["md5Checksum"])
        if (match := _DATA_KEY.fullmatch(key)) is None:
            raise ValueError(f"dataFileS3Key {key!r}")
    except (KeyError, TypeError, ValueError) as wrong:
        raise _foreign(files, _FILES, f"{type(wrong).__name__}: {wrong}") from wrong
    folder = "data" if match["export"] else "../data"  # incremental exports below one prefix share a folder
    return DataFile(f"{folder}/{match['name']}", items, md5)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _read(files: ExportFiles, path: str) -> bytes:
    with files.open(path) as data:
        file: IO[bytes] = data
        return file.read()


def _json(files: ExportFiles, name: str, data: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError as wrong:
        raise _foreign(files, name, str(wrong)) from wrong
    return fields


def _is_md5(digest: bytes, text: str) -> bool:
    return text in (b64encode(digest).decode(), digest.hex())


def _foreign(files: ExportFiles, name: str, why: str) -> SettingsError:
    return SettingsError(f"{files.uri(name)} is not a manifest of DynamoDB's export ({why}); correct --export.")


def _damaged(files: ExportFiles, one: DataFile, why: str) -> SettingsError:
    return SettingsError(f"{files.uri(one.path)} is damaged: {why}. Copy the export again, as a whole.")
