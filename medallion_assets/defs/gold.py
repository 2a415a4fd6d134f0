"""The assets `gold/<mart>`: SQL over Silver and other marts, refreshed where they changed; and their checks."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Severity
from medallion_assets.defs.automation import at_new_day
from medallion_assets.defs.checks import audit_failure, evaluation, log_results, published_checks
from medallion_assets.defs.columns import mart_columns, mart_lineage
from medallion_assets.defs.dagster_private import NO_MATERIALIZATION
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.freshness import freshness
from medallion_assets.defs.names import Names, daily, utc_now
from medallion_assets.defs.resources import MedallionResource, resource_of
from medallion_assets.defs.run_config import StepConfig
from medallion_assets.engines.names import schema_and_table
from medallion_assets.gold.audit import check_names
from medallion_assets.ledger.completeness_check import COMPLETENESS, check_mart, mart_severity

if TYPE_CHECKING:
    from medallion_assets.gold.refresh import RefreshResult
    from medallion_assets.gold.spec import Mart
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.ledger.status import Completeness

Events = Iterator[dg.MaterializeResult[Any] | dg.Output[None]]


def gold_asset(mart: "Mart", domain: Domain, names: Names) -> dg.AssetsDefinition:
    """Return one mart. Its partitions, if it is refreshed by days, are order days; any capture day may affect any.

    They are declared like the capture days, so that one run can contain all layers. The partition of the sensor's run
    is a capture day. In it the step does not materialize that day: it reports the order days it refreshed, one by one,
    and yields an output that is no materialization, so that the marts which read it follow in the same run.
    """
    key = names.asset_key("gold", mart.name)
    partitions = daily(domain.since) if mart.is_daily else None
    lineage = mart_lineage(mart, names)
    checks, severity = _checks(mart, domain), mart_severity(mart.tables, domain)
    contracts = [domain.by_name[table] for table in mart.tables]

    @dg.asset(
        key=key,
        deps=[_dep(mart, name, names) for name in mart.inputs],
        dagster_type=cast("dg.DagsterType", dg.Nothing),
        description=mart.spec.description,
        group_name=names.group("gold"),
        kinds={"sql", "iceberg"},
        owners=[mart.spec.owner],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        pool=names.pool("gold", mart.name),
        freshness_policy=freshness(contracts),
        automation_condition=at_new_day() if mart.uses_current_date else None,
        code_version=mart.code_version,
        required_resource_keys={names.resource_key},
        metadata={
            "dagster/table_name": f"gold.{mart.name}",
            "dagster/column_schema": mart_columns(mart),
            "dagster/column_lineage": lineage,
            "query": dg.MetadataValue.md(f"```sql\n{mart.query.sql}\n```"),
        },
    )
    def gold(context: dg.AssetExecutionContext, config: StepConfig) -> Events:
        from medallion_assets.gold.refresh import refresh
        from medallion_assets.ledger.status import read_completeness

        resource = resource_of(context, names)
        named = None
        if partitions and not config.incremental:
            named = [date.fromisoformat(day) for day in context.partition_keys]
        now = utc_now()
        with translate_errors(context), resource.lake(remember_tables=True) as lake:
            found = read_completeness(lake, mart.tables)
            complete = _check_completeness(lake, mart, domain, found)
            if complete.blocks_publish:
                context.log_event(evaluation(key, complete))
                raise audit_failure(
                    [complete],
                    what=f"the refresh of {mart.name}",
                    what_to_do=f"Afterwards materialize {key.to_user_string()} again.",
                )
            engine = resource.open_engine(lake)
            result = refresh(
                lake,
                mart,
                today=now.date(),
                now=now,
                run_id=context.run.run_id,
                days=named,
                whole=mart.is_keyed and not config.incremental,
                engine=engine,
            )
            complete = check_mart(mart.tables, found, severity=severity, complete_to=result.complete_to)
            log_results(context, key, checks, [*result.checks, complete])
            if not result.published:
                raise audit_failure(
                    result.checks,
                    what=f"the refresh of {mart.name}",
                    what_to_do=f"Afterwards materialize {key.to_user_string()} again.",
                )
            metadata = {
                **_metadata(result),
                "engine": engine.name,
                "complete_up_to": complete.numbers["complete_up_to"],
            }
            if complete.examples:
                metadata["incomplete"] = dg.MetadataValue.json(list(complete.examples))
            for day in result.days if partitions else ():
                if named is None or day not in named:
                    context.log_event(dg.AssetMaterialization(key, partition=day.isoformat(), metadata=metadata))
            if named is not None or not partitions:
                yield dg.MaterializeResult(metadata={**metadata, "dagster/column_lineage": lineage})
            else:
                yield dg.Output(None, metadata={NO_MATERIALIZATION: True})

    return gold


def _dep(mart: "Mart", name: str, names: Names) -> dg.AssetDep:
    """Return the dependency on an input: a mart may read any of its days, if it has any."""
    upstream = mart.upstream.get(name)
    has_days = upstream is None or upstream.is_daily
    return dg.AssetDep(names.input_key(name), partition_mapping=dg.AllPartitionMapping() if has_days else None)


def gold_checks(mart: "Mart", domain: Domain, names: Names) -> dg.AssetChecksDefinition:
    """Return the checks of one mart, which audit the whole published mart when they are executed alone."""

    def audit(resource: MedallionResource, selected: Collection[str]) -> list[CheckResult]:
        from medallion_assets.gold.published import audit_published
        from medallion_assets.ledger.status import read_completeness

        with resource.lake() as lake:
            found = read_completeness(lake, mart.tables)
            found_wrong = audit_published(lake, mart, engine=resource.open_engine(lake))
            return [*found_wrong, _check_completeness(lake, mart, domain, found)]

    key = names.asset_key("gold", mart.name)
    return published_checks(f"check_gold_{mart.name}", key, _checks(mart, domain), names, audit)


def _checks(mart: "Mart", domain: Domain) -> list[tuple[str, Severity]]:
    return [*check_names(mart), (COMPLETENESS, mart_severity(mart.tables, domain))]


def _check_completeness(lake: "Lake", mart: "Mart", domain: Domain, found: "Mapping[str, Completeness]") -> CheckResult:
    """Check the mart as it is published; `found` is what the ledger says of the tables that it reads."""
    from medallion_assets.gold.completeness import read_complete_to

    complete_to = read_complete_to(lake, [mart], {name: one.complete_to for name, one in found.items()})[mart.name]
    return check_mart(mart.tables, found, severity=mart_severity(mart.tables, domain), complete_to=complete_to)


def _metadata(result: "RefreshResult") -> dict[str, Any]:
    # A refresh of some days or keys counts the rows of those; a refresh without changes computes none.
    rows = {"refreshed_rows": result.rows, "refreshed_days": len(result.days)} if result.days else {}
    if result.keys:
        rows = {"refreshed_rows": result.rows, "refreshed_keys": result.keys}
    if result.checks and not rows:
        rows = {"dagster/row_count": result.rows}
    return {
        **rows,
        "snapshot_id": str(result.snapshot_id),
        **{"_".join(schema_and_table(name)): str(snapshot) for name, snapshot in result.input_snapshots.items()},
    }
