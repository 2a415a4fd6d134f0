"""The nightly job that deletes old runs of the sensors and of the job `observe`.

They make thousands a day, and Dagster keeps runs for ever.

A run with the latest materialization of a partition stays: deleting it would delete what the pages show of that
partition.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import dagster as dg

from medallion_assets.defs.automation import SENSOR as NEW_DAY
from medallion_assets.defs.dagster_private import SENSOR_NAME_TAG
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.observe import JOB as OBSERVE
from medallion_assets.defs.sensors import SENSOR as ARRIVALS

KEEP: Final = timedelta(days=3)
_PAGE_RUNS: Final = 500
_SENSORS: Final = (ARRIVALS, NEW_DAY)


def retention_schedule(names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of the job `retention`, every night; it is on unless somebody switches it off."""

    @dg.op(
        name=names.definition("delete_old_runs"),
        description=f"Deletes runs of the sensors and of the job observe that are older than {KEEP.days} days. Those "
        "with a latest materialization stay.",
    )
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        deleted, kept = _delete(context.instance, list(_old_runs(context.instance, names)))
        context.log.info("deleted %d runs, kept %d old ones that have a latest materialization", deleted, kept)

    job = dg.GraphDefinition(
        name=names.definition("retention"),
        node_defs=[delete_old_runs],
        description="Deletes old runs of the sensors and of the job observe.",
    ).to_job(executor_def=dg.in_process_executor)
    return dg.ScheduleDefinition(
        name=names.definition("nightly_retention"),
        job=job,
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _delete(instance: dg.DagsterInstance, run_ids: list[str]) -> tuple[int, int]:
    """Delete the runs without a latest materialization; return how many were deleted and kept."""
    latest: dict[tuple[dg.AssetKey, str | None], str] = {}
    deleted = 0
    for run_id in run_ids:
        made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        events = [record.event_log_entry.get_dagster_event() for record in made]
        assets = {(event.asset_key, event.partition) for event in events if event.asset_key is not None}
        for key, partition in assets - latest.keys():
            latest[key, partition] = _latest_run(instance, key, partition)
        if run_id not in {latest[asset] for asset in assets}:
            instance.delete_run(run_id)
            deleted += 1
    return deleted, len(run_ids) - deleted


def _old_runs(instance: dg.DagsterInstance, names: Names) -> Iterator[str]:
    sensors = [names.definition(sensor) for sensor in _SENSORS]
    before = utc_now() - KEEP
    for old in (
        dg.RunsFilter(tags={SENSOR_NAME_TAG: sensors}, updated_before=before),
        dg.RunsFilter(job_name=names.definition(OBSERVE), updated_before=before),
    ):
        cursor = None
        while page := instance.get_runs(old, cursor=cursor, limit=_PAGE_RUNS):
            yield from (run.run_id for run in page if run.is_finished)
            cursor = page[-1].run_id


def _latest_run(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition is not None else None)
    return instance.fetch_materializations(wanted, limit=1).records[0].run_id
