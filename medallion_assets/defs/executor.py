"""The executor of a run's steps: side by side, in threads of the run's one process.

Steps wait for S3 and the catalog most of their time, so the tables of a run take turns on the cores. A process per
step, as Dagster's own parallel executor has it, would load the definitions again and share neither lake nor memory.
Dagster decides as always what may run: the order of dependencies, pools, retries, what is skipped after a failure.

Belongs here: giving steps to threads, passing on their events, ending them. Does not belong here: what steps share
(resources).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Final

import dagster as dg

from medallion_assets.defs.dagster_private import (
    ActiveExecution,
    EngineEventData,
    ExecuteRunWithPlanIterable,
    ExecutionPlan,
    InProcessExecutor,
    InstanceConcurrencyContext,
    PlanExecutionContext,
    PlanExecutionContextManager,
    PlanOrchestrationContext,
    RetryMode,
    StepDependencyConfig,
    StepExecutionContext,
    begin_compute_logs,
    end_compute_logs,
    pop_captured_interrupt,
    step_events,
)
from medallion_assets.telemetry.spans import run_span, step_span

THREADS_PER_CORE: Final = 4
"""A step of a micro-batch computes for a quarter of the time that it takes on S3."""

_POLL_SECONDS: Final = 0.1
"""How soon an interrupt, a retry or a free place in a pool is seen while no step reports anything."""


class SideBySideExecutor(dg.Executor):
    """Runs at most `threads` steps at once."""

    def __init__(self, retries: RetryMode, step_dependency_config: StepDependencyConfig, *, threads: int) -> None:
        self._retries = retries
        self._step_dependency_config = step_dependency_config
        self._threads = threads

    @property
    def retries(self) -> RetryMode:
        """Whether steps are tried again, and by whom."""
        return self._retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """Whether a step waits for all steps before it, or only for the outputs that it reads."""
        return self._step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Yield the events of the run's steps; resources live as long as the run."""
        with run_span(plan_context.run_id):
            yield from self._execute(plan_context, execution_plan)

    def _execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        keys = execution_plan.step_keys_to_execute
        yield dg.DagsterEvent.engine_event(
            plan_context,
            f"Executing steps in up to {self._threads} threads (pid: {os.getpid()})",
            EngineEventData.in_process(os.getpid(), keys),
        )
        yield from ExecuteRunWithPlanIterable(
            execution_plan=plan_context.execution_plan,
            iterator=self._run_steps,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=plan_context.execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )
        yield dg.DagsterEvent.engine_event(
            plan_context, f"Finished steps (pid: {os.getpid()})", EngineEventData.in_process(os.getpid(), keys)
        )

    def _run_steps(
        self, *, job_context: PlanExecutionContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with ExitStack() as stack:
            slots = stack.enter_context(InstanceConcurrencyContext(job_context.instance, job_context.dagster_run))
            active = stack.enter_context(
                execution_plan.start(
                    retry_mode=job_context.retry_mode,
                    instance_concurrency_context=slots,
                    step_dependency_config=job_context.step_dependency_config,
                )
            )
            logs = stack.enter_context(ExitStack())
            yield from begin_compute_logs(job_context, execution_plan, logs)
            running = _RunningSteps(job_context, active)
            try:
                while not active.is_complete:
                    if pop_captured_interrupt():
                        raise dg.DagsterExecutionInterruptedError
                    for step in active.get_steps_to_execute(limit=self._threads - len(running)):
                        running.start(job_context.for_step(step, active.get_known_state()))
                    yield from active.concurrency_event_iterator(job_context)
                    yield from running.events()
                    if running.error is not None:
                        raise running.error
            except GeneratorExit:
                running.interrupt()
                raise
            except BaseException:
                running.interrupt()
                while len(running):
                    if pop_captured_interrupt():
                        running.interrupt()
                    yield from running.events()
                raise
            yield from end_compute_logs(job_context, logs)


class _RunningSteps:
    """The steps that run in threads, each in its own, and the events that they report."""

    def __init__(self, plan: PlanExecutionContext, active: ActiveExecution) -> None:
        self.error: BaseException | None = None
        """The first exception that left a step, which happens if the caller wants errors raised, and by interrupts."""
        self._plan = plan
        self._active = active
        self._threads: dict[str, threading.Thread] = {}
        self._outcomes: dict[str, dg.DagsterEvent] = {}
        self._reported: queue.SimpleQueue[tuple[str, dg.DagsterEvent | None]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._threads)

    def start(self, step: StepExecutionContext) -> None:
        """Run a step in a thread. The process does not wait for it at its end."""
        key = step.step.key
        self._threads[key] = threading.Thread(target=self._run, args=(key, step), name=f"step {key}", daemon=True)
        self._threads[key].start()

    def interrupt(self) -> None:
        """Raise an exception in each step, as soon as it is back in Python from what it waits for."""
        for thread in self._threads.values():
            if thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(dg.DagsterExecutionInterruptedError)
                )

    def events(self) -> Iterator[dg.DagsterEvent]:
        """Yield the next event that a step has reported, if one comes soon, and what follows from a step's end."""
        try:
            key, event = self._reported.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            # An interrupt may end a thread before it reports its end. What an ended thread has reported comes first.
            ended = [key for key, thread in self._threads.items() if not thread.is_alive()]
            if not self._reported.empty():
                return
        else:
            ended = [key] if event is None else []
            if event is not None:
                yield event
                if event.is_step_success or event.is_step_failure or event.is_step_up_for_retry:
                    # Dagster starts the steps after this one, or this one again, when its hooks have run.
                    self._outcomes[key] = event
                else:
                    self._active.handle_event(event)
        for key in ended:
            thread = self._threads.pop(key, None)
            if thread is not None:
                thread.join()
                if key in self._outcomes:
                    self._active.handle_event(self._outcomes.pop(key))
                self._active.verify_complete(self._plan, key)
                yield from self._active.plan_events_iterator(self._plan)

    def _run(self, key: str, step: StepExecutionContext) -> None:
        try:
            with closing(asyncio.new_event_loop()) as loop, step_span(step.run_id, key) as counts:
                for event in step_events(step, loop):
                    counts.update(_counts(event))
                    self._reported.put((key, event))
        except BaseException as error:  # noqa: BLE001 - it is raised in the main thread
            self.error = self.error or error
        finally:
            self._reported.put((key, None))


def _counts(event: dg.DagsterEvent) -> dict[str, int]:
    """Return the numbers of a materialization; and for a step that did not succeed, that it failed."""
    if event.is_step_failure or event.is_step_up_for_retry:
        return {"failed": 1}
    if not event.is_step_materialization:
        return {}
    numbers = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in numbers.items() if isinstance(value.value, int)}


def _create(context: dg.InitExecutorContext) -> SideBySideExecutor:
    create = dg.in_process_executor.executor_creation_fn
    in_process = create(context) if create is not None else None
    if not isinstance(in_process, InProcessExecutor):
        raise dg.DagsterInvariantViolationError(f"Dagster's in-process executor is made by {create!r}.")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return SideBySideExecutor(in_process.retries, in_process.step_dependency_config, threads=THREADS_PER_CORE * cores)


side_by_side_executor: Final = dg.ExecutorDefinition(
    name="side_by_side",
    config_schema=dg.in_process_executor.config_schema.as_field(),
    executor_creation_fn=_create,
    description="Runs steps side by side in threads of the run's one process. It is configured as `in_process` is.",
)
"""What a job names; its configuration is that of Dagster's in-process executor."""
