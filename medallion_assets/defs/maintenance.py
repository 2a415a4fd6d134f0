"""The hourly job that keeps the lake's tables quick and its metadata small, and writes compacted copies of Bronze.

Belongs here: the job, one step per table of the lake in the table's own pool, and its schedule. What is done is
maintenance's.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.gold.spec import Mart
from medallion_assets.ops.tables import OPS_TABLES

JOB: Final = "maintenance"


def maintenance_schedule(domain: Domain, marts: Sequence[Mart], names: Names) -> dg.ScheduleDefinition:
    """The job `maintenance`, at half past every hour; switched on unless somebody switches it off."""
    tables = [contract.lake_name for contract in domain.tables]
    steps = [
        *(_step(domain, marts, names, "silver", name) for name in tables),
        *(_step(domain, marts, names, "deleted", name) for name in tables),
        *(_step(domain, marts, names, "history", one.lake_name) for one in domain.tables if one.history),
        *(_step(domain, marts, names, "quarantine", name) for name in tables),
        *(_step(domain, marts, names, "gold", mart.name) for mart in marts),
        *(_step(domain, marts, names, "ops", table.name) for table in OPS_TABLES),
        # Last, because it may take minutes; and one for all tables, because each step costs a load of the definitions.
        _compact_bronze_step(domain, names),
    ]
    job = dg.GraphDefinition(
        name=names.definition(JOB),
        node_defs=steps,
        description="Compacts every table, expires snapshots that nothing refers to any more, and copies past days of "
        "Bronze into few objects.",
    ).to_job(executor_def=dg.in_process_executor)
    return dg.ScheduleDefinition(
        name=names.definition("hourly_maintenance"),
        job=job,
        cron_schedule="30 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _step(
    domain: Domain,
    marts: Sequence[Mart],
    names: Names,
    layer: Literal["silver", "deleted", "history", "quarantine", "gold", "ops"],
    name: str,
) -> dg.OpDefinition:
    @dg.op(
        name=names.definition(f"maintain_{layer}_{name}"),
        pool=names.pool(layer, name),
        required_resource_keys={names.resource_key},
    )
    def maintain_table(context: dg.OpExecutionContext) -> None:
        from medallion_assets.lake.memory import TableMemory
        from medallion_assets.maintenance.daily_snapshots import keep_daily_snapshots
        from medallion_assets.maintenance.history import shorten_history
        from medallion_assets.maintenance.maintain import maintain
        from medallion_assets.maintenance.tombstones import expire_tombstones

        pipeline = resource_of(context, names)
        with translate_errors(context), pipeline.lake() as lake:
            # Each table of the domain is asked for once in a step; a commit of another writer meanwhile is a conflict.
            lake.remember_tables(TableMemory())
            if layer == "deleted":
                contract = domain.by_name[name]
                removed = expire_tombstones(lake, pipeline.bronze_store(), contract, run_id=context.run_id)
                context.log.info("%s.%s: %d tombstones removed", layer, name, removed)
            if layer == "history":
                contract = domain.by_name[name]
                removed = shorten_history(lake, contract, now=utc_now(), run_id=context.run_id)
                context.log.info("%s.%s: %d rows removed", layer, name, removed)
            if layer == "silver":
                contract = domain.by_name[name]
                days = keep_daily_snapshots(
                    lake, pipeline.bronze_store(), contract, days=domain.days_kept(contract), now=utc_now()
                )
                context.log.info("%s.%s: daily snapshots of %d days added", layer, name, len(days))
            expired = maintain(lake, domain, marts, layer=layer, name=name)
            context.log.info("%s.%s: %d snapshots expired", layer, name, expired)

    return maintain_table


def _compact_bronze_step(domain: Domain, names: Names) -> dg.OpDefinition:
    @dg.op(
        name=names.definition("compact_bronze"),
        pool=names.definition("compact_bronze"),
        required_resource_keys={names.resource_key},
    )
    def compact_bronze(context: dg.OpExecutionContext) -> None:
        from medallion_assets.maintenance.compact_bronze import compact_all

        began = time.monotonic()
        with translate_errors(context):
            done = compact_all(
                resource_of(context, names).bronze_store(),
                list(domain.sources),
                now=utc_now(),
                elapsed=lambda: timedelta(seconds=time.monotonic() - began),
            )
        context.log.info(
            "%d copies of %d Bronze objects written, %d removed; %d of %d tables have all of theirs",
            sum(one.written for one in done.values()),
            sum(one.objects for one in done.values()),
            sum(one.removed for one in done.values()),
            sum(one.finished for one in done.values()),
            len(domain.sources),
        )

    return compact_bronze
