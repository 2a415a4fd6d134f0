"""The job `observe`: the ledger and the health, every minute, also while nothing is captured.

Belongs here: when they run. Does not belong here: what they do (ledger, health).
"""

from typing import Final

import dagster as dg

from medallion_assets.defs.health import FINISHED
from medallion_assets.defs.names import Names

JOB: Final = "observe"

_UNDER_WAY: Final = [status for status in dg.DagsterRunStatus if status not in FINISHED]


def observe_schedule(names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of the job, every minute; it is on unless somebody switches it off.

    A minute in which the last run has not ended is left out: the next run finds everything that this one would have.
    """
    job = dg.define_asset_job(
        names.definition(JOB),
        selection=[names.asset_key("ops", "ledger"), names.asset_key("ops", "health")],
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
        description="Starts the job `observe` unless a run of it is under way.",
    )
    def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        under_way = context.instance.get_runs(dg.RunsFilter(job_name=job.name, statuses=_UNDER_WAY), limit=1)
        return dg.SkipReason(f"Run {under_way[0].run_id} is under way.") if under_way else dg.RunRequest()

    return every_minute
