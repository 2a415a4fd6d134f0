"""Waiting until the pipeline has caught up: every change made before a time is in Silver, or in quarantine.

The poller tells how far it has read (capture.polled). Where it does not run, a Lambda function captures, which cannot
tell: then a change is taken to be in Bronze some seconds after it was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pyiceberg.table import Table

from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import TableMissing
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.table import POSITION, SILVER

_LOOK_SECONDS: Final = 1.0
# The poller writes its marker every half minute; an older one is of a capture that does not run.
_MARKER_AGE: Final = timedelta(minutes=5)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Patience:
    """How long to wait. `settle_seconds` is how long a change may take to Bronze where no poller tells.

    `now` and `wait` (seconds) are the clock, for tests.
    """

    settle_seconds: float = 20.0
    limit_seconds: float = 300.0
    now: Callable[[], datetime] = _utc_now
    wait: Callable[[float], None] = time.sleep


def silver_now(lake: Lake, contract: Contract) -> Table | None:
    """The Silver table as it is published; None if there is none, or nothing in it yet."""
    try:
        table = lake.table(SILVER, contract.lake_name)
    except TableMissing:
        return None
    return table if table.metadata.current_snapshot_id is not None else None


def position_now(lake: Lake, contract: Contract) -> Position:
    """Which Bronze objects the Silver table contains, or its quarantine."""
    try:
        text = lake.table(SILVER, contract.lake_name).properties.get(POSITION)
    except TableMissing:
        text = None
    return Position.from_json(text) if text else Position.start()


def wait_for_silver(
    lake: Lake, store: BronzeStore, contract: Contract, *, past: datetime, patience: Patience
) -> str | None:
    """Wait until every change of the table made before `past` is merged; if that takes too long, say what is behind.

    Raises LakeUnavailable, SettingsError.
    """
    until = patience.now() + timedelta(seconds=patience.limit_seconds)
    captured: datetime | None = None
    while True:
        if captured is None:
            captured, behind = _captured(store, contract, past, patience)
        if captured is not None:
            behind = _waiting(lake, store, contract, captured)
        if behind is None or patience.now() >= until:
            return behind
        patience.wait(_LOOK_SECONDS)


def _captured(
    store: BronzeStore, contract: Contract, past: datetime, patience: Patience
) -> tuple[datetime | None, str | None]:
    """When everything from before `past` was in Bronze, or why that is not known."""
    now = patience.now()
    polled = read_heartbeat(store, contract.table, now=now)
    if polled is not None and now - polled.written_at < _MARKER_AGE:
        if polled.read_up_to is not None and polled.read_up_to > past:
            return polled.written_at, None
        return None, f"the poller has read {contract.table} up to {polled.read_up_to or 'no known time'}"
    settled = past + timedelta(seconds=patience.settle_seconds)
    return (settled, None) if now >= settled else (None, f"changes made until {past} may not be captured yet")


def _waiting(lake: Lake, store: BronzeStore, contract: Contract, captured: datetime) -> str | None:
    """What of the objects named up to `captured` is not merged."""
    pending = position_now(lake, contract).pending(store, contract.table)
    early = [name for name in pending if ObjectName.parse(name).captured_at <= captured]
    return f"{len(early)} Bronze objects wait to be merged, the oldest is {early[0]}" if early else None
