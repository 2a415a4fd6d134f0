"""The assets `backfill/<table>`: what a table had before its stream was captured, loaded when somebody asks for it.

Belongs here: the run config, and how Dagster shows what was done. Does not belong here: what is done (backfill.load).
An entity of a table has no such asset, because a backfill loads whole tables.
"""

from typing import Any, Literal

import dagster as dg
from pydantic import Field

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names
from medallion_assets.defs.resources import resource_of


class BackfillConfig(dg.Config):
    """Where the items come from. The source has no default: to materialize every asset must not start paid exports."""

    source: Literal["export", "scan"] = Field(description="`export`: load an export. `scan`: read the table now.")
    location: str | None = Field(
        default=None,
        description="The folder of an export that exists: s3://<bucket>/<prefix>/AWSDynamoDB/<export id>. Left out, an "
        "export is made at MEDALLION_EXPORTS.",
    )
    read_capacity: float | None = Field(
        default=None,
        description="Read capacity units a second that a scan may use. Left out, it is MEDALLION_READ_CAPACITY.",
    )
    wait_seconds: float = Field(
        default=3600.0, description="How long the pipeline may take to merge the last rows, before the run fails."
    )


def backfilled_tables(domain: Domain) -> list[Contract]:
    """Return the contracts of whole tables."""
    return [contract for contract in domain.tables if contract.where is None]


def backfill_asset(contract: Contract, names: Names) -> dg.AssetsDefinition:
    """Return the asset whose step does what `medallion backfill <table> --yes` does."""
    name = contract.lake_name

    @dg.asset(
        key=names.asset_key("backfill", name),
        deps=[names.asset_key("dynamodb", name)],
        description=f"What {contract.table} had before its stream was captured: from an export, or a scan, to Bronze.",
        group_name=names.group("backfill"),
        kinds={"dynamodb", "s3"},
        owners=[contract.owner],
        pool=names.pool("backfill", name),
        required_resource_keys={names.resource_key},
    )
    def backfill(context: dg.AssetExecutionContext, config: BackfillConfig) -> dg.MaterializeResult[Any]:
        import boto3

        from medallion_assets.backfill.load import Load
        from medallion_assets.reconciliation.catch_up import CatchUp

        pipeline = resource_of(context, names)
        with translate_errors(context), pipeline.lake() as lake:
            settings = pipeline.settings()
            load = Load(
                settings,
                lake,
                pipeline.bronze_store(),
                contract,
                boto3.Session(region_name=settings.region).client("dynamodb"),
                config.source,
                CatchUp(),
                merge_seconds=config.wait_seconds,
                location=config.location,
                read_capacity=config.read_capacity,
            )
            context.log.info("%s", load.estimate())
            done = load.run(
                note=context.log.info,
                report=lambda items, of: context.log.info(f"{items:,} of {of:,} items are in Bronze."),
            )
        if not done.merged:
            raise dg.Failure(
                f"{done.items:,} items are in Bronze in {done.objects:,} objects, and not all in Silver after "
                f"{config.wait_seconds:,.0f} s; they are merged when the pipeline runs. Then materialize this again.",
                allow_retries=False,
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": done.items,
                "read": done.read,
                "removed": done.removed,
                "open_gaps": len(done.gaps),
                "snapshot": done.id,
                "snapshot_at": dg.MetadataValue.timestamp(done.snapshot_at),
            }
        )

    return backfill
