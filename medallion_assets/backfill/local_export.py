"""Export a table in the layout in which DynamoDB exports to S3, where there is no AWS: to a folder.

Belongs here: writing that layout. Does not belong here: reading it (export).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

_VERSION: Final = "2020-06-30"


def write_export(
    pages: Iterable[bytes], prefix: Path, *, table_arn: str, at: datetime, export_id: str, items_per_file: int = 200_000
) -> Path:
    """Write the items of `pages` (documents `{"Items": [...]}`) as an export; return its folder.

    The pages must show the table as it was at `at`. manifest-summary.json is written last, as DynamoDB does.
    """
    folder = prefix / "AWSDynamoDB" / export_id
    (folder / "data").mkdir(parents=True)
    (folder / "_started").touch()
    listed, size, count = [], 0, 0
    remaining = _items(pages)
    for number, items in enumerate(iter(lambda: list(islice(remaining, items_per_file)), [])):
        lines = b"".join(orjson.dumps({"Item": item}) + b"\n" for item in items)
        data = gzip.compress(lines, compresslevel=1, mtime=0)
        (folder / "data" / f"{number:026d}.json.gz").write_bytes(data)
        size, count = size + len(lines), count + len(items)
        listed.append(
            {
                "itemCount": len(items),
                "md5Checksum": b64encode(_md5(data)).decode(),
                "etag": f"{_md5(_md5(data)).hex()}-1",
                "dataFileS3Key": f"AWSDynamoDB/{export_id}/data/{number:026d}.json.gz",
            }
        )
    _write(folder / "manifest-files.json", "".join(json.dumps(one) + "\n" for one in listed).encode())
    time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    summary = {
        "version": _VERSION,
        "exportArn": f"{table_arn}/export/{export_id}",
        "startTime": time,
        "endTime": time,
        "tableArn": table_arn,
        "tableId": "00000000-0000-0000-0000-000000000000",
        "exportTime": time,
        "s3Bucket": "local",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{export_id}/manifest-files.json",
        "billedSizeBytes": size,
        "itemCount": count,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    _write(folder / "manifest-summary.json", json.dumps(summary).encode())
    return folder


def _items(pages: Iterable[bytes]) -> Iterator[Any]:
    for page in pages:
        yield from orjson.loads(page)["Items"]


def _write(path: Path, data: bytes) -> None:
    path.with_suffix(".md5").write_text(b64encode(_md5(data)).decode())
    path.write_bytes(data)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
