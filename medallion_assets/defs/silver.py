"""The assets `silver/<table>`: one exact, typed, audited row per key; and the checks of the published table."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Severity
from medallion_assets.defs.checks import audit_failure, first_failure_per_check, log_results, published_checks
from medallion_assets.defs.columns import silver_columns, silver_lineage
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.freshness import freshness
from medallion_assets.defs.names import Names, code_version, daily, utc_now
from medallion_assets.defs.resources import MedallionResource, resource_of
from medallion_assets.defs.run_config import StepConfig
from medallion_assets.ledger.completeness_check import COMPLETENESS, check_table
from medallion_assets.silver.audit import RowCounts, check_names

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.silver.batch import BatchResult


def silver_asset(contract: Contract, domain: Domain, names: Names) -> dg.AssetsDefinition:
    """Return the Silver table of one contract, one partition per UTC capture day of the changes merged into it."""
    name = contract.lake_name
    key = names.asset_key("silver", name)
    lineage = silver_lineage(contract, names)

    @dg.asset(
        key=key,
        # The day's own capture, and the tables that columns are copied from: in one run they are merged first.
        deps=[names.asset_key("bronze", name), *(names.asset_key("silver", part.table) for part in contract.enrich)],
        description=contract.description,
        group_name=names.group("silver"),
        kinds={"iceberg", "parquet"},
        owners=[contract.owner],
        partitions_def=daily(domain.since),
        backfill_policy=dg.BackfillPolicy.single_run(),
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
    def silver(context: dg.AssetExecutionContext, config: StepConfig) -> dg.MaterializeResult[Any]:
        from medallion_assets.silver.batches import merge_pending, remerge_day

        resource = resource_of(context, names)
        merge = merge_pending if config.incremental else remerge_day
        with translate_errors(context), resource.lake(remember_tables=True) as lake:
            done: list[BatchResult] = []
            days: list[str] = []
            for day in context.partition_keys:
                days.append(day)
                done += merge(
                    lake,
                    resource.bronze_store(hand_on=True),
                    contract,
                    domain,
                    day=date.fromisoformat(day),
                    run_id=context.run.run_id,
                    now=utc_now(),
                )
                if any(not result.published for result in done):
                    break
            results = first_failure_per_check(check for result in done for check in result.checks)
            table_results = _check_whole_table(lake, contract)
            stopped = any(not result.published for result in done)
            captured = days[-1] if stopped else " to ".join(dict.fromkeys([days[0], days[-1]]))
            log_results(context, key, _checks(contract), [*results, *table_results.values()], capture_day=captured)
            if stopped:
                raise audit_failure(
                    results,
                    what=f"a batch of {name}, captured on {captured}",
                    what_to_do=f"Afterwards materialize {key.to_user_string()} for this day again.",
                )
            metadata: dict[str, Any] = {
                **_totals(done),
                "in_quarantine": table_results["quarantine"].numbers["open"],
                **_row_count(lake, name),
                "dagster/column_lineage": lineage,
            }
            return dg.MaterializeResult(metadata=metadata)

    return silver


def silver_checks(contract: Contract, domain: Domain, names: Names) -> dg.AssetChecksDefinition:
    """Return the checks of one Silver table, which audit the published table when they are executed alone."""

    def audit(resource: MedallionResource, selected: Collection[str]) -> list[CheckResult]:
        from medallion_assets.silver.published import audit_published

        with resource.lake() as lake:
            results = audit_published(
                lake,
                resource.bronze_store(),
                contract,
                domain,
                names=selected,
                now=utc_now(),
                engine=resource.open_engine(lake),
            )
            return [*results, *_check_whole_table(lake, contract).values()]

    key = names.asset_key("silver", contract.lake_name)
    return published_checks(f"check_silver_{contract.lake_name}", key, _checks(contract), names, audit)


def _checks(contract: Contract) -> list[tuple[str, Severity]]:
    return [*check_names(contract), ("quarantine", "warn"), (COMPLETENESS, "warn")]


def _check_whole_table(lake: "Lake", contract: Contract) -> dict[str, CheckResult]:
    """Return the results that are of the table, whatever batch was merged: how many changes are in quarantine, and
    up to when the table is complete."""
    from medallion_assets.ledger.status import read_completeness
    from medallion_assets.silver.quarantine import check_quarantine

    name = contract.lake_name
    return {
        "quarantine": check_quarantine(lake, contract),
        COMPLETENESS: check_table(contract, read_completeness(lake, [name])[name], now=utc_now()),
    }


def _row_count(lake: "Lake", name: str) -> dict[str, int]:
    """Return the live rows of the published table, as the commit that published them counted."""
    from medallion_assets.silver.table import ROW_COUNT, SILVER

    table = lake.find(SILVER, name)
    counts = RowCounts.read(table.properties.get(ROW_COUNT)) if table is not None else None
    return {"dagster/row_count": counts.rows} if counts is not None else {}


def _totals(done: "Sequence[BatchResult]") -> dict[str, Any]:
    counts = ("rows_in", "redelivered", "merged", "superseded", "unchanged", "quarantined", "dropped", "other_entities")
    changes = ("resolved", "inserted", "updated", "deleted", "enriched")
    totals = {name: sum(getattr(result, name) for result in done) for name in (*counts, *changes)}
    totals["objects"] = sum(len(result.objects) for result in done)
    last = done[-1].snapshot_id if done else None
    # As text: a snapshot id has 19 digits, and the page that shows it counts in doubles.
    return {"commits": len(done), **totals, **({"snapshot_id": str(last)} if last is not None else {})}
