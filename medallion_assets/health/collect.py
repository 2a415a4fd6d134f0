"""One look at every table and mart: how each layer stands, and what its runs did since the look before.

Belongs here: reading the tables' metadata, one listing of Bronze per table, one count per quarantine table, and
writing the rows. Does not belong here: what the runs did (run_events), completeness itself (ledger), when this runs
(defs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.gold.changes import InputVersions
from medallion_assets.gold.refresh import GOLD
from medallion_assets.gold.spec import Mart
from medallion_assets.health.run_events import RunEvents, check_totals, step_totals
from medallion_assets.health.table import SCHEMAS, add, followed_to, row_id
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gaps import list_open_gaps
from medallion_assets.ledger.table import LEDGER, FollowerOffset, find
from medallion_assets.ops.reconciliations import OPS, RECONCILIATIONS
from medallion_assets.silver.audit import RowCounts
from medallion_assets.silver.table import OPEN, QUARANTINE, ROW_COUNT, SILVER, read_position

SETTLED: Final = timedelta(seconds=5)
"""A run that ended this long ago is whole in Dagster's storage; younger ones are left to the next look."""

FIRST_LOOK: Final = timedelta(hours=1)
"""How far back the first look follows runs."""


@dataclass(frozen=True)
class _Silver:
    """A Silver table with what Bronze holds beside it: when its newest object, and those it lacks, were captured."""

    table: Table | None
    newest_at: datetime | None
    waiting: Sequence[datetime]

    def contains_to(self, now: datetime) -> datetime:
        return min(self.waiting, default=now)


def collect_health(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    marts: Iterable[Mart],
    *,
    run_events: Callable[[datetime, datetime], RunEvents],
    now: datetime,
) -> int:
    """Write how everything stands; returns how many rows were added.

    `run_events(after, to)` returns what the runs did that ended after `after` and at `to` or before. If a call dies
    half way, the next one adds what is missing: each table says up to when its rows count runs. Raises LakeUnavailable,
    CommitConflict.
    """
    until = now - SETTLED
    since = {name: followed_to(lake, name) or until - FIRST_LOOK for name in SCHEMAS}
    events = run_events(min(since.values()), until)
    checks = [
        {"id": row_id(now, row["layer"], row["table_name"], row["check_name"]), "observed_at": now, **row}
        for row in check_totals(events.after(since["checks"]))
    ]
    if checks:
        add(lake, "checks", checks, followed_to=until)
    happened = events.after(since["health"])
    rows = [
        {
            "id": row_id(now, layer, table),
            "observed_at": now,
            "layer": layer,
            "table_name": table,
            **state,
            **step_totals(happened, layer, table),
        }
        for layer, table, state in _states(lake, store, domain, marts, now)
    ]
    add(lake, "health", rows, followed_to=until)
    return len(checks) + len(rows)


def _states(
    lake: Lake, store: BronzeStore, domain: Domain, marts: Iterable[Mart], now: datetime
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Layer, table and the columns that say how it stands."""
    gaps = list_open_gaps(lake)
    ledger = find(lake, LEDGER)
    told = ledger.properties if ledger else {}
    silver = {contract.lake_name: _silver(lake, store, contract) for contract in domain.tables}
    verified = _verified(lake)
    complete = {name: FollowerOffset.read(told, name).complete_to for name in silver}
    for name, seen in silver.items():
        yield "bronze", name, {"last_captured_at": max([*seen.waiting, *filter(None, [seen.newest_at])], default=None)}
        own = [gap for gap in gaps if gap.table == name]
        counts = RowCounts.read(seen.table.properties.get(ROW_COUNT)) if seen.table else None
        yield (
            "silver",
            name,
            {
                "last_captured_at": seen.newest_at,
                "contains_to": seen.contains_to(now),
                "published_at": _published_at(seen.table),
                "complete_to": complete[name],
                "row_count": counts.rows if counts else None,
                "pending_objects": len(seen.waiting),
                "quarantined_rows": _quarantined_rows(lake, name),
                "dead_letters": sum(1 for gap in own if gap.kind == "dead_lettered"),
                "open_gaps": len([gap for gap in own if gap.lossy]),
                **verified.get(name, {}),
            },
        )
    for mart in marts:
        yield "gold", mart.name, _gold(lake, mart, silver, complete, now)


def _silver(lake: Lake, store: BronzeStore, contract: Contract) -> _Silver:
    table = lake.find(SILVER, contract.lake_name)
    position = read_position(table)
    return _Silver(
        table,
        ObjectName.parse(position.newest).captured_at if position.newest else None,
        [ObjectName.parse(path).captured_at for path in position.pending(store, contract.table)],
    )


def _gold(
    lake: Lake, mart: Mart, silver: Mapping[str, _Silver], complete: Mapping[str, datetime | None], now: datetime
) -> dict[str, Any]:
    table = lake.find(GOLD, mart.name)
    basis = InputVersions.recorded(table) if table else None
    reached = [silver[name].contains_to(now) for name in mart.tables]
    behind = []
    for name in mart.tables:
        first = _first_since(silver[name].table, basis.silver.get(name) if basis else None)
        if first is not None:
            behind.append(first)
    known = [at for name in mart.tables if (at := complete[name]) is not None]
    return {
        "last_captured_at": max((at for name in mart.tables if (at := silver[name].newest_at)), default=None),
        "contains_to": min([*reached, *behind]),
        "published_at": _published_at(table),
        "complete_to": min([*known, *behind]) if len(known) == len(mart.tables) else None,
        "pending_tables": len(behind),
    }


def _first_since(table: Table | None, snapshot_id: int | None) -> datetime | None:
    """When the first snapshot after that one was committed; None if there is none."""
    first = None
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata) if table else ():
        if snapshot.snapshot_id == snapshot_id:
            break
        first = _utc(snapshot.timestamp_ms)
    return first


def _quarantined_rows(lake: Lake, name: str) -> int:
    table = lake.find(QUARANTINE, name)
    if table is None:
        return 0
    with lake.duckdb() as connection:
        ((count,),) = connection.execute(
            f"SELECT count(*) FROM {lake.scan_sql(table, None)} WHERE status = '{OPEN}'"
        ).fetchall()
    return int(count)


def _verified(lake: Lake) -> dict[str, dict[str, Any]]:
    """By table that was ever reconciled with its source: when last, and how many rows differed."""
    table = lake.find(OPS, RECONCILIATIONS)
    if table is None:
        return {}
    with lake.duckdb() as connection:
        rows = connection.execute(
            "SELECT table_name, max(ended_at), arg_max(missing + extra + different, ended_at) "
            f"FROM {lake.scan_sql(table, None)} GROUP BY table_name"
        ).fetchall()
    return {name: {"verified_at": at, "differing_rows": differing} for name, at, differing in rows}


def _published_at(table: Table | None) -> datetime | None:
    snapshot = table.current_snapshot() if table else None
    return _utc(snapshot.timestamp_ms) if snapshot else None


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
