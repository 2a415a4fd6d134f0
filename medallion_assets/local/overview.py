"""Where every table and every mart stands now: what is captured, what is published, how far apart they are.

What belongs here: reading the lake, the Bronze listing and the poller's checkpoint. Not how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from pyiceberg.table import Table

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.poller.checkpoint import read_tables
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets.silver.table import CHANGED_AT, POSITION, QUARANTINE, SILVER

GOLD: Final = "gold"


@dataclass(frozen=True)
class TableState:
    """One source table. Times are aware UTC, None where nothing has happened yet.

    `lag` is how long the oldest captured object has been waiting for Silver; zero when none waits. `gap` says that the
    stream lost history and the table needs a backfill.
    """

    table: str
    captured_at: datetime | None
    waiting_objects: int
    lag: timedelta
    changed_at: datetime | None
    published_at: datetime | None
    rows: int
    quarantined: int
    gap: str | None


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
        self._checkpoint = settings.checkpoint
        self._lake = lake

    def look(self) -> Overview:
        """The state now. Raises LakeUnavailable, SettingsError."""
        now = datetime.now(UTC)
        gaps = {mark.table: mark.gap for mark in read_tables(self._checkpoint)} if self._checkpoint else {}
        silver = {contract.lake_name: self._found(SILVER, contract.lake_name) for contract in self._domain.tables}
        with Embedded(self._lake) as engine:
            tables = [
                self._table(engine, contract, silver[contract.lake_name], gaps.get(contract.table), now)
                for contract in self._domain.tables
            ]
            marts = [self._mart(engine, mart, silver) for mart in self._marts]
        return Overview(tables, marts)

    def _found(self, namespace: str, name: str) -> Table | None:
        return self._lake.table(namespace, name) if self._lake.exists(namespace, name) else None

    def _table(
        self, engine: Embedded, contract: Contract, silver: Table | None, gap: str | None, now: datetime
    ) -> TableState:
        name = contract.lake_name
        written = silver.properties.get(POSITION) if silver else None
        position = Position.from_json(written) if written else Position.start()
        pending = position.pending(self._store, contract.table)
        times = [ObjectName.parse(path).captured_at for path in [*pending, *filter(None, [position.newest])]]
        waiting = [ObjectName.parse(path).captured_at for path in pending]
        rows, changed_at = _aggregates(engine, silver, f"count(*), max({CHANGED_AT})", f"{SILVER}.{name}") or (0, None)
        quarantine = self._found(QUARANTINE, name)
        held = _aggregates(engine, quarantine, "count(*)", f"{QUARANTINE}.{name}", "WHERE status = '{HELD}'")
        return TableState(
            table=name,
            captured_at=max(times, default=None),
            waiting_objects=len(pending),
            lag=now - min(waiting) if waiting else timedelta(),
            changed_at=changed_at,
            published_at=_committed_at(silver),
            rows=rows,
            quarantined=held[0] if held else 0,
            gap=gap,
        )

    def _mart(self, engine: Embedded, mart: Mart, silver: dict[str, Table | None]) -> MartState:
        gold = self._found(GOLD, mart.name)
        computed_from: dict[str, int] = json.loads(gold.properties.get(SOURCES, "{}")) if gold else {}
        published = {name: silver_table.metadata.current_snapshot_id for name in mart.tables if (silver_table := silver[name])}
        behind = tuple(name for name, snapshot in published.items() if computed_from.get(name) != snapshot)
        found = _aggregates(engine, gold, "count(*), max(computed_at)", f"{GOLD}.{mart.name}")
        rows, computed_at = found or (0, None)
        return MartState(mart=mart.name, computed_at=computed_at, rows=rows, behind=behind)


def _aggregates(engine: Embedded, table: Table | None, selected: str, name: str, where: str = "") -> tuple[Any, ...] | None:
    if table is None:
        return None
    engine.show(table)
    found = engine.run(f"SELECT {selected} FROM {name} {where}", today=datetime.now(UTC).date())
    return tuple(column[0].as_py() for column in found.columns)


def _committed_at(table: Table | None) -> datetime | None:
    snapshot = table.current_snapshot() if table else None
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) if snapshot else None
