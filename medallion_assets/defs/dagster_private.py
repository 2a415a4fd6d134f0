"""The only file that imports private parts of Dagster, which a minor version may move or change.

Belongs here: each private name, and why there is no public one for it. Does not belong here: using them. A test checks
that no other file imports `dagster._...`, and that the installed Dagster is of a version they were checked with.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import dagster as dg

# The metadata of an output that Dagster does not take for a materialization. A step that reports other partitions than
# its run's yields one: without an output, Dagster would skip what is downstream of the step.
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as NO_MATERIALIZATION

# An executor of one's own that runs steps in the run's process: its parts, as Dagster's in-process executor uses them.
from dagster._core.events import EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context.system import (
    PlanExecutionContext,
    PlanOrchestrationContext,
    StepExecutionContext,
)
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import (
    _handle_compute_log_setup_error,
    _handle_compute_log_teardown_error,
    _trigger_hook,
    dagster_event_sequence_for_step,
)
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.in_process import InProcessExecutor

# A run launcher of one's own is a subclass of these; Dagster exports its launchers, but not the base class.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus

# Results of checks have no public way to be deleted. SQLite keeps a file per run, which Dagster empties and never
# removes, and so does the manager of compute logs on a disk.
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

# Tags with the prefix are left out on the page of runs. A run is found by the key of its request and by the sensor that
# requested it; the page shows the one nowhere and the other in a column of its own.
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX, RUN_KEY_TAG, SENSOR_NAME_TAG

# The command that runs a run, as Dagster's own launchers build it.
from dagster._grpc.types import ExecuteRunArgs

# What dagster.yaml can name a class of.
from dagster._serdes import ConfigurableClass, ConfigurableClassData

# While a plan runs, Dagster notes an interrupt, for the executor to ask for it.
from dagster._utils.interrupts import pop_captured_interrupt

__all__ = [
    "CHECKED_VERSIONS",
    "HIDDEN_TAG_PREFIX",
    "NO_MATERIALIZATION",
    "RUN_KEY_TAG",
    "SENSOR_NAME_TAG",
    "ActiveExecution",
    "AssetCheckExecutionsTable",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "EngineEventData",
    "ExecuteRunArgs",
    "ExecuteRunWithPlanIterable",
    "ExecutionPlan",
    "InProcessExecutor",
    "InstanceConcurrencyContext",
    "LaunchRunContext",
    "LocalComputeLogManager",
    "PlanExecutionContext",
    "PlanExecutionContextManager",
    "PlanOrchestrationContext",
    "RetryMode",
    "RunLauncher",
    "SqlEventLogStorage",
    "SqliteEventLogStorage",
    "StepDependencyConfig",
    "StepExecutionContext",
    "WorkerStatus",
    "begin_compute_logs",
    "end_compute_logs",
    "import_command_line",
    "pop_captured_interrupt",
    "run_command_line",
    "step_events",
]

CHECKED_VERSIONS: Final = ">=1.13.27,<1.14"
"""The versions of Dagster that these names were checked with; pyproject.toml requires the same."""


def import_command_line() -> None:
    """Import what `run_command_line` needs, and the daemon's main module, which Python imports in a fork of it."""
    import dagster._cli
    import dagster._daemon.cli  # noqa: F401


def run_command_line(arguments: Sequence[str]) -> None:
    """Run a command such as `dagster api execute_run` in this process, which ends with it."""
    from dagster._cli import main

    sys.argv = list(arguments)
    main()  # type: ignore[no-untyped-call]


def step_events(step: StepExecutionContext, event_loop: AbstractEventLoop) -> Iterator[dg.DagsterEvent]:
    """Execute a step and then its hooks; yield their events. The step's own coroutines run in `event_loop`."""
    step._event_loop = event_loop  # that of the plan is one for all steps, and runs one of them at a time
    events = []
    for event in dagster_event_sequence_for_step(step):
        events.append(event)
        yield event
    yield from _trigger_hook(step, events)


def begin_compute_logs(
    context: PlanExecutionContext, plan: ExecutionPlan, logs: ExitStack
) -> Iterator[dg.DagsterEvent]:
    """Capture what the process writes, for all steps of the plan, until `logs` is closed."""
    manager = context.instance.compute_log_manager
    steps = [step.key for step in plan.get_steps_to_execute_in_topo_order()]
    log_key = manager.build_log_key_for_run(context.run_id, create_compute_log_file_key())  # type: ignore[no-untyped-call]
    try:
        captured = logs.enter_context(manager.capture_logs(log_key))
        yield dg.DagsterEvent.capture_logs(context, steps, log_key, captured)
    except Exception:  # noqa: BLE001 - as Dagster does: a run without captured output is still a run
        yield from _handle_compute_log_setup_error(context, sys.exc_info())


def end_compute_logs(context: PlanExecutionContext, logs: ExitStack) -> Iterator[dg.DagsterEvent]:
    """Close `logs`."""
    try:
        logs.close()
    except Exception:  # noqa: BLE001 - as above
        yield from _handle_compute_log_teardown_error(context, sys.exc_info())
