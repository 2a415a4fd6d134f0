"""The assets `reconciliation/<table>`: Silver compared with its source once a night; the result is a check.

Belongs here: when a table is compared, and how Dagster shows the result. Does not belong here: comparing
(reconciliation), correcting differences (`medallion repair`).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Severity
from medallion_assets.defs.checks import check_result, check_specs
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names
from medallion_assets.defs.resources import resource_of

if TYPE_CHECKING:
    from medallion_assets.reconciliation.comparison import Comparison

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]

_CHECK: Final = "source"


def reconciliation_asset(contract: Contract, domain: Domain, names: Names) -> dg.AssetsDefinition:
    """Return the comparison of one table with its source, which is recorded in `ops.reconciliations`.

    A scan takes read capacity of the application's table: at most MEDALLION_READ_CAPACITY units a second.
    """
    name = contract.lake_name
    key = names.asset_key("reconciliation", name)
    checks: list[tuple[str, Severity]] = [(_CHECK, "warn")]

    @dg.asset(
        key=key,
        deps=[names.asset_key("dynamodb", name), names.asset_key("silver", name)],
        description=f"Whether Silver equals {contract.table}: a scan of the source, compared with silver.{name}.",
        group_name=names.group("reconciliation"),
        kinds={"dynamodb", "iceberg"},
        owners=[contract.owner],
        check_specs=check_specs(key, checks),
        pool=names.pool("reconciliation", name),
        required_resource_keys={names.resource_key},
    )
    def reconciliation(context: dg.AssetExecutionContext) -> Events:
        import boto3

        from medallion_assets.reconciliation.catch_up import CatchUp
        from medallion_assets.reconciliation.reconcile import reconcile
        from medallion_assets.reconciliation.record import record_reconciliation
        from medallion_assets.reconciliation.scan import DynamoTable

        pipeline = resource_of(context, names)
        with (
            translate_errors(context),
            pipeline.lake() as lake,
            tempfile.TemporaryDirectory(prefix="medallion-reconciliation-") as folder,
        ):
            settings = pipeline.settings()
            source = DynamoTable(
                boto3.Session(region_name=settings.region).client("dynamodb"),
                settings.source_names().in_dynamodb(contract.table),
                read_capacity=settings.read_capacity,
            )
            found = reconcile(
                lake,
                domain,
                contract,
                source=source,
                store=pipeline.bronze_store(),
                folder=Path(folder) / name,
                catch_up=CatchUp(),
            )
            record_reconciliation(lake, found, run_id=context.run.run_id)
        yield check_result(key, _result(found.comparison))
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": found.comparison.source,
                "read_units": found.units,
                "seconds": (found.ended_at - found.started_at).total_seconds(),
            }
        )

    return reconciliation


def reconciliation_schedule(domain: Domain, names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of all comparisons, every night; it is on unless somebody switches it off."""
    return dg.ScheduleDefinition(
        name=names.definition("nightly_reconciliation"),
        job=dg.define_asset_job(
            names.definition("reconciliation"),
            selection=[names.asset_key("reconciliation", contract.lake_name) for contract in domain.tables],
            executor_def=dg.in_process_executor,
        ),
        cron_schedule="15 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _result(found: "Comparison") -> CheckResult:
    names = ("source", "lake", "equal", "missing", "extra", "different", "in_quarantine", "in_flight", "unconfirmed")
    behind = f" Some rows could not be judged: {found.behind}." if found.behind else ""
    return CheckResult(
        _CHECK,
        found.agrees,
        "warn",
        f"Silver has every item of the source, value by value, and no other row.{behind}",
        {name: getattr(found, name) for name in names},
        found.differences,
    )
