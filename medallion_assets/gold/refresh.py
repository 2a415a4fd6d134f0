"""The refresh of one mart: find the affected days or keys, compute them, then stage, audit and publish them.

Belongs here: the act. Does not belong here: which days or keys are affected (changes), what a mart is (spec), how its
SQL runs (engines).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from medallion_assets.checks.results import CheckResult
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.engines.engine import DayFilter, Engine, Input, KeyFilter
from medallion_assets.errors import MartError
from medallion_assets.gold.audit import audit_mart
from medallion_assets.gold.changes import (
    CURRENT_DATE,
    INPUT_SNAPSHOTS,
    InputVersions,
    affected_partitions,
    find_inputs,
)
from medallion_assets.gold.completeness import Computation, published_complete_to, read_inputs_complete_to
from medallion_assets.gold.local_days import utc_days
from medallion_assets.gold.mart_file import COMPUTED_AT, SILVER_SNAPSHOTS
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.table import RUN_ID

log = logging.getLogger(__name__)

MOST_KEYS: Final = 0.25
"""With more affected keys than this share of a mart's rows, all of it is computed. At a third both take as much of the
processor; and until the next compaction every reader skips the rows that a refresh by keys has deleted."""


@dataclass(frozen=True)
class RefreshResult:
    """The result of one refresh.

    - checks: of the audit; empty if nothing was computed
    - published: False only if a blocking check failed
    - changed: whether readers see other rows than before
    - days: the days that were computed, in order; empty for a mart that is not partitioned by day
    - keys: how many keys were computed; None for a mart that is not partitioned by key
    - rows: how many rows were computed
    - snapshot_id: the published snapshot of the mart; None while it has no rows
    - input_snapshots: snapshot id by input (Mart.inputs) that the rows were computed from
    - complete_to: every change of the tables' streams up to then is in the published mart; None if that is not known
    """

    checks: tuple[CheckResult, ...]
    published: bool
    changed: bool
    days: tuple[date, ...]
    keys: int | None
    rows: int
    snapshot_id: int | None
    input_snapshots: Mapping[str, int | None]
    complete_to: datetime | None


@translate_outages()
def refresh(
    lake: Lake,
    mart: Mart,
    *,
    today: date,
    now: datetime,
    run_id: str,
    days: Sequence[date] | None = None,
    whole: bool = False,
    engine: Engine | None = None,
) -> RefreshResult:
    """Bring a mart up to date with its inputs: compute the affected days or keys, or the whole mart.

    `days` are computed even if nothing affects them, and with `whole` the whole mart is. `today` is the value of
    `current_date`; `now` goes into the rows' `computed_at`; `engine` computes the rows, DuckDB in this process if it is
    None. If there is nothing to compute, nothing is staged. A failed blocking check leaves the published mart as it
    was; the caller decides what to do then. Raises MartError if the SQL cannot be run, SchemaMismatch if the mart's
    columns are no longer those of its table, LakeUnavailable, CommitConflict if another writer was faster at every
    attempt, and what the engine raises.
    """
    if days is not None and not mart.is_daily:
        raise MartError(f"{mart.name} is not partitioned by day; refresh it without days.")
    result = retry_on_conflict(
        lambda: _refresh_once(
            lake,
            mart,
            engine or EmbeddedEngine(lake),
            today=today,
            now=now,
            run_id=run_id,
            requested=days or (),
            whole=whole,
        ),
        what=f"gold.{mart.name}",
    )
    if result.changed and mart.is_keyed:
        # Each refresh leaves a small file and deleted rows in the others.
        compact(lake, lake.table(GOLD, mart.name), sort_by=mart.sort_order)
    return result


def _refresh_once(
    lake: Lake,
    mart: Mart,
    engine: Engine,
    *,
    today: date,
    now: datetime,
    run_id: str,
    requested: Sequence[date],
    whole: bool,
) -> RefreshResult:
    partition = mart.spec.partition
    # Before the tables: what is said of an input is true of every later snapshot of it.
    inputs_complete_to = read_inputs_complete_to(lake, mart)
    table = lake.ensure(GOLD, mart.name, mart.schema, partition_by=iceberg_partition(mart))
    recorded = InputVersions.recorded(table)
    tables = find_inputs(lake, mart, recorded=recorded)
    inputs = InputVersions(
        snapshots={name: table.metadata.current_snapshot_id if table else None for name, table in tables.items()},
        current_date=today if mart.uses_current_date else None,
        code_version=mart.code_version,
    )
    properties = inputs.to_properties() | Computation(now, inputs_complete_to).to_properties()
    affected = None if whole else affected_partitions(lake, mart, tables, before=recorded, now=inputs)
    if affected is not None and requested:
        # Never alone: the next refresh would not know of rows that came to a requested day and left it.
        affected = pc.unique(pa.concat_arrays([affected, pa.array(requested, affected.type)]))
    if affected is not None and mart.is_keyed and _is_most(affected, table):
        affected = None
    main = table.metadata.current_snapshot_id
    if affected is not None and not len(affected):
        if recorded != inputs:
            publish(lake, table, Staged(".".join(table.name()), main), properties=properties)
        complete_to = published_complete_to(mart, table, tables, inputs_complete_to)
        return RefreshResult((), True, False, *_computed(mart, affected), 0, main, inputs.snapshots, complete_to)

    rows = _compute(engine, mart, tables, inputs, today=today, affected=affected)
    constants = {COMPUTED_AT: now, SILVER_SNAPSHOTS: properties[INPUT_SNAPSHOTS]}
    for name, value in constants.items():
        field = mart.schema.field(name)
        rows = rows.append_column(field, pa.repeat(pa.scalar(value, field.type), rows.num_rows))
    staged = stage_replace(
        lake,
        table,
        rows,
        only=(partition.column, affected) if partition is not None and affected is not None else None,
        properties={RUN_ID: run_id, **{name: properties[name] for name in (INPUT_SNAPSHOTS, CURRENT_DATE)}},
        sort_by=mart.sort_order,
    )
    checks = audit_mart(EmbeddedEngine(lake), lake, staged.applied_to(table), mart, snapshot_id=None, only=affected)
    published = not any(check.blocks_publish for check in checks)
    if published:
        publish(lake, table, staged, properties=properties)
    else:
        discard(lake, table, staged)
    what = f"{len(affected)} {partition.unit}s" if partition is not None and affected is not None else "the whole mart"
    log.info("gold.%s: %d rows, %s", mart.name, rows.num_rows, what)
    if affected is None and partition is not None:
        affected = pc.unique(rows[partition.column])
    days, keys = _computed(mart, affected)
    return RefreshResult(
        checks=tuple(checks),
        published=published,
        changed=published and staged.changed,
        days=days,
        keys=keys,
        rows=rows.num_rows,
        snapshot_id=staged.snapshot_id if published else main,
        input_snapshots=inputs.snapshots,
        complete_to=published_complete_to(mart, table, tables, inputs_complete_to),
    )


def iceberg_partition(mart: Mart) -> list[tuple[str, str]]:
    """Return the partition of a mart's table, as (column, transform) pairs."""
    partition = mart.spec.partition
    return [(partition.column, "day")] if partition is not None and partition.unit == "day" else []


def _compute(
    engine: Engine,
    mart: Mart,
    tables: Mapping[str, Table | None],
    inputs: InputVersions,
    *,
    today: date,
    affected: pa.Array | None,
) -> pa.Table:
    """Return the rows that the mart's query gives for these versions, of these days or keys or (None) of all."""
    sources = {
        name: Input(
            columns=mart.sources[name].columns,
            table=table,
            snapshot_id=inputs.snapshots[name],
        )
        for name, table in tables.items()
    }
    columns = {name: column.type for name, column in mart.columns.items()}
    return engine.compute(mart.query, sources, columns, today=today, only=_filter(mart, affected))


def _filter(mart: Mart, affected: pa.Array | None) -> DayFilter | KeyFilter | None:
    partition = mart.spec.partition
    if partition is None or affected is None:
        return None
    if partition.unit == "key":
        return KeyFilter(column=partition.column, keys=affected, table=partition.table, key_of=partition.source)
    days = sorted(affected.to_pylist())
    return DayFilter(
        column=partition.column,
        days=days,
        table=partition.table,
        day_of=partition.source,
        read_days=utc_days(partition, days),
    )


def _computed(mart: Mart, values: pa.Array | None) -> tuple[tuple[date, ...], int | None]:
    """Return the days, and the number of keys, that these values of the partition's column are."""
    days = sorted(values.drop_null().to_pylist()) if mart.is_daily and values is not None else []
    return tuple(days), len(values) if mart.is_keyed and values is not None else None


def _is_most(keys: pa.Array, table: Table) -> bool:
    """Return whether computing the whole mart is as quick as computing these keys. Reads no row."""
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return True
    counts = [int(snapshot.summary.get(name) or 0) for name in ("total-records", "total-position-deletes")]
    return len(keys) > MOST_KEYS * (counts[0] - counts[1])
