"""Wait until the pipeline has caught up: every change made before a time is in Silver, or in quarantine.

The poller writes how far it has read (capture.heartbeat). A Lambda function does not: then a change counts as captured
some seconds after it was made. Belongs here: waiting, and what the pipeline still lacks when the wait ends. Does not
belong here: what is compared afterwards (reconcile, verify).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pyiceberg.table import Table

from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.table import SILVER, read_position

_POLL_SECONDS: Final = 1.0
# The poller writes its heartbeat every half minute; an older one means that the poller does not run.
_MAX_HEARTBEAT_AGE: Final = timedelta(minutes=5)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class CatchUp:
    """How long one command waits for the pipeline: a limit for all its waits together.

    `capture_delay_seconds` is how long a change may take to Bronze where no poller says how far it has read.
    `limit_seconds` is the sum of all waits. `now` and `wait` (seconds) are the clock, for tests.
    """

    capture_delay_seconds: float = 20.0
    limit_seconds: float = 300.0
    now: Callable[[], datetime] = _utc_now
    wait: Callable[[float], None] = time.sleep
    _waited: timedelta = field(default=timedelta(), init=False)

    def pause(self) -> bool:
        """Wait a moment before the next try. Return False, without waiting, once the limit is used up."""
        if self._waited.total_seconds() >= self.limit_seconds:
            return False
        began = self.now()
        self.wait(_POLL_SECONDS)
        self._waited += self.now() - began
        return True


def silver_now(lake: Lake, contract: Contract) -> Table | None:
    """Return the published Silver table; None if it does not exist yet.

    A table without a snapshot never had a row, but keys of it may have been deleted.
    """
    return lake.find(SILVER, contract.lake_name)


def position_now(lake: Lake, contract: Contract) -> Position:
    """Return the position of the Silver table: which Bronze objects it or its quarantine contains."""
    return read_position(lake.find(SILVER, contract.lake_name))


def wait_until_merged(
    lake: Lake, store: BronzeStore, contract: Contract, *, past: datetime, catch_up: CatchUp
) -> str | None:
    """Wait until every change of the table made before `past` is merged. Return None, or what is still behind.

    Raises LakeUnavailable, SettingsError.
    """
    captured: datetime | None = None
    while True:
        if captured is None:
            captured, behind = _captured(store, contract, past, catch_up)
        if captured is not None:
            behind = _unmerged(lake, store, contract, captured)
        if behind is None or not catch_up.pause():
            return behind


def _captured(
    store: BronzeStore, contract: Contract, past: datetime, catch_up: CatchUp
) -> tuple[datetime | None, str | None]:
    """Return a time at which every change made before `past` was in Bronze, or why none is known."""
    now = catch_up.now()
    heartbeat = read_heartbeat(store, contract.table, now=now)
    if heartbeat is not None and now - heartbeat.written_at < _MAX_HEARTBEAT_AGE:
        if heartbeat.read_up_to is not None and heartbeat.read_up_to > past:
            return heartbeat.written_at, None
        return None, f"the poller has read {contract.table} up to {heartbeat.read_up_to or 'no known time'}"
    captured = past + timedelta(seconds=catch_up.capture_delay_seconds)
    return (captured, None) if now >= captured else (None, f"changes made until {past} may not be captured yet")


def _unmerged(lake: Lake, store: BronzeStore, contract: Contract, captured: datetime) -> str | None:
    """Return how many objects captured up to `captured` are not merged, in words; None if there are none."""
    pending = position_now(lake, contract).pending(store, contract.table)
    early = [name for name in pending if ObjectName.parse(name).captured_at <= captured]
    return f"{len(early)} Bronze objects wait to be merged, the oldest is {early[0]}" if early else None
