"""The assets `silver/<table>`: one exact, typed, audited row per key."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Severity
from medallion_assets.defs.checks import (
    audit_failure,
    check_results,
    check_specs,
    first_failure_per_check,
    log_partition,
)
from medallion_assets.defs.columns import silver_columns, silver_lineage
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.freshness import freshness
from medallion_assets.defs.names import Names, code_version, daily, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.defs.run_config import StepConfig
from medallion_assets.ledger.completeness_check import COMPLETENESS, check_table
from medallion_assets.silver.audit import RowCounts, check_names

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.silver.batch import BatchResult

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


def silver_asset(contract: Contract, domain: Domain, names: Names) -> dg.AssetsDefinition:
    """The Silver table of one contract, one partition per UTC capture day of the changes merged into it."""
    name = contract.lake_name
    key = names.asset_key("silver", name)
    lineage = silver_lineage(contract, names)
    partitions = daily(domain.since)
    checks = check_names(contract)
    # How many changes are in quarantine, and up to when all is there, are matters of the
    # table, not of the day that is merged.
    waiting: list[tuple[str, Severity]] = [("quarantine", "warn"), (COMPLETENESS, "warn")]

    @dg.asset(
        key=key,
        # The day's own capture, and the tables that columns are copied from: in one run they are merged first.
        deps=[names.asset_key("bronze", name), *(names.asset_key("silver", part.table) for part in contract.enrich)],
        description=contract.description,
        group_name=names.group("silver"),
        kinds={"iceberg", "parquet"},
        owners=[contract.owner],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[*check_specs(key, checks, partitions), *check_specs(key, waiting)],
        pool=names.pool("silver", name),
        freshness_policy=freshness([contract]),
        code_version=code_version(contract),
        required_resource_keys={names.resource_key},
        metadata={
            "dagster/table_name": f"silver.{name}",
            "dagster/column_schema": silver_columns(contract, domain),
            "dagster/column_lineage": lineage,
        },
    )
    def silver(context: dg.AssetExecutionContext, config: StepConfig) -> Events:
        from medallion_assets.ledger.status import read_completeness
        from medallion_assets.silver.batches import merge_pending, remerge_day
        from medallion_assets.silver.quarantine import check_quarantine

        pipeline = resource_of(context, names)
        merge = merge_pending if config.incremental else remerge_day
        with translate_errors(context), pipeline.lake() as lake:
            done: list[BatchResult] = []
            for day in context.partition_keys:
                merged = list(
                    merge(
                        lake,
                        pipeline.bronze_store(),
                        contract,
                        domain,
                        day=date.fromisoformat(day),
                        run_id=context.run.run_id,
                        now=utc_now(),
                    )
                )
                done += merged
                if len(context.partition_keys) > 1:
                    log_partition(
                        context,
                        key,
                        first_failure_per_check(check for result in merged for check in result.checks),
                        day,
                    )
                if any(not result.published for result in merged):
                    break
            results = first_failure_per_check(check for result in done for check in result.checks)
            quarantine = check_quarantine(lake, contract)
            complete = check_table(contract, read_completeness(lake, [name])[name], now=utc_now())
            yield from check_results(key, [*checks, *waiting], [*results, quarantine, complete])
            if any(not result.published for result in done):
                raise audit_failure(
                    results,
                    what=f"a batch of {name}",
                    what_to_do=f"Mend the cause, then materialize {key.to_user_string()} for this day again.",
                )
            metadata = {
                **_totals(done),
                "in_quarantine": quarantine.numbers["open"],
                **_row_count(lake, name),
                "dagster/column_lineage": lineage,
            }
            yield dg.MaterializeResult(metadata=metadata)

    return silver


def _row_count(lake: "Lake", name: str) -> dict[str, int]:
    """The live rows of the published table, as the commit that published them counted."""
    from medallion_assets.silver.table import ROW_COUNT, SILVER

    counts = RowCounts.read(lake.table(SILVER, name).properties.get(ROW_COUNT))
    return {"dagster/row_count": counts.rows} if counts is not None else {}


def _totals(done: "Sequence[BatchResult]") -> dict[str, Any]:
    counts = ("rows_in", "merged", "superseded", "unchanged", "quarantined", "dropped", "resolved")
    changes = ("inserted", "updated", "deleted", "enriched")
    totals = {name: sum(getattr(result, name) for result in done) for name in (*counts, *changes)}
    totals["objects"] = sum(len(result.objects) for result in done)
    last = done[-1].snapshot_id if done else None
    # As text: a snapshot id has 19 digits, and the page that shows it counts in doubles.
    return {"commits": len(done), **totals, **({"snapshot_id": str(last)} if last is not None else {})}
