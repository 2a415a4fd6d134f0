"""What a backfill has done: one small file below Bronze for each part of the snapshot that is in Bronze as a whole.

`_backfill/<table>/<backfill>/<part>.json` is written after the part's objects, so a backfill that died goes on with the
next part. A scan has `_backfill/<table>/<backfill>.json`, too: in how many segments it reads the table, and whether
Silver has all of it. Belongs here: these files. Does not belong here: the record for readers (ops.backfills).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject

FOLDER: Final = "_backfill"


@dataclass(frozen=True)
class Done:
    """A part that is in Bronze: its name, its items, and the objects they were written to."""

    part: str
    items: int
    objects: int


@dataclass(frozen=True)
class StartedScan:
    """A scan that was started at `at`, aware UTC, of a table with this stream, and reads it in so many segments."""

    id: str
    at: datetime
    stream_arn: str
    segments: int
    finished: bool = False


def read_progress(store: BronzeStore, contract: Contract, backfill: str) -> dict[str, Done]:
    """Return the parts that are done, by name. Raises CorruptObject, and what the store raises."""
    found = [_read(store, path) for path in store.list(f"{_folder(contract)}/{backfill}", suffix=".json")]
    return {fields["part"]: Done(**fields) for fields in found}


def write_progress(store: BronzeStore, contract: Contract, backfill: str, done: Done) -> None:
    """Note that a part is done. Raises what the store raises."""
    store.put(f"{_folder(contract)}/{backfill}/{done.part}.json", json.dumps(asdict(done)).encode())


def keys_path(contract: Contract, backfill: str, part: str) -> str:
    """Return the path of the hashes of a part's keys, which are kept where changes were lost."""
    return f"{_folder(contract)}/{backfill}/{part}.keys.parquet"


def find_unfinished_scan(store: BronzeStore, contract: Contract, stream_arn: str | None) -> StartedScan | None:
    """Return the newest scan of the table with this stream that is not in Silver as a whole.

    Raises as `read_progress` does.
    """
    folder = _folder(contract)
    paths = [path for path in store.list(folder, suffix=".json") if path.count("/") == folder.count("/") + 1]
    found = [_read(store, path) for path in paths]
    scans = [StartedScan(**{**fields, "at": datetime.fromisoformat(fields["at"])}) for fields in found]
    unfinished = [one for one in scans if not one.finished and one.stream_arn == stream_arn]
    return max(unfinished, key=lambda one: one.at, default=None)


def write_scan(store: BronzeStore, contract: Contract, scan: StartedScan) -> None:
    """Note that a scan was started, or that it is finished. Raises what the store raises."""
    fields = {**asdict(scan), "at": scan.at.isoformat()}
    store.put(f"{_folder(contract)}/{scan.id}.json", json.dumps(fields).encode())


def _read(store: BronzeStore, path: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(store.read(path))
    except ValueError as error:
        raise CorruptObject(
            f"{store.uri(path)} is no progress of a backfill ({error}); delete it, and that part is read again"
        ) from error
    return fields


def _folder(contract: Contract) -> str:
    return f"{FOLDER}/{contract.table}"
