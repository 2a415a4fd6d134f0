"""The sensor on Bronze, tick by tick, and the runs that it requests, in this process."""

from __future__ import annotations

import dagster as dg

from medallion_assets.defs import sensors
from medallion_assets.defs.dagster_private import RUN_KEY_TAG, SENSOR_NAME_TAG
from medallion_assets.defs.resources import MedallionResource
from medallion_assets_tests.defs.runs import launched_run


def launched(request: dg.RunRequest) -> dict[str, str]:
    """Return the tags that the daemon gives the run of a request."""
    assert request.run_key is not None
    return {**request.tags, RUN_KEY_TAG: request.run_key, SENSOR_NAME_TAG: sensors.SENSOR}


class Ticker:
    """Ticks the sensor as the daemon does, keeping its cursor."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance
        self.cursor: str | None = None
        self.skipped = ""

    def tick(self) -> dg.RunRequest | None:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"medallion": MedallionResource()},
            definitions=self.definitions,
        ) as context:
            result = self.definitions.resolve_sensor_def("bronze_arrivals").evaluate_tick(context)
        self.cursor = result.cursor
        self.skipped = result.skip_message or ""
        return result.run_requests[0] if result.run_requests else None

    def run(self, request: dg.RunRequest) -> dg.JobExecutionResult:
        job = self.definitions.resolve_job_def("refresh")
        assert request.asset_selection is not None and request.asset_check_keys is not None
        subset = job.get_subset(
            asset_selection=set(request.asset_selection), asset_check_selection=set(request.asset_check_keys)
        )
        return launched_run(
            subset,
            self.instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags=launched(request),
        )

    def run_until_idle(self, *, ticks: int = 10) -> None:
        """Tick and run until there is nothing to do."""
        for _ in range(ticks):
            if (request := self.tick()) is None:
                return
            assert self.run(request).success
        raise AssertionError(f"still requesting runs after {ticks} ticks")


def keys(request: dg.RunRequest | None) -> set[str]:
    assert request is not None
    return {key.to_user_string() for key in request.asset_selection or ()}
