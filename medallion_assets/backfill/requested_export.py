"""The export that a backfill has asked for: written down first, so a run after a crash never starts a second one.

`_backfill/<table>/_export/requested.json` is written before the export starts, with the token that makes a repeated
request the same request, and again when the export is known by its ARN. Belongs here: this file, and the steps from a
request to an export that is complete. Does not belong here: what makes the export (aws_export, local_export).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from medallion_assets.backfill.handover import is_after_losses
from medallion_assets.backfill.progress import FOLDER
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject, SettingsError
from medallion_assets.lake.catalog import Lake

_TOKEN_LASTS: Final = timedelta(hours=8)
"""How long DynamoDB takes a repeated ClientToken for the same request (API reference, ExportTableToPointInTime)."""


@dataclass(frozen=True)
class RequestedExport:
    """An export of the table that has this stream, asked for at `at`, aware UTC, when it had about `bytes` bytes.

    `arn` is the export's, None until it is known that it has started. `finished`: its items are in Silver.
    """

    token: str
    at: datetime
    stream_arn: str
    bytes: int
    arn: str | None = None
    finished: bool = False

    @property
    def id(self) -> str:
        """The id of an export that has started: the name of its folder."""
        if self.arn is None:
            raise ValueError("this export has not started")
        return self.arn.rpartition("/")[2]


class Exporter(Protocol):
    """What makes exports of one table."""

    def start(self, request: RequestedExport) -> str:
        """Start the export, or find the one with this token; return its ARN. Raises SettingsError."""

    def finish(self, request: RequestedExport, report: Callable[[str], None]) -> None:
        """Wait until the export is complete; `report` gets each state that it sees. Raises SettingsError."""


def find_request(
    lake: Lake, store: BronzeStore, contract: Contract, *, stream_arn: str | None, now: datetime
) -> RequestedExport | None:
    """Return the export that was asked for and is to be gone on with; None if a new one is needed.

    A new one is needed if its items are in Silver, the table has another stream, changes were lost after it, or nobody
    knows any more whether it started. Raises CorruptObject, LakeUnavailable.
    """
    if next(store.list(_folder(contract), suffix=".json"), None) is None:
        return None
    path = _path(contract)
    try:
        fields = json.loads(store.read(path))
        request = RequestedExport(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    except (ValueError, TypeError, KeyError) as wrong:
        raise CorruptObject(f"{store.uri(path)} is no request of an export ({wrong}); delete it") from wrong
    lost = request.arn is None and now - request.at > _TOKEN_LASTS
    if request.finished or lost or request.stream_arn != stream_arn:
        return None
    return request if is_after_losses(lake, store, contract, request.at) else None


def new_request(*, stream_arn: str, bytes: int, now: datetime) -> RequestedExport:
    """Return a request that nothing knows of yet."""
    return RequestedExport(uuid.uuid4().hex, now, stream_arn, bytes)


def make_export(
    store: BronzeStore,
    contract: Contract,
    request: RequestedExport,
    exporter: Exporter,
    report: Callable[[str], None],
) -> RequestedExport:
    """Start the export if it has not started, and wait until it is complete; return it with its ARN.

    An export that failed is forgotten, so the next run asks for another. Raises SettingsError.
    """
    if request.arn is None:
        _write(store, contract, request)
        request = replace(request, arn=exporter.start(request))
        _write(store, contract, request)
    try:
        exporter.finish(request, report)
    except SettingsError:
        store.remove(_path(contract))
        raise
    return request


def finish_request(store: BronzeStore, contract: Contract, request: RequestedExport) -> None:
    """Note that the items of the export are in Silver: the next backfill needs a new one."""
    _write(store, contract, replace(request, finished=True))


def _write(store: BronzeStore, contract: Contract, request: RequestedExport) -> None:
    fields = {**asdict(request), "at": request.at.isoformat()}
    store.put(_path(contract), json.dumps(fields).encode())


def _folder(contract: Contract) -> str:
    return f"{FOLDER}/{contract.table}/_export"


def _path(contract: Contract) -> str:
    return f"{_folder(contract)}/requested.json"
