"""The assets `raw/<table>`, and the sensor that starts them: files that somebody drops become Bronze objects.

Belongs here: when a folder is looked at, and how Dagster shows what was done. Does not belong here: what is done with a
file (dropped). Only tables whose contract says the order of their files have such an asset.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.defs.checks import check_result, check_specs
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.health import FINISHED
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import MedallionResource, resource_of
from medallion_assets.errors import LakeUnavailable, SettingsError
from medallion_assets.settings import VARIABLES

SENSOR: Final = "dropped_files"
JOB: Final = "take_files"
CHECK: Final = "files"

_INTERVAL_SECONDS: Final = 30
_RETRY_AFTER: Final = timedelta(minutes=5)
"""After a run that failed: what fails now fails again at once."""


def dropped_tables(domain: Domain) -> list[Contract]:
    """Return the tables that take files."""
    return [contract for contract in domain.tables if contract.files is not None]


def raw_asset(contract: Contract, names: Names) -> dg.AssetsDefinition:
    """Return the asset whose step takes the files that wait for a table."""
    name = contract.lake_name
    key = names.asset_key("raw", name)

    @dg.asset(
        key=key,
        description=f"Files dropped for {contract.table}: their rows become Bronze objects, or the file is rejected.",
        group_name=names.group("raw"),
        kinds={"s3", "file"},
        owners=[contract.owner],
        check_specs=check_specs(key, [(CHECK, "warn")]),
        pool=names.pool("raw", name),
        required_resource_keys={names.resource_key},
    )
    def raw(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
        from medallion_assets.dropped.take import TakenFile, take

        pipeline = resource_of(context, names)
        done: list[TakenFile] = []
        with translate_errors(context), pipeline.lake() as lake:
            inbox = _inbox(pipeline)
            store = pipeline.bronze_store()
            for file in sorted(inbox.waiting(contract.table), key=lambda one: (one.modified_at, one.name)):
                taken = take(lake, store, inbox, contract, file, run_id=context.run.run_id, now=utc_now)
                if taken is not None:
                    done.append(taken)
        rejected = [f"{one.record.moved_to}: {one.first_fault}" for one in done if one.record.state == "rejected"]
        yield check_result(key, _result(rejected, files=len(done)))
        yield dg.MaterializeResult(
            metadata={
                "files": len(done),
                "dagster/row_count": sum(one.record.rows or 0 for one in done if one.record.state == "taken"),
                "rejected": len(rejected),
            }
        )

    return raw


def dropped_sensor(domain: Domain, names: Names) -> dg.SensorDefinition:
    """Return the sensor; it is on unless somebody switches it off, and does nothing without MEDALLION_RAW."""
    contracts = dropped_tables(domain)
    job = dg.define_asset_job(
        names.definition(JOB),
        selection=[names.asset_key("raw", contract.lake_name) for contract in contracts],
        executor_def=dg.in_process_executor,
        description="Takes the files that wait: checks each against its contract, and puts its rows into Bronze.",
    )

    @dg.sensor(
        name=names.definition(SENSOR),
        job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        required_resource_keys={names.resource_key},
        description="Starts a run for the tables for which files wait.",
    )
    def dropped_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from medallion_assets.lake.outage import translate_outages

        pipeline = resource_of(context, names)
        if pipeline.settings().raw is None:
            return dg.SkipReason(f"{VARIABLES['raw']} is not set: no files are taken.")
        if (wait := _reason_to_wait(context.instance, job.name)) is not None:
            return dg.SkipReason(wait)
        try:
            with translate_outages():
                inbox = _inbox(pipeline)
                waiting = [one for one in contracts if next(inbox.waiting(one.table), None) is not None]
                others = sorted(set(inbox.folders()) - {one.table for one in contracts})
        except LakeUnavailable as outage:  # passes by itself: the next tick looks again
            return dg.SkipReason(str(outage))
        if waiting:
            return dg.RunRequest(asset_selection=[names.asset_key("raw", one.lake_name) for one in waiting])
        unknown = f" No table that takes files is called {', '.join(others)}." if others else ""
        return dg.SkipReason(f"No file waits.{unknown}")

    return dropped_files


def _inbox(pipeline: MedallionResource) -> Any:
    from medallion_assets.dropped.inbox import open_inbox

    raw = pipeline.settings().raw
    if raw is None:
        raise SettingsError(f"{VARIABLES['raw']} is not set. It says where files are dropped: s3://bucket/prefix.")
    return open_inbox(raw)


def _reason_to_wait(instance: dg.DagsterInstance, job: str) -> str | None:
    """Return why no run is started yet, if the last one goes on or has just failed."""
    last = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)
    if last is None:
        return None
    run = last.dagster_run
    if run.status not in FINISHED:
        return f"Run {run.run_id} is under way."
    failed = run.status == dg.DagsterRunStatus.FAILURE
    if failed and utc_now() - last.create_timestamp < _RETRY_AFTER:
        return f"Run {run.run_id} failed; the next one starts {_RETRY_AFTER.seconds // 60} minutes after it."
    return None


def _result(rejected: Sequence[str], *, files: int) -> CheckResult:
    return CheckResult(
        CHECK,
        not rejected,
        "warn",
        "Every file of the last look fits the contract.",
        {"files": files, "rejected": len(rejected)},
        rejected[:MAX_EXAMPLES],
    )
