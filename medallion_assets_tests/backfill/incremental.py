"""Incremental exports as AWS documents them: manifests of version 2023-08-01, data files in a folder that they share.

Written from the DynamoDB Developer Guide ("DynamoDB table export output format"), not from our exporter's code.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

Change = Mapping[str, Any]


def change(at: datetime, keys: Mapping[str, Any], *, new: Any = None, old: Any = None) -> Change:
    """Return a line: an insert has a new image, a delete none; a change of an item has both."""
    micros = str(int(at.timestamp() * 1_000_000))
    images = {name: image for name, image in (("OldImage", old), ("NewImage", new)) if image is not None}
    return {"Metadata": {"WriteTimestampMicros": {"N": micros}}, "Keys": keys, **images}


def write_incremental_export(
    prefix: Path, files: Sequence[Sequence[Change]], *, table_arn: str, since: datetime, until: datetime
) -> Path:
    """Write an export of these data files; return its folder. An empty partition has an empty file."""
    export = "01695097218000-d6299cbd"
    folder, data_folder = prefix / "AWSDynamoDB" / export, prefix / "AWSDynamoDB" / "data"
    folder.mkdir(parents=True)
    data_folder.mkdir(exist_ok=True)
    (folder / "_started").touch()
    listed = []
    for number, lines in enumerate(files):
        data = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        name = f"sgad6417s6vss4p7owp0471bc{number}.json.gz"
        (data_folder / name).write_bytes(data)
        listed.append(
            {
                "itemCount": len(lines),
                "md5Checksum": b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
                "etag": "8e4cd6dbd9e2dfd9c9ff1a1b6a7ed24d-1",
                "dataFileS3Key": f"AWSDynamoDB/data/{name}",
            }
        )
    _write(folder / "manifest-files.json", "\n".join(json.dumps(line) for line in listed))
    summary = {
        "version": "2023-08-01",
        "exportArn": f"{table_arn}/export/{export}",
        "startTime": _time(until),
        "endTime": _time(until),
        "tableArn": table_arn,
        "tableId": "b116b490-6460-4d4a-9a6b-5d360abf4fb3",
        "exportFromTime": _time(since),
        "exportToTime": _time(until),
        "s3Bucket": "exports",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{export}/manifest-files.json",
        "billedSizeBytes": 20901239349,
        "itemCount": sum(map(len, files)),
        "outputFormat": "DYNAMODB_JSON",
        "outputView": "NEW_AND_OLD_IMAGES",
        "exportType": "INCREMENTAL_EXPORT",
    }
    _write(folder / "manifest-summary.json", json.dumps(summary))
    return folder


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    path.with_suffix(".checksum").write_text(b64encode(digest).decode())


def _time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
