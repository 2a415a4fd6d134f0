"""Export a table in the layout in which DynamoDB exports to S3, where there is no AWS: from a scan.

Belongs here: writing that layout. Does not belong here: reading it (export), what is remembered of a request
(requested_export).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Final

import orjson

from medallion_assets.backfill.requested_export import RequestedExport
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES, SegmentedTable
from medallion_assets.capture.store import BronzeStore, open_store

_VERSION: Final = "2020-06-30"
_SUFFIX: Final = ".json.gz"


@dataclass(frozen=True)
class LocalExporter:
    """Exports of the table `table_arn` to `location`, a folder or s3://bucket/prefix. `now` is the clock.

    A scan is not of one point in time: an item is as it was between `exportTime` and `endTime` of the summary. A
    segment is a data file, so a run after a crash scans only the segments that have none.
    """

    table: SegmentedTable
    table_arn: str
    location: str
    now: Callable[[], datetime]

    def start(self, request: RequestedExport) -> str:
        """Return the ARN that DynamoDB's export would have."""
        return f"{self.table_arn}/export/{int(request.at.timestamp() * 1000):014d}-{request.token[:8]}"

    def finish(self, request: RequestedExport, report: Callable[[str], None]) -> None:
        """Scan the segments that have no data file, then write the manifests. Raises SettingsError, LakeUnavailable."""
        store, folder = open_store(self.location), f"AWSDynamoDB/{request.id}"
        if next(store.list(folder, suffix="/manifest-summary.json"), None) is not None:
            return
        store.put(f"{folder}/_started", b"")
        written = set(store.list(f"{folder}/data", suffix=_SUFFIX))
        segments = max(1, ceil(request.bytes / SEGMENT_BYTES))
        paths = [f"{folder}/data/{segment:026d}{_SUFFIX}" for segment in range(segments)]
        for segment, path in enumerate(paths):
            if path not in written:
                store.put(path, _compress(_items(self.table.scan_segment(segment, segments))))
            report(f"Segment {segment + 1} of {segments} is exported.")
        _write_manifests(store, folder, paths, table_arn=self.table_arn, at=request.at, ended_at=self.now())


def write_export(
    pages: Iterable[bytes], prefix: Path, *, table_arn: str, at: datetime, export_id: str, items_per_file: int = 200_000
) -> Path:
    """Write the items of `pages` (documents `{"Items": [...]}`) as an export; return its folder.

    The pages must show the table as it was at `at`. manifest-summary.json is written last, as DynamoDB does.
    """
    store, folder, paths = open_store(str(prefix)), f"AWSDynamoDB/{export_id}", []
    store.put(f"{folder}/_started", b"")
    remaining = _items(pages)
    for number, items in enumerate(iter(lambda: list(islice(remaining, items_per_file)), [])):
        paths.append(f"{folder}/data/{number:026d}{_SUFFIX}")
        store.put(paths[-1], _compress(items))
    _write_manifests(store, folder, paths, table_arn=table_arn, at=at, ended_at=at)
    return prefix / folder


def _compress(items: Iterable[Any]) -> bytes:
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as data:
            for item in items:
                data.write(orjson.dumps({"Item": item}) + b"\n")
        file.seek(0)
        return file.read()


def _write_manifests(
    store: BronzeStore, folder: str, paths: Iterable[str], *, table_arn: str, at: datetime, ended_at: datetime
) -> None:
    """Write the manifests of data files that are written, the summary last."""
    listed, count, size = [], 0, 0
    for path in paths:
        data = store.read(path)
        lines = gzip.decompress(data)
        count, size = count + lines.count(b"\n"), size + len(lines)
        listed.append(
            {
                "itemCount": lines.count(b"\n"),
                "md5Checksum": b64encode(_md5(data)).decode(),
                "etag": f"{_md5(_md5(data)).hex()}-1",
                "dataFileS3Key": path,
            }
        )
    _write(store, f"{folder}/manifest-files", "".join(json.dumps(one) + "\n" for one in listed))
    summary = {
        "version": _VERSION,
        "exportArn": f"{table_arn}/export/{folder.rpartition('/')[2]}",
        "startTime": _time(at),
        "endTime": _time(ended_at),
        "tableArn": table_arn,
        "tableId": "00000000-0000-0000-0000-000000000000",
        "exportTime": _time(at),
        "s3Bucket": "local",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{folder}/manifest-files.json",
        "billedSizeBytes": size,
        "itemCount": count,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    _write(store, f"{folder}/manifest-summary", json.dumps(summary))


def _items(pages: Iterable[bytes]) -> Iterator[Any]:
    for page in pages:
        yield from orjson.loads(page)["Items"]


def _write(store: BronzeStore, path: str, text: str) -> None:
    store.put(f"{path}.md5", b64encode(_md5(text.encode())))
    store.put(f"{path}.json", text.encode())


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
