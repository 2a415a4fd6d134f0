"""Read the status of every table and mart: what is captured, what is published, and how complete it is.

Belongs here: the one reader of the status, for `medallion status`, for the demo and for `ops.health`. Does not belong
here: which changes a table lacks (ledger), what runs did (run_events), how a status is shown (cli).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.gold.changes import InputVersions, unread_silver, unread_snapshots
from medallion_assets.gold.completeness import Computation, complete_to
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.health.blocks import Block, Blocks, read_blocks
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import last_change
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ledger.gap import Gap
from medallion_assets.ledger.parked import Parked
from medallion_assets.ledger.status import Completeness
from medallion_assets.silver.audit import RowCounts
from medallion_assets.silver.table import (
    CHANGED_AT,
    OBJECTS,
    OF_NO_ENTITY,
    OPEN,
    QUARANTINE,
    ROW_COUNT,
    SILVER,
    read_position,
)


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One Silver table, by its lake name. Times are aware UTC; None: it has not happened yet, or is not known.

    - last_captured_at: capture time of the newest Bronze object
    - last_merged_at: capture time of the newest object that the table contains
    - contains_to: every object that was captured up to then is in the table
    - pending_objects: Bronze objects that are not in the table yet
    - lag: how long the oldest pending object has been pending; zero if there is none
    - published_at: when the table's rows changed last
    - rows: live rows
    - quarantined_rows: open rows of the quarantine table
    - complete_to: every change of the stream up to then is in the table
    - gaps: open gaps
    - parked: what waits for a redrive
    - blocked_by: the check that blocks its publication, as far as `ops.checks` knows
    - source: its DynamoDB table, as the contract names it
    - of_no_entity: changes, among those it has read, of items that no contract of the DynamoDB table matches; None if
      the contract is not of one entity
    """

    table: str
    last_captured_at: datetime | None
    last_merged_at: datetime | None
    contains_to: datetime
    pending_objects: int
    lag: timedelta
    published_at: datetime | None
    rows: int
    quarantined_rows: int
    complete_to: datetime | None
    gaps: tuple[Gap, ...]
    parked: Parked
    blocked_by: Block | None
    source: str
    of_no_entity: int | None

    @property
    def needs_backfill(self) -> bool:
        """Whether changes are known to be missing from the table."""
        return any(gap.lossy for gap in self.gaps)


@dataclass(frozen=True, kw_only=True)
class MartStatus:
    """One mart. Times are aware UTC; None: it has not happened yet, or is not known.

    - last_merged_at: capture time of the newest object that one of its tables contains
    - contains_to: every object of its tables that was captured up to then is in the mart
    - computed_at: when the last published refresh began
    - published_at: when the mart's rows changed last
    - rows: its rows
    - behind: its inputs that changed after it was computed: Silver tables, and marts as `gold.<mart>`
    - complete_to: every change of its tables' streams up to then is in the mart; never later than `computed_at`
    - incomplete: its tables that need a backfill
    - blocked_by: the check that blocks its publication, as far as `ops.checks` knows
    """

    mart: str
    last_merged_at: datetime | None
    contains_to: datetime
    computed_at: datetime | None
    published_at: datetime | None
    rows: int
    behind: tuple[str, ...]
    complete_to: datetime | None
    incomplete: tuple[str, ...]
    blocked_by: Block | None


@dataclass(frozen=True)
class Status:
    """All tables and marts of a domain at one moment."""

    tables: Sequence[TableStatus]
    marts: Sequence[MartStatus]

    @property
    def caught_up(self) -> bool:
        """Whether everything captured is in Silver and every mart was computed from that."""
        return not any(table.pending_objects for table in self.tables) and not any(mart.behind for mart in self.marts)


@translate_outages()
def read_status(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    marts: Sequence[Mart],
    *,
    completeness: Mapping[str, Completeness],
    now: datetime,
) -> Status:
    """Return the status of every table and mart of the domain.

    Reads metadata, one listing of Bronze per table, the count of each quarantine table and the newest rows of
    `ops.checks`; no row of Silver or Gold. `completeness` is by lake name and has to be read before this call, because
    rows that come later must not count. In `marts` each comes after those that it reads. Raises LakeUnavailable,
    SettingsError.
    """
    found = {contract.lake_name: lake.find(SILVER, contract.lake_name) for contract in domain.tables}
    found |= {mart.input_name: lake.find(GOLD, mart.name) for mart in marts}
    reader = _Reader(lake, store, found, completeness, read_blocks(lake, now), now)
    tables = {contract.lake_name: reader.table(contract) for contract in domain.tables}
    shown: dict[str, MartStatus] = {}
    for mart in marts:
        shown[mart.input_name] = reader.mart(mart, tables, shown)
    return Status(tuple(tables.values()), tuple(shown.values()))


@translate_outages()
def read_last_changes(lake: Lake, domain: Domain) -> dict[str, datetime | None]:
    """Return by lake name when the newest change of each Silver table was made. Reads one column of all its rows."""
    found: dict[str, datetime | None] = {}
    with lake.duckdb() as connection:
        for contract in domain.tables:
            found[contract.lake_name] = None
            if (table := lake.find(SILVER, contract.lake_name)) is not None:
                query = f"SELECT max({CHANGED_AT}) FROM {lake.scan_sql(table, None)}"
                ((found[contract.lake_name],),) = connection.execute(query).fetchall()
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads one table or mart; `found` is by input name (Mart.inputs), `completeness` by lake name."""

    lake: Lake
    store: BronzeStore
    found: Mapping[str, Table | None]
    completeness: Mapping[str, Completeness]
    blocks: Blocks
    now: datetime

    def table(self, contract: Contract) -> TableStatus:
        name, table = contract.lake_name, self.found[contract.lake_name]
        position = read_position(table)
        pending = [ObjectName.parse(path).captured_at for path in position.pending(self.store, contract.table)]
        last_merged_at = ObjectName.parse(position.newest).captured_at if position.newest else None
        contains_to = min(pending, default=self.now)
        counts = RowCounts.read(table.properties.get(ROW_COUNT)) if table is not None else None
        published_at = _published_at(table)
        return TableStatus(
            table=name,
            last_captured_at=max([*pending, *([last_merged_at] if last_merged_at else [])], default=None),
            last_merged_at=last_merged_at,
            contains_to=contains_to,
            pending_objects=len(pending),
            lag=max(self.now - contains_to, timedelta()),
            published_at=published_at,
            rows=counts.rows if counts else 0,
            quarantined_rows=_quarantined_rows(self.lake, name),
            complete_to=self.completeness[name].complete_to,
            gaps=self.completeness[name].gaps,
            parked=self.completeness[name].parked,
            blocked_by=self.blocks.of(SILVER, name, published_at=published_at),
            source=contract.table,
            of_no_entity=_of_no_entity(table) if contract.where is not None else None,
        )

    def mart(self, mart: Mart, tables: Mapping[str, TableStatus], marts: Mapping[str, MartStatus]) -> MartStatus:
        inputs = [tables[name] for name in mart.tables]
        gold = self.found[mart.input_name]
        versions = InputVersions.recorded(gold) if gold is not None else None
        computation = Computation.recorded(gold) if gold is not None else None
        unread = unread_snapshots(versions, {name: self.found[name] for name in mart.inputs})
        unread_from = [_oldest_capture(snapshot) for snapshot in unread_silver(mart, versions, self.found)]
        now_complete_to = {table.table: table.complete_to for table in inputs}
        now_complete_to |= {name: marts[name].complete_to for name in mart.upstream}
        published_at = _published_at(gold)
        return MartStatus(
            mart=mart.name,
            last_merged_at=max((table.last_merged_at for table in inputs if table.last_merged_at), default=None),
            contains_to=min([*unread_from, *(table.contains_to for table in inputs)]),
            computed_at=computation.at if computation else None,
            published_at=published_at,
            rows=_total_rows(gold),
            behind=tuple(unread),
            complete_to=complete_to(mart.inputs, computation, unread=unread, now_complete_to=now_complete_to),
            incomplete=tuple(table.table for table in inputs if table.needs_backfill),
            blocked_by=self.blocks.of(GOLD, mart.name, published_at=published_at),
        )


def _oldest_capture(snapshot: Snapshot) -> datetime:
    """Return the capture time of the oldest object in a Silver snapshot; when it was committed, if it has none."""
    names = json.loads(snapshot.summary.additional_properties.get(OBJECTS, "[]")) if snapshot.summary else []
    times = [ObjectName.parse(name).captured_at for name in names]
    return min([*times, _committed_at(snapshot)])


def _total_rows(table: Table | None) -> int:
    """Return the rows of a table without position deletes, such as a mart, by its metadata."""
    snapshot = table.current_snapshot() if table is not None else None
    summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    return int(summary.get("total-records", 0))


def _of_no_entity(table: Table | None) -> int:
    return int(table.properties.get(OF_NO_ENTITY, 0)) if table is not None else 0


def _published_at(table: Table | None) -> datetime | None:
    """Return when the newest snapshot that changed rows was committed; None if none is known."""
    snapshot = last_change(table) if table is not None else None
    return _committed_at(snapshot) if snapshot else None


def _committed_at(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def _quarantined_rows(lake: Lake, name: str) -> int:
    table = lake.find(QUARANTINE, name)
    if table is None:
        return 0
    with lake.duckdb() as connection:
        query = f"SELECT count(*) FROM {lake.scan_sql(table, None)} WHERE status = '{OPEN}'"
        ((count,),) = connection.execute(query).fetchall()
    return int(count)
