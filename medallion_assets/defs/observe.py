"""The job `observe`: the ledger and the health, every minute, also while nothing is captured.

Belongs here: when they run. Does not belong here: what they do (ledger, health).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.health import FINISHED
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.defs.site import site_keys
from medallion_assets.gold.spec import Mart

JOB: Final = "observe"

QUIET_INTERVAL: Final = timedelta(minutes=4, seconds=30)
"""Between two runs of the job while there is no other run: five minutes, less what the daemon may be late."""

# Dagster's times of runs are in whole seconds in some storages.
_SLACK: Final = timedelta(seconds=2)

_ENDED_BADLY: Final = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def observe_schedule(domain: Domain, marts: Sequence[Mart], names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of the job, every minute; it is on unless somebody switches it off.

    Where there is a site, its step comes last: it says how old the numbers are and which table is held.

    A minute in which the last run has not ended is left out: the next run finds everything that this one would have.
    While no other run was there since the last one, four minutes of five are left out: each run asks the catalog and
    the store some fifty times, and what only they can tell (a heartbeat that stopped, a deleted object) can wait.
    """
    observed = [names.asset_key("ops", "ledger"), names.asset_key("ops", "health")]
    site = site_keys(domain, marts, names)
    job = dg.define_asset_job(
        names.definition(JOB),
        selection=[*observed, *site],
        executor_def=dg.in_process_executor,
        description="Records what is captured, merged and missing, and how fresh every table is. It changes no table "
        "of Silver or Gold.",
    )

    @dg.schedule(
        name=names.definition("every_minute"),
        job=job,
        cron_schedule="* * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        required_resource_keys={names.resource_key},
        description="Starts the job `observe` unless a run of it is under way.",
    )
    def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = utc_now()
        selected = [*observed, *(site if resource_of(context, names).has_site else [])]
        last = next(iter(context.instance.get_run_records(dg.RunsFilter(job_name=job.name), limit=1)), None)
        if last is None or last.dagster_run.status in _ENDED_BADLY:
            return dg.RunRequest(asset_selection=selected)
        if last.dagster_run.status not in FINISHED:
            return dg.SkipReason(f"Run {last.dagster_run.run_id} is under way.")
        quiet = now - last.create_timestamp < QUIET_INTERVAL and not _others(context.instance, job.name, last)
        if quiet:
            return dg.SkipReason("No run since the last one.")
        return dg.RunRequest(asset_selection=selected)

    return every_minute


def _others(instance: dg.DagsterInstance, job: str, last: dg.RunRecord) -> bool:
    """Return whether a run of another job went on after this one began."""
    found = instance.get_runs(dg.RunsFilter(updated_after=last.create_timestamp - _SLACK))
    return any(run.job_name != job for run in found)
