"""Runs in this process: of everything, as the sensor or as somebody at the page would start them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg

from medallion_assets.defs import sensors, tags
from medallion_assets.defs.run_config import incremental_run_config

LAYERS = ("bronze", "silver", "gold")


def today() -> date:
    return datetime.now(UTC).date()


def incremental_run(definitions: dg.Definitions, instance: dg.DagsterInstance, day: date) -> dg.ExecuteInProcessResult:
    """Run all layers as the sensor launches it."""
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [key for key in job.asset_layer.executable_asset_keys if key.path[0] in LAYERS]
    return job.execute_in_process(
        instance=instance,
        partition_key=day.isoformat(),
        asset_selection=keys,
        run_config=incremental_run_config(keys),
        tags={tags.SENSOR_NAME: sensors.SENSOR},
        raise_on_error=False,
    )


def page_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, *keys: str, days: Sequence[date] = ()
) -> dg.ExecuteInProcessResult:
    """A run of these assets as the page launches it: for one day, for a range of days, or without."""
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


def fared(result: dg.ExecuteInProcessResult) -> dict[str, set[str]]:
    """The steps that succeeded and that failed, by asset. What waited for a failed one is in neither."""
    found: dict[str, set[str]] = {"SUCCESS": set(), "FAILURE": set()}
    for event in result.all_events:
        _, _, kind = event.event_type_value.rpartition("_")
        if event.event_type_value.startswith("STEP_") and kind in found and event.step_key:
            found[kind].add(event.step_key.replace("__", "/"))
    return found


def failure(result: dg.ExecuteInProcessResult, key: str) -> str:
    """What the failed step of an asset says."""
    data = result.failure_data_for_node(key.replace("/", "__"))
    assert data is not None
    if data.user_failure_data is not None:
        return str(data.user_failure_data.description)
    return str(data.error.message if data.error else "")


def checks(result: dg.ExecuteInProcessResult, key: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The results of an asset's checks in the run."""
    return {
        one.check_name: one
        for one in result.get_asset_check_evaluations()
        if one.asset_key == dg.AssetKey(key.split("/"))
    }
