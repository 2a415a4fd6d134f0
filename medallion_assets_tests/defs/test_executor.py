"""Steps side by side in the threads of one process: what runs at once, and what Dagster's own executors promise."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from medallion_assets.defs.executor import side_by_side_executor
from medallion_assets_tests.defs.runs import fared, launched_run

WAIT_SECONDS = 30.0


@pytest.fixture
def pooled() -> Iterator[dg.DagsterInstance]:
    """An instance in which every pool has one place, as in our dagster.yaml."""
    pools = {"concurrency": {"pools": {"default_limit": 1, "granularity": "op"}}}
    with dg.DagsterInstance.local_temp(overrides=pools) as opened:
        yield opened


def job_of(
    steps: dict[str, Callable[..., object]], *, after: dict[str, Sequence[str]] | None = None, pool: str | None = None
) -> dg.JobDefinition:
    """Return a job of these steps; `after` has the steps that a step waits for."""
    waits = after or {}
    nodes = [
        dg.op(
            name=name,
            ins={before: dg.In(dg.Nothing) for before in waits.get(name, ())},
            out=dg.Out(dg.Nothing),
            pool=pool,
        )(act)
        for name, act in steps.items()
    ]
    deps = {name: {before: dg.DependencyDefinition(before) for before in befores} for name, befores in waits.items()}
    return dg.GraphDefinition(name="steps", node_defs=nodes, dependencies=deps).to_job(
        executor_def=side_by_side_executor
    )


def run(job: dg.JobDefinition, instance: dg.DagsterInstance) -> dg.JobExecutionResult:
    return launched_run(job, instance, partition_key=None, run_config={}, tags={})


def test_steps_that_do_not_wait_for_each_other_run_at_once(instance: dg.DagsterInstance) -> None:
    together = threading.Barrier(3)

    def meets() -> None:
        together.wait(WAIT_SECONDS)

    assert run(job_of(dict.fromkeys(["a", "b", "c"], meets)), instance).success


def test_there_are_no_more_threads_than_the_executor_has(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medallion_assets.defs.executor.THREADS_PER_CORE", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    running, most = Counter[str](), []
    lock = threading.Lock()

    def counts() -> None:
        with lock:
            running["now"] += 1
            most.append(running["now"])
        time.sleep(0.02)
        with lock:
            running["now"] -= 1

    assert run(job_of({f"step_{number}": counts for number in range(8)}), instance).success
    assert max(most) == 2


def test_a_step_waits_for_those_before_it_and_a_failed_one_stops_only_what_follows(
    instance: dg.DagsterInstance,
) -> None:
    done: list[str] = []

    def act(name: str) -> Callable[..., object]:
        def body() -> None:
            if name == "broken":
                raise dg.Failure("it is broken", allow_retries=False)
            done.append(name)

        return body

    names = ["first", "second", "third", "broken", "follows", "both"]
    job = job_of(
        {name: act(name) for name in names},
        after={"second": ["first"], "third": ["second"], "follows": ["broken"], "both": ["third", "broken"]},
    )
    result = run(job, instance)
    assert not result.success
    assert fared(result) == {"SUCCESS": {"first", "second", "third"}, "FAILURE": {"broken"}}
    assert done == ["first", "second", "third"]
    assert instance.get_run_stats(result.run_id).steps_failed == 1


def test_a_step_that_asks_for_it_is_tried_again_while_the_others_go_on(instance: dg.DagsterInstance) -> None:
    tries: Counter[str] = Counter()
    recovered = threading.Event()

    def flaky() -> None:
        tries["flaky"] += 1
        if tries["flaky"] < 3:
            raise dg.RetryRequested(max_retries=3, seconds_to_wait=0.05)
        recovered.set()

    def patient() -> None:
        tries["patient"] += 1
        assert recovered.wait(WAIT_SECONDS)

    def hopeless() -> None:
        tries["hopeless"] += 1
        raise dg.RetryRequested(max_retries=1)

    steps: dict[str, Callable[..., object]] = {"flaky": flaky, "patient": patient, "hopeless": hopeless}
    result = run(job_of(steps), instance)
    assert fared(result) == {"SUCCESS": {"flaky", "patient"}, "FAILURE": {"hopeless"}}
    assert tries == {"flaky": 3, "patient": 1, "hopeless": 2}


def test_a_pool_with_one_place_has_one_step_at_a_time(pooled: dg.DagsterInstance) -> None:
    inside = threading.Lock()

    def alone() -> None:
        assert inside.acquire(blocking=False)
        time.sleep(0.02)
        inside.release()

    assert run(job_of(dict.fromkeys(["a", "b"], alone), pool="table"), pooled).success
    assert pooled.event_log_storage.get_concurrency_info("table").active_slot_count == 0


def test_an_interrupt_ends_every_step_and_the_run(pooled: dg.DagsterInstance) -> None:
    together = threading.Barrier(2)
    ended: list[str] = []

    def act(name: str) -> Callable[..., object]:
        def body() -> None:
            try:
                if together.wait(WAIT_SECONDS) == 0:
                    os.kill(os.getpid(), signal.SIGINT)
                until = time.monotonic() + WAIT_SECONDS
                while time.monotonic() < until:
                    time.sleep(0.01)
            except dg.DagsterExecutionInterruptedError:
                ended.append(name)
                raise

        return body

    steps = {name: act(name) for name in ("a", "b")}
    result = run(job_of({**steps, "after": act("after")}, after={"after": ["a"]}, pool=None), pooled)
    assert sorted(ended) == ["a", "b"]
    assert fared(result) == {"SUCCESS": set(), "FAILURE": {"a", "b"}}
    assert result.dagster_run.status is dg.DagsterRunStatus.FAILURE
    last = list(result.all_events)[-1]
    assert "interrupted" in str(last.message)


def test_what_a_step_reports_in_its_last_moment_is_not_lost(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(queue.SimpleQueue[Any]):
        """Whoever asks gets the answer that nothing is there, and by then every step has reported and ended."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            steps = [thread for thread in threading.enumerate() if thread.name.startswith("step ")]
            for step in steps:
                step.join(WAIT_SECONDS)
            if steps:
                raise queue.Empty
            return super().get(block, timeout)

    monkeypatch.setattr(queue, "SimpleQueue", Slow)
    assert run(job_of(dict.fromkeys(["a", "b"], lambda: None)), instance).success


def test_a_caller_that_wants_errors_raised_gets_the_first_one(instance: dg.DagsterInstance) -> None:
    def fails() -> None:
        raise LookupError("not found")

    job = job_of({"fails": fails})
    with pytest.raises(LookupError, match="not found"):
        execute_run(InMemoryJob(job), instance.create_run_for_job(job), instance, raise_on_error=True)


def test_hooks_and_coroutines_belong_to_their_step(instance: dg.DagsterInstance) -> None:
    together = threading.Barrier(2)
    hooked: list[str] = []

    @dg.success_hook
    def remember(context: dg.HookContext) -> None:
        hooked.append(context.op.name)

    async def meets() -> AsyncIterator[dg.Output[None]]:
        together.wait(WAIT_SECONDS)
        yield dg.Output(None)

    job = job_of(dict.fromkeys(["a", "b"], meets)).with_hooks({remember})
    assert run(job, instance).success
    assert sorted(hooked) == ["a", "b"]
