"""Where every table and every mart stands now: what is captured, what is published, how far apart they are.

What belongs here: reading the lake and the Bronze listing. Not how it is shown, and not what is missing (ledger).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pyiceberg.table import Table

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.changes import InputVersions
from medallion_assets.gold.refresh import GOLD
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets.silver.table import CHANGED_AT, OPEN, QUARANTINE, SILVER, read_position


@dataclass(frozen=True)
class TableState:
    """One source table. Times are aware UTC, None where nothing has happened yet.

    `lag` is how long the oldest captured object has been waiting for Silver; zero when none waits.
    """

    table: str
    captured_at: datetime | None
    waiting_objects: int
    lag: timedelta
    changed_at: datetime | None
    published_at: datetime | None
    rows: int
    quarantined: int


@dataclass(frozen=True)
class MartState:
    """One mart. `behind` names the Silver tables that were published again after it was computed."""

    mart: str
    computed_at: datetime | None
    rows: int
    behind: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """All tables and marts of a domain at one moment."""

    tables: Sequence[TableState]
    marts: Sequence[MartState]

    @property
    def caught_up(self) -> bool:
        """Whether everything captured is in Silver and every mart was computed from that."""
        return not any(table.waiting_objects for table in self.tables) and not any(mart.behind for mart in self.marts)


class Observer:
    """Looks at one stack, as often as asked."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._domain: Domain = load_domain(settings.domain)
        self._marts: tuple[Mart, ...] = load_marts(self._domain)
        self._store: BronzeStore = open_store(settings.bronze)
        self._lake = lake

    def look(self) -> Overview:
        """The state now. Raises LakeUnavailable, SettingsError."""
        now = datetime.now(UTC)
        silver = {contract.lake_name: self._lake.find(SILVER, contract.lake_name) for contract in self._domain.tables}
        with Embedded(self._lake) as engine:
            tables = [
                self._table(engine, contract, silver[contract.lake_name], now) for contract in self._domain.tables
            ]
            marts = [self._mart(engine, mart, silver) for mart in self._marts]
        return Overview(tables, marts)

    def _table(self, engine: Embedded, contract: Contract, silver: Table | None, now: datetime) -> TableState:
        name = contract.lake_name
        position = read_position(silver)
        waiting = [ObjectName.parse(path).captured_at for path in position.pending(self._store, contract.table)]
        merged = [ObjectName.parse(position.newest).captured_at] if position.newest else []
        rows, changed_at = _aggregates(engine, silver, f"count(*), max({CHANGED_AT})") or (0, None)
        (quarantined,) = _aggregates(engine, self._lake.find(QUARANTINE, name), f"count_if(status = '{OPEN}')") or (0,)
        return TableState(
            table=name,
            captured_at=max([*merged, *waiting], default=None),
            waiting_objects=len(waiting),
            lag=now - min(waiting) if waiting else timedelta(),
            changed_at=changed_at,
            published_at=_committed_at(silver),
            rows=rows,
            quarantined=quarantined,
        )

    def _mart(self, engine: Embedded, mart: Mart, silver: Mapping[str, Table | None]) -> MartState:
        gold = self._lake.find(GOLD, mart.name)
        basis = InputVersions.recorded(gold) if gold else None
        published = {
            name: table.metadata.current_snapshot_id if (table := silver[name]) else None for name in mart.tables
        }
        behind = tuple(name for name in published if basis is None or basis.silver.get(name) != published[name])
        rows, computed_at = _aggregates(engine, gold, "count(*), max(computed_at)") or (0, None)
        return MartState(mart=mart.name, computed_at=computed_at, rows=rows, behind=behind)


def _aggregates(engine: Embedded, table: Table | None, selected: str) -> tuple[Any, ...] | None:
    """The one row of a SELECT without grouping; None where there is no table."""
    if table is None:
        return None
    engine.show(table)
    found = engine.run(f"SELECT {selected} FROM {'.'.join(table.name())}", today=datetime.now(UTC).date())
    return tuple(column[0].as_py() for column in found.columns)


def _committed_at(table: Table | None) -> datetime | None:
    snapshot = table.current_snapshot() if table else None
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) if snapshot else None
