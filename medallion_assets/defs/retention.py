"""The nightly job that deletes what Dagster would keep for ever: old runs of the system itself, and results of checks.

The sensors, the job `observe` and the hourly maintenance make thousands of runs a day. On a disk each run also leaves a
database of its own and its compute logs, which Dagster does not remove with the run.

A run with the latest materialization of a partition stays: deleting it would delete what the pages show of that
partition. So does the latest result of each check. Runs that somebody started stay, too. Ticks have a setting in
dagster.yaml.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import sqlalchemy as sa

from medallion_assets.defs.automation import SENSOR as NEW_DAY
from medallion_assets.defs.dagster_private import (
    SENSOR_NAME_TAG,
    AssetCheckExecutionsTable,
    LocalComputeLogManager,
    SqlEventLogStorage,
    SqliteEventLogStorage,
)
from medallion_assets.defs.dropped import JOB as TAKE_FILES
from medallion_assets.defs.maintenance import JOB as MAINTENANCE
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.observe import JOB as OBSERVE
from medallion_assets.defs.sensors import SENSOR as ARRIVALS

KEEP: Final = timedelta(days=3)
JOB: Final = "retention"
_PAGE_RUNS: Final = 500
_SENSORS: Final = (ARRIVALS, NEW_DAY)
_JOBS: Final = (OBSERVE, MAINTENANCE, TAKE_FILES, JOB)


def retention_schedule(names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of the job `retention`, every night; it is on unless somebody switches it off."""

    @dg.op(
        name=names.definition("delete_old_runs"),
        description=f"Deletes runs of the sensors and of the jobs {', '.join(_JOBS)} that are older than {KEEP.days} "
        "days, and results of checks that are. Those with a latest materialization stay, and each check's latest "
        "result.",
    )
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        deleted, kept = _delete(context.instance, list(_old_runs(context.instance, names)))
        context.log.info("deleted %d runs, kept %d old ones that have a latest materialization", deleted, kept)
        context.log.info("removed the files of %d deleted runs", _remove_files_of_deleted_runs(context.instance))
        context.log.info("deleted %d results of checks", _delete_old_check_results(context.instance))

    job = dg.GraphDefinition(
        name=names.definition(JOB),
        node_defs=[delete_old_runs],
        description="Deletes old runs of the sensors and of the system's own jobs, and old results of checks.",
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


def _remove_files_of_deleted_runs(instance: dg.DagsterInstance) -> int:
    """Remove the databases and compute logs of runs that do not exist any more, and return how many runs it were.

    Only where they are files of this machine: PostgreSQL has no such databases, and a bucket of logs expires by itself.
    """
    events, logs = instance.event_log_storage, instance.compute_log_manager
    if not isinstance(events, SqliteEventLogStorage):
        return 0
    # Listed first: a run that begins meanwhile is among the runs that exist. `.db` has the events without a run.
    with_files = {run_id for run_id in events.get_all_run_ids() if not run_id.startswith(".")}
    gone = with_files - set(instance.get_run_ids())
    for run_id in gone:
        database = Path(events.path_for_shard(run_id))
        for suffix in ("-wal", "-shm", ""):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        if isinstance(logs, LocalComputeLogManager):
            logs.delete_logs(prefix=[run_id])
    return len(gone)


def _delete_old_check_results(instance: dg.DagsterInstance) -> int:
    """Delete the results of checks that are older than KEEP but for each check's latest, and return how many."""
    events, results = instance.event_log_storage, AssetCheckExecutionsTable.c
    if not isinstance(events, SqlEventLogStorage):
        raise TypeError(f"events are in {type(events).__name__}; expected a storage in a SQL database")
    latest = sa.select(sa.func.max(results.id)).group_by(results.asset_key, results.check_name)
    before = (utc_now() - KEEP).replace(tzinfo=None)
    with events.index_connection() as connection:
        old = sa.and_(results.create_timestamp < before, results.id.not_in(latest))
        return int(connection.execute(sa.delete(AssetCheckExecutionsTable).where(old)).rowcount)


def _old_runs(instance: dg.DagsterInstance, names: Names) -> Iterator[str]:
    before = utc_now() - KEEP
    sensors = [names.definition(sensor) for sensor in _SENSORS]
    filters = [dg.RunsFilter(tags={SENSOR_NAME_TAG: sensors}, updated_before=before)]
    filters += [dg.RunsFilter(job_name=names.definition(job), updated_before=before) for job in _JOBS]
    for old in filters:
        cursor = None
        while page := instance.get_runs(old, cursor=cursor, limit=_PAGE_RUNS):
            yield from (run.run_id for run in page if run.is_finished)
            cursor = page[-1].run_id


def _latest_run(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition is not None else None)
    return instance.fetch_materializations(wanted, limit=1).records[0].run_id
