"""Runs in this process, as the sensor or a user of the page would start them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from medallion_assets.defs import sensors
from medallion_assets.defs.dagster_private import SENSOR_NAME_TAG
from medallion_assets.defs.run_config import incremental_run_config

Result: TypeAlias = dg.ExecuteInProcessResult | dg.JobExecutionResult

LAYERS = ("bronze", "silver", "gold")


def today() -> date:
    return datetime.now(UTC).date()


def launched_run(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    partition_key: str | None,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dg.JobExecutionResult:
    """Run a job with the executor that it names, as a launched process does. `execute_in_process` has its own one."""
    partition = {"dagster/partition": partition_key} if partition_key is not None else {}
    run = instance.create_run_for_job(job, run_config=run_config, tags={**tags, **partition})
    return execute_run(InMemoryJob(job), run, instance)


def incremental_run(definitions: dg.Definitions, instance: dg.DagsterInstance, day: date) -> dg.JobExecutionResult:
    """Run all layers as the sensor launches it."""
    job = definitions.resolve_job_def("refresh")
    return launched_run(
        job,
        instance,
        partition_key=day.isoformat(),
        run_config=incremental_run_config(
            key for key in job.asset_layer.executable_asset_keys if key.path[-2] in LAYERS
        ),
        tags={SENSOR_NAME_TAG: sensors.SENSOR},
    )


def page_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, *keys: str, days: Sequence[date] = ()
) -> dg.ExecuteInProcessResult:
    """Run these assets as the page does: for one day, for a range of days, or without partitions."""
    tags = {}
    if len(days) > 1:
        tags = {
            "dagster/asset_partition_range_start": days[0].isoformat(),
            "dagster/asset_partition_range_end": days[-1].isoformat(),
        }
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        partition_key=days[0].isoformat() if len(days) == 1 else None,
        asset_selection=[dg.AssetKey(key.split("/")) for key in keys],
        tags=tags,
        raise_on_error=False,
    )


def observe(definitions: dg.Definitions, instance: dg.DagsterInstance, *keys: str) -> dg.ExecuteInProcessResult:
    """Run the job `observe` as its schedule does without a site, or only the steps of these assets."""
    return definitions.resolve_job_def("observe").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(key.split("/")) for key in keys or ("ops/ledger", "ops/health")],
        raise_on_error=False,
    )


def check_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, key: str, *checks: str
) -> dict[str, dg.AssetCheckEvaluation]:
    """Execute these checks of an asset alone, as the page does, and return their results."""
    job = definitions.resolve_implicit_global_asset_job_def()
    asset = dg.AssetKey(key.split("/"))
    alone = job.get_subset(
        asset_selection=set(), asset_check_selection={dg.AssetCheckKey(asset, check) for check in checks}
    )
    result = alone.execute_in_process(instance=instance, raise_on_error=False)
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def fared(result: Result) -> dict[str, set[str]]:
    """Return the steps that succeeded and those that failed, by asset. Skipped steps are in neither."""
    found: dict[str, set[str]] = {"SUCCESS": set(), "FAILURE": set()}
    for event in result.all_events:
        _, _, kind = event.event_type_value.rpartition("_")
        if event.event_type_value.startswith("STEP_") and kind in found and event.step_key:
            found[kind].add(event.step_key.replace("__", "/"))
    return found


def failure(result: Result, key: str) -> str:
    """Return the message of the failed step of an asset."""
    data = result.failure_data_for_node(key.replace("/", "__"))
    assert data is not None
    if data.user_failure_data is not None:
        return str(data.user_failure_data.description)
    return str(data.error.message if data.error else "")


def checks(instance: dg.DagsterInstance, result: Result, key: str) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the last results of an asset's checks that the run recorded, also those of a step that failed then."""
    records = instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = [record.event_log_entry.get_dagster_event().asset_check_evaluation_data for record in records]
    return {one.check_name: one for one in found if one.asset_key == dg.AssetKey(key.split("/"))}
