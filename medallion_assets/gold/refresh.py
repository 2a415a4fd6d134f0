"""The refresh of one mart: compute what Silver's news touched, stage it, audit it, publish it.

What is touched is news; what a mart is, spec; how its SQL runs, engines.
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
from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import MartError
from medallion_assets.gold.audit import audit_mart
from medallion_assets.gold.changes import INPUT_SNAPSHOTS, InputVersions, affected_days, silver_tables
from medallion_assets.gold.spec import COMPUTED_AT, SILVER_SNAPSHOTS, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH, Staged
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.table import RUN_ID, SILVER, silver_schema

log = logging.getLogger(__name__)

GOLD: Final = "gold"


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh did. `changed` says whether readers see other rows; `published` is False only if the audit held.

    `days` are the days computed, empty for a mart without a partition. `rows` is how many rows were computed.
    """

    checks: tuple[CheckResult, ...]
    published: bool
    changed: bool
    days: tuple[date, ...]
    rows: int
    snapshot_id: int | None
    silver_snapshots: Mapping[str, int | None]


@translate_outages()
def refresh(
    lake: Lake,
    mart: Mart,
    domain: Domain,
    *,
    today: date,
    now: datetime,
    run_id: str,
    days: Sequence[date] | None = None,
) -> RefreshResult:
    """Bring a mart up to Silver as it is now: compute the days that its news touched, and `days` even without news.

    `today` is what `current_date` means, `now` is written to the rows. Without either nothing is committed. A failed
    blocking check leaves the published mart as it was; the caller decides what that means. Raises MartError if the SQL
    cannot be run, SchemaMismatch if the mart's columns are no longer those of its table, LakeUnavailable, and
    CommitConflict if another writer was faster every time.
    """
    if days is not None and mart.spec.partition is None:
        raise MartError(f"{mart.name} is not partitioned by day; refresh it without days.")
    return retry_on_conflict(
        lambda: _refresh(lake, mart, domain, today=today, now=now, run_id=run_id, named=days),
        what=f"gold.{mart.name}",
    )


def gold_schema(mart: Mart) -> pa.Schema:
    """The Arrow schema of a mart's table: its columns, when they were computed, and from which Silver snapshots."""
    return pa.schema(
        [
            *(pa.field(name, column.type.arrow()) for name, column in mart.columns.items()),
            pa.field(COMPUTED_AT, pa.timestamp("us", tz="UTC")),
            pa.field(SILVER_SNAPSHOTS, pa.string()),
        ]
    )


def _refresh(
    lake: Lake, mart: Mart, domain: Domain, *, today: date, now: datetime, run_id: str, named: Sequence[date] | None
) -> RefreshResult:
    tables = silver_tables(lake, mart)
    basis = InputVersions(
        silver={name: table.metadata.current_snapshot_id if table else None for name, table in tables.items()},
        as_of=today if mart.uses_current_date else None,
        code_version=mart.code_version,
    )
    partition = mart.spec.partition
    layout = [(partition.column, "day")] if partition else []
    table = lake.ensure(GOLD, mart.name, gold_schema(mart), partition_by=layout)
    recorded = InputVersions.recorded(table)
    touched = affected_days(lake, mart, domain, tables, before=recorded, now=basis)
    # Never the named days alone: rows that came to one of them and left it would be no news of it to the next refresh.
    days = None if touched is None else sorted(touched.union(named or ()))
    main = table.metadata.current_snapshot_id
    branch = f"{AUDIT_BRANCH}{run_id}"
    if days == []:
        if recorded != basis:
            nothing = Staged(".".join(table.name()), branch, main, main)
            publish(lake, table, nothing, properties=basis.properties)
        return RefreshResult((), True, False, (), 0, main, basis.silver)

    rows = _compute(lake, mart, domain, tables, basis, today=today, now=now, days=days)
    staged = stage_replace(
        lake,
        table,
        rows,
        branch=branch,
        partitions=days,
        partition_column=partition.column if partition else None,
        properties={RUN_ID: run_id, INPUT_SNAPSHOTS: basis.properties[INPUT_SNAPSHOTS]},
        sort_by=mart.spec.grain,
    )
    checks = audit_mart(lake, table, mart, snapshot_id=staged.snapshot_id, days=days, schema=gold_schema(mart))
    published = not any(check.blocks_publish for check in checks)
    if published:
        publish(lake, table, staged, properties=basis.properties)
    else:
        discard(lake, table, staged)
    if partition and days is None:
        days = sorted(day for day in pc.unique(rows[partition.column]).to_pylist() if day is not None)
    log.info("gold.%s: %d rows of %s", mart.name, rows.num_rows, f"{len(days)} days" if days else "the whole")
    return RefreshResult(
        checks=tuple(checks),
        published=published,
        changed=published and staged.changed,
        days=tuple(days or ()),
        rows=rows.num_rows,
        snapshot_id=staged.snapshot_id if published else main,
        silver_snapshots=basis.silver,
    )


def _compute(
    lake: Lake,
    mart: Mart,
    domain: Domain,
    tables: Mapping[str, Table | None],
    basis: InputVersions,
    *,
    today: date,
    now: datetime,
    days: Sequence[date] | None,
) -> pa.Table:
    """The mart's rows, of these days or all, as its table holds them."""
    partition = mart.spec.partition
    with Embedded(lake) as session:
        for name, table in tables.items():
            if table is None:
                session.show_rows(SILVER, name, silver_schema(domain.by_name[name], domain).empty_table())
            elif partition and days is not None and name == partition.table:
                session.show(table, days=(partition.day_of, days))
            else:
                session.show(table)
        only = (partition.column, days) if partition and days is not None else None
        rows = session.compute(mart.query, today=today, days=only)
    constants = {COMPUTED_AT: now, SILVER_SNAPSHOTS: basis.properties[INPUT_SNAPSHOTS]}
    for field in list(gold_schema(mart))[len(mart.columns) :]:
        rows = rows.append_column(field, pa.repeat(pa.scalar(constants[field.name], field.type), rows.num_rows))
    return rows
