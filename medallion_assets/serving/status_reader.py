"""How old every table is: the status of the pipeline, read when somebody asks and kept for a few seconds.

Belongs here: reading it once for many requests. Does not belong here: what the status is (health.status).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.errors import MedallionError
from medallion_assets.gold.spec import Mart
from medallion_assets.health.status import MartStatus, Status, TableStatus, read_status
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.status import read_completeness
from medallion_assets.ops.tables import RECONCILIATIONS

log = logging.getLogger(__name__)

SECONDS: Final = 5.0
"""How long a status is kept. Reading it takes 0.1 to 0.3 s of a core and a listing of Bronze for each table."""


@dataclass(frozen=True)
class Snapshot:
    """The status at one moment, aware UTC.

    `verified_at`, by lake name, is the end of the newest comparison of a table with its source that found no
    difference; a table that was never found equal is not in it.
    """

    at: datetime
    status: Status
    verified_at: Mapping[str, datetime]

    def of(self, schema: str, name: str) -> TableStatus | MartStatus | None:
        """Return the status of a mart, or of the Silver table that a table belongs to; None for any other table."""
        if schema == "gold":
            return next((mart for mart in self.status.marts if mart.mart == name), None)
        if schema in {"silver", "deleted", "history", "quarantine"}:
            return next((table for table in self.status.tables if table.table == name), None)
        return None


class StatusReader:
    """Reads the status. Threads may share it: one reads, the others wait for what it finds."""

    def __init__(self, lake: Lake, store: BronzeStore, domain: Domain, marts: Sequence[Mart]) -> None:
        self._lake = lake
        self._store = store
        self._domain = domain
        self._marts = marts
        self._lock = threading.Lock()
        self._kept: Snapshot | None = None
        self._kept_since = 0.0

    def read(self) -> Snapshot:
        """Return the status, at most five seconds old. Raises LakeUnavailable, SettingsError."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept_since > SECONDS:
                self._kept, self._kept_since = self._read(), time.monotonic()
            return self._kept

    def latest(self) -> Snapshot:
        """Return the status as it was read last, and let it be read again in the background if that is long ago.

        An old status says less than is true: a table only becomes more complete. Raises what `read` raises if none was
        read yet.
        """
        kept = self._kept
        if kept is None:
            return self.read()
        if time.monotonic() - self._kept_since > SECONDS and not self._lock.locked():
            threading.Thread(target=self._refresh, name="status").start()
        return kept

    def _refresh(self) -> None:
        try:
            self.read()
        except MedallionError as failed:
            log.warning("the status was not read: %s: %s", type(failed).__name__, failed)

    def _read(self) -> Snapshot:
        now = datetime.now(UTC)
        completeness = read_completeness(self._lake, [contract.lake_name for contract in self._domain.tables])
        status = read_status(self._lake, self._store, self._domain, self._marts, completeness=completeness, now=now)
        return Snapshot(now, status, self._verified())

    def _verified(self) -> dict[str, datetime]:
        table = RECONCILIATIONS.find(self._lake)
        if table is None:
            return {}
        with self._lake.duckdb() as connection:
            found = connection.execute(
                f"SELECT table_name, max(ended_at) FROM {self._lake.scan_sql(table, None)} "
                "WHERE missing_rows + extra_rows + different_rows + unconfirmed_rows = 0 GROUP BY table_name"
            ).fetchall()
        return dict(found)
