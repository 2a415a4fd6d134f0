"""Collect the pipeline's health: the status of every table and mart, and what runs did since the previous observation.

Belongs here: the rows of `ops.health` and `ops.checks`. Does not belong here: reading the status (status), adding up
what runs did (run_events), when this happens (defs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.spec import Mart
from medallion_assets.health.run_events import RunEvents, check_totals, step_totals
from medallion_assets.health.status import read_status
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.status import read_completeness
from medallion_assets.ops.tables import CHECKS, HEALTH, RECONCILIATIONS, OpsTable
from medallion_assets.ops.upsert import Change, upsert_planned

EVENT_DELAY: Final = timedelta(seconds=5)
"""Dagster's storage has all events of a run this long after its end. A later run is left to the next call."""

FIRST_INTERVAL: Final = timedelta(hours=1)
"""The first call counts runs that ended this long ago or later."""

RUNS_COUNTED_TO: Final = "medallion.runs-counted-to"
"""A property of `ops.health` and of `ops.checks`: the table counts all runs that ended up to this time."""


def collect_health(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    marts: Sequence[Mart],
    *,
    run_events: Callable[[datetime, datetime], RunEvents],
    now: datetime,
) -> int:
    """Write one observation of every table and mart; return the number of rows written.

    `run_events(after, to)` returns the events of the runs that ended after `after` and not after `to`. If a call dies
    half way, the next one writes what is missing: each table records up to when its rows count runs. Raises
    LakeUnavailable, CommitConflict.
    """
    until = now - EVENT_DELAY
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

    upsert_planned(lake, table, plan)
    return written


def _counted_to(properties: Mapping[str, str]) -> datetime | None:
    text = properties.get(RUNS_COUNTED_TO)
    return datetime.fromisoformat(text) if text else None


def _row_id(observed_at: datetime, *names: str) -> str:
    return "/".join([f"{observed_at:%Y%m%dT%H%M%S%f}", *names])


def _states(
    lake: Lake, store: BronzeStore, domain: Domain, marts: Sequence[Mart], now: datetime
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Yield layer, table and the columns of the state."""
    completeness = read_completeness(lake, [contract.lake_name for contract in domain.tables])
    status = read_status(lake, store, domain, marts, completeness=completeness, now=now)
    verified = _verified(lake)
    for table in status.tables:
        yield "bronze", table.table, {"last_captured_at": table.last_captured_at}
        yield (
            "silver",
            table.table,
            {
                "last_captured_at": table.last_merged_at,
                "contains_to": table.contains_to,
                "published_at": table.published_at,
                "complete_to": table.complete_to,
                "row_count": table.rows,
                "pending_objects": table.pending_objects,
                "quarantined_rows": table.quarantined_rows,
                "dead_letters": sum(gap.kind == "dead_lettered" for gap in table.gaps),
                "parked_records": table.parked.dead_letters,
                "parked_batches": table.parked.batches,
                "parked_since": table.parked.since,
                "open_gaps": sum(gap.lossy for gap in table.gaps),
                **verified.get(table.table, {}),
            },
        )
    for mart in status.marts:
        yield (
            "gold",
            mart.mart,
            {
                "last_captured_at": mart.last_merged_at,
                "contains_to": mart.contains_to,
                "published_at": mart.published_at,
                "complete_to": mart.complete_to,
                "row_count": mart.rows,
                "pending_tables": len(mart.behind),
            },
        )


def _verified(lake: Lake) -> dict[str, dict[str, Any]]:
    """Return by lake name when a table was last compared with its source, and how many rows differed then."""
    table = RECONCILIATIONS.find(lake)
    if table is None:
        return {}
    with lake.duckdb() as connection:
        rows = connection.execute(
            "SELECT table_name, max(ended_at), arg_max(missing_rows + extra_rows + different_rows, ended_at) "
            f"FROM {lake.scan_sql(table, None)} GROUP BY table_name"
        ).fetchall()
    return {name: {"verified_at": at, "differing_rows": differing} for name, at, differing in rows}
