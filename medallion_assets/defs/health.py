"""The asset `ops/health`: how fresh and complete every table is, and what runs did.

Belongs here: reading from Dagster what runs did. Does not belong here: when it runs (observe), what else is read, and
what is written (health).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.checks import WHAT_TO_DO
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.gold.spec import Mart

if TYPE_CHECKING:
    from medallion_assets.health.run_events import CheckEvaluation, RunEvents, StepRun

FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_EVENT_TYPES: Final = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
}
# Dagster keeps a run's end in seconds since 1970, and moves `update_timestamp` a little later than that.
_SLACK: Final = timedelta(minutes=1)


def health_asset(domain: Domain, marts: Sequence[Mart], names: Names) -> dg.AssetsDefinition:
    """Return the asset whose step adds one observation to `ops.health` and `ops.checks`.

    It depends on no asset: it reads all of them as they are, also those that nothing materialized.
    """

    @dg.asset(
        key=names.asset_key("ops", "health"),
        description="Writes to ops.health and ops.checks how fresh and complete every table is and what runs did.",
        group_name=names.group("ops"),
        kinds={"iceberg"},
        pool=names.pool("ops", "health"),
        required_resource_keys={names.resource_key},
    )
    def health(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from medallion_assets.health.collect import collect_health

        pipeline = resource_of(context, names)
        with translate_errors(context), pipeline.lake(remember_tables=True) as lake:
            rows = collect_health(
                lake,
                pipeline.bronze_store(),
                domain,
                marts,
                run_events=lambda after, to: read_run_events(context.instance, names, after=after, to=to),
                now=utc_now(),
            )
        return dg.MaterializeResult(metadata={"rows_written": rows})

    return health


def read_run_events(instance: dg.DagsterInstance, names: Names, *, after: datetime, to: datetime) -> "RunEvents":
    """Return the events of runs that ended after `after` and not later than `to`."""
    from medallion_assets.health.run_events import RunEvents

    steps: list[tuple[datetime, StepRun]] = []
    evaluations: list[tuple[datetime, CheckEvaluation]] = []
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=after - _SLACK),
    )
    for record in records:
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else None
        if ended is None or not after < ended <= to:
            continue
        for step, evaluation in _events(instance, names, record.dagster_run.run_id):
            if step is not None:
                steps.append((ended, step))
            if evaluation is not None:
                evaluations.append((ended, evaluation))
    return RunEvents(steps, evaluations)


def _events(
    instance: dg.DagsterInstance, names: Names, run_id: str
) -> Iterable[tuple["StepRun | None", "CheckEvaluation | None"]]:
    from medallion_assets.health.run_events import StepRun

    for record in instance.get_records_for_run(run_id, of_type=_EVENT_TYPES).records:
        event = record.event_log_entry.get_dagster_event()
        at = datetime.fromtimestamp(record.event_log_entry.timestamp, UTC)
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            if (table := names.layer_and_table(made.asset_key)) is not None:
                yield _done(run_id, at, table, made), None
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if (table := names.layer_and_table(found.asset_key)) is not None:
                yield None, _evaluation(run_id, at, table, found)
        elif event.step_key is not None and (node := names.step_node(event.step_key)) is not None:
            layer, _, name = node.partition("/")
            yield StepRun(layer, name, run_id, at, done=False, numbers={}), None


def _done(run_id: str, at: datetime, table: tuple[str, str], made: dg.AssetMaterialization) -> "StepRun":
    from medallion_assets.health.run_events import StepRun

    numbers = {name: value.value for name, value in made.metadata.items() if isinstance(value.value, int)}
    oldest = made.metadata.get("oldest_change")
    return StepRun(
        *table,
        run_id,
        at,
        done=True,
        numbers=numbers,
        oldest_change=datetime.fromtimestamp(oldest.value, UTC)
        if isinstance(oldest, dg.TimestampMetadataValue)
        else None,
    )


def _evaluation(run_id: str, at: datetime, table: tuple[str, str], found: dg.AssetCheckEvaluation) -> "CheckEvaluation":
    from medallion_assets.health.run_events import CheckEvaluation

    return CheckEvaluation(
        *table,
        found.check_name,
        run_id,
        at,
        blocking=found.severity is dg.AssetCheckSeverity.ERROR,
        passed=found.passed,
        numbers={
            name: value.value
            for name, value in found.metadata.items()
            if name != WHAT_TO_DO and isinstance(value.value, int | str)
        },
    )
