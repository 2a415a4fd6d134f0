"""Runs start in a process forked from a warm one: everything is imported there already.

Dagster's own launcher starts an interpreter that imports Dagster, DuckDB, pyiceberg and the definitions for every run:
3 to 4 s of a core, more than the run's work. Here that is paid once. For one machine; a deployment that starts runs
elsewhere (ECS, Kubernetes) names its launcher in dagster.yaml.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

PID_TAG: Final = "medallion/pid"


class WarmRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Starts `dagster api execute_run` in a fork of a process that has imported what runs need.

    The daemon launches; other processes can ask after a run and stop it, by the process id on the run.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["medallion_assets.defs.preload"])
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml says of this class."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """The launcher that dagster.yaml names."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process."""
        run, origin = context.dagster_run, context.job_code_origin
        if origin is None:
            raise dg.DagsterInvariantViolationError(f"Run {run.run_id} does not say which code it runs.")
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()).get_command_args()
        process = self._forks.Process(target=_execute, args=(arguments,), name=f"run {run.run_id}")
        process.start()
        self._instance.add_run_tags(run.run_id, {PID_TAG: str(process.pid)})

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process. Returns False if it has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or PID_TAG not in run.tags or not _lives(run):
            return False
        self._instance.report_run_canceling(run)
        os.kill(int(run.tags[PID_TAG]), signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that run monitoring fails a run whose process died."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives. One that was just started, or by another launcher, has no tag yet."""
        if PID_TAG not in run.tags or _lives(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the run's process ended without saying how")


def _lives(run: dg.DagsterRun) -> bool:
    try:
        os.kill(int(run.tags[PID_TAG]), 0)
    except ProcessLookupError:
        return False
    return True


def _execute(arguments: Sequence[str]) -> None:
    """Runs in the fork: the command that other launchers run in a container."""
    from dagster._cli import main

    sys.argv = list(arguments)
    main()  # type: ignore[no-untyped-call]
