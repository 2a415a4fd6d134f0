"""Runs start in a process forked from Python's fork server, which has imported everything already.

Dagster's own launcher starts an interpreter that imports Dagster, DuckDB and pyiceberg for every run: 3 to 4 s of a
core, more than the run's work. Here that is paid once. For one machine; a deployment that starts runs elsewhere (ECS,
Kubernetes) names its launcher in dagster.yaml.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from typing import Any, Final, Self

import dagster as dg

from medallion_assets.defs.dagster_private import (
    HIDDEN_TAG_PREFIX,
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    ExecuteRunArgs,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
    run_command_line,
)

PID_TAG: Final = f"{HIDDEN_TAG_PREFIX}medallion_pid"
"""On a run: the id of its process."""


class ForkServerRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Runs `dagster api execute_run` in a fork of a process that has imported what runs need.

    The daemon launches. Other processes ask after a run and stop it by the process id on the run. Works for the runs of
    any code location whose Python is the daemon's.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["medallion_assets.defs.preload"])
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml says about this class."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return an empty schema: nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Return the launcher that dagster.yaml names."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process."""
        run, origin = context.dagster_run, context.job_code_origin
        if origin is None:
            raise dg.DagsterInvariantViolationError(f"Run {run.run_id} does not say which code it runs.")
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()).get_command_args()
        process = self._forks.Process(target=run_command_line, args=(arguments,), name=f"run {run.run_id}")
        process.start()
        self._instance.add_run_tags(run.run_id, {PID_TAG: str(process.pid)})

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process. Return False if it has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or PID_TAG not in run.tags or not _lives(run):
            return False
        self._instance.report_run_canceling(run)
        try:
            os.kill(int(run.tags[PID_TAG]), signal.SIGINT)
        except ProcessLookupError:  # it ended meanwhile
            return False
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True, so that run monitoring fails a run whose process died."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the run's process lives. A run without the tag was just started, or by another launcher."""
        if PID_TAG not in run.tags or _lives(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the run's process ended without a message")


def _lives(run: dg.DagsterRun) -> bool:
    try:
        os.kill(int(run.tags[PID_TAG]), 0)
    except ProcessLookupError:
        return False
    return True
