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
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gaps import list_open_gaps
from medallion_assets.ledger.offset import FollowerOffset, read_properties
from medallion_assets.ops.tables import CHECKS, HEALTH, RECONCILIATIONS, OpsTable
from medallion_assets.ops.upsert import Change, upsert_planned
from medallion_assets.silver.audit import RowCounts
from medallion_assets.silver.table import OPEN, QUARANTINE, ROW_COUNT, SILVER, read_position

SETTLED: Final = timedelta(seconds=5)
"""All events of a run are in Dagster's storage this long after its end; younger runs are left to the next call."""

FIRST_INTERVAL: Final = timedelta(hours=1)
"""How far back the first call counts runs."""

RUNS_COUNTED_TO: Final = "medallion.runs-counted-to"
"""A property of `ops.health` and of `ops.checks`: the table counts all runs that ended up to this time."""


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
    since = [_counted_to(found.properties) if (found := table.find(lake)) else None for table in (CHECKS, HEALTH)]
    events = run_events(min(at or until - FIRST_INTERVAL for at in since), until)

    def check_rows(happened: RunEvents) -> list[dict[str, Any]]:
        return [
            {"id": _row_id(now, row["layer"], row["table_name"], row["check_name"]), "observed_at": now, **row}
            for row in check_totals(happened)
        ]

    def health_rows(happened: RunEvents) -> list[dict[str, Any]]:
        return [
            {
                "id": _row_id(now, layer, table),
                "observed_at": now,
                "layer": layer,
                "table_name": table,
                **state,
                **step_totals(happened, layer, table),
            }
            for layer, table, state in states
        ]

    written = _write(lake, CHECKS, check_rows, events, until) if check_totals(events) else 0
    states = list(_states(lake, store, domain, marts, now))
    return written + _write(lake, HEALTH, health_rows, events, until)


def _write(
    lake: Lake,
    table: OpsTable,
    rows_of: Callable[[RunEvents], list[dict[str, Any]]],
    events: RunEvents,
    until: datetime,
) -> int:
    """Write the rows of the events that the table does not count yet; return their number."""
    written = 0

    def plan(properties: Mapping[str, str]) -> Change:
        nonlocal written
        since = _counted_to(properties) or until - FIRST_INTERVAL
        rows = rows_of(events.after(since))
        written = len(rows)
        return Change(rows, {RUNS_COUNTED_TO: max(since, until).isoformat()} if rows else {})

    upsert_planned(lake, table, plan, run_id=f"health-{until:%Y%m%dT%H%M%S%f}")
    return written


def _counted_to(properties: Mapping[str, str]) -> datetime | None:
    text = properties.get(RUNS_COUNTED_TO)
    return datetime.fromisoformat(text) if text else None


def _row_id(observed_at: datetime, *names: str) -> str:
    return "/".join([f"{observed_at:%Y%m%dT%H%M%S%f}", *names])


def _states(
    lake: Lake, store: BronzeStore, domain: Domain, marts: Iterable[Mart], now: datetime
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Layer, table and the columns that say how it stands."""
    gaps = list_open_gaps(lake)
    ledger = read_properties(lake)
    silver = {contract.lake_name: _silver(lake, store, contract) for contract in domain.tables}
    verified = _verified(lake)
    complete = {name: FollowerOffset.read(ledger, name).complete_to for name in silver}
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
    table = RECONCILIATIONS.find(lake)
    if table is None:
        return {}
    with lake.duckdb() as connection:
        rows = connection.execute(
            "SELECT table_name, max(ended_at), arg_max(missing_rows + extra_rows + different_rows, ended_at) "
            f"FROM {lake.scan_sql(table, None)} GROUP BY table_name"
        ).fetchall()
    return {name: {"verified_at": at, "differing_rows": differing} for name, at, differing in rows}


def _published_at(table: Table | None) -> datetime | None:
    snapshot = table.current_snapshot() if table else None
    return _utc(snapshot.timestamp_ms) if snapshot else None


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
