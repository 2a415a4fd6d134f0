"""The hourly job that keeps the lake's tables quick and its metadata small; it changes no row.

Belongs here: the job, one step per table in the table's own pool, and its schedule. What is done is gold.maintenance's.
"""

from collections.abc import Sequence
from typing import Final, Literal

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import pool
from medallion_assets.defs.resources import Pipeline
from medallion_assets.gold.spec import Mart

OPS_TABLES: Final = ("ledger", "gaps", "repairs", "reconciliations", "health", "checks")
"""Named here, because importing the rooms that name them takes a second, and definitions load without."""


def maintenance_schedule(domain: Domain, marts: Sequence[Mart]) -> dg.ScheduleDefinition:
    """The job `maintenance`, at half past every hour; switched on unless somebody switches it off."""
    tables = [contract.lake_name for contract in domain.tables]
    steps = [
        *(_step(domain, marts, "silver", name) for name in tables),
        *(_step(domain, marts, "quarantine", name) for name in tables),
        *(_step(domain, marts, "gold", mart.name) for mart in marts),
        *(_step(domain, marts, "ops", name) for name in OPS_TABLES),
    ]
    job = dg.GraphDefinition(
        name="maintenance",
        node_defs=steps,
        description="Compacts every table and expires snapshots that nothing refers to any more.",
    ).to_job(executor_def=dg.in_process_executor)
    return dg.ScheduleDefinition(
        name="hourly_maintenance",
        job=job,
        cron_schedule="30 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _step(
    domain: Domain, marts: Sequence[Mart], layer: Literal["silver", "quarantine", "gold", "ops"], name: str
) -> dg.OpDefinition:
    @dg.op(name=f"maintain_{layer}_{name}", pool=pool(layer, name), required_resource_keys={"pipeline"})
    def maintain_table(context: dg.OpExecutionContext) -> None:
        from medallion_assets.maintenance.maintain import maintain

        opened: Pipeline = context.resources.pipeline
        with translate_errors(context), opened.lake() as lake:
            expired = maintain(lake, domain, marts, layer=layer, name=name)
            context.log.info("%s.%s: %d snapshots expired", layer, name, expired)

    return maintain_table
