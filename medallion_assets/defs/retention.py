"""Old runs of the sensor are forgotten: it makes thousands a day, and Dagster has no setting for that (ticks have one).

A run that still holds the latest materialization of some partition stays: with it would go what the page knows of
that partition.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import dagster as dg

from medallion_assets.defs.names import NEWS_TAG, Names, utc_now

KEEP: Final = timedelta(days=3)
_PAGE: Final = 500


@dg.op(description=f"Deletes the sensor's runs that are older than {KEEP.days} days and nothing is known from.")
def forget_old_runs(context: dg.OpExecutionContext) -> None:
    """Delete what is old and superseded."""
    latest: dict[tuple[dg.AssetKey, str | None], str] = {}
    forgotten = kept = 0
    for run_id in list(_old_runs(context.instance)):
        made = context.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        events = [record.event_log_entry.get_dagster_event() for record in made]
        assets = {(event.asset_key, event.partition) for event in events if event.asset_key is not None}
        for key, partition in assets - latest.keys():
            latest[key, partition] = _latest_run(context.instance, key, partition)
        if run_id in {latest[asset] for asset in assets}:
            kept += 1
        else:
            context.instance.delete_run(run_id)
            forgotten += 1
    context.log.info("forgot %d runs, kept %d old ones for what they hold", forgotten, kept)


def _old_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    old = dg.RunsFilter(tags={NEWS_TAG: "true"}, updated_before=utc_now() - KEEP)
    cursor = None
    while page := instance.get_runs(old, cursor=cursor, limit=_PAGE):
        yield from (run.run_id for run in page if run.is_finished)
        cursor = page[-1].run_id


def _latest_run(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition is not None else None)
    return instance.fetch_materializations(wanted, limit=1).records[0].run_id


def retention_schedule(names: Names) -> dg.ScheduleDefinition:
    """The job `retention`, every night; switched on unless somebody switches it off."""
    job = dg.GraphDefinition(
        name=names.definition("retention"), node_defs=[forget_old_runs], description="Forgets the sensor's old runs."
    ).to_job(executor_def=dg.in_process_executor)
    return dg.ScheduleDefinition(
        name=names.definition("nightly_retention"),
        job=job,
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
