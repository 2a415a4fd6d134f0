"""The job `observe`: when its schedule starts a run, and how an error shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets_tests.defs.runs import fared, observe

pytestmark = pytest.mark.usefixtures("lake_on_files")

UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that the context of a schedule can open a second time."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance) -> tuple[int, str]:
    """Return how many runs one tick of the schedule requests, and why it requests none."""
    with dg.build_schedule_context(instance=instance) as context:
        found = definitions.resolve_schedule_def("every_minute").evaluate_tick(context)
    return len(found.run_requests or ()), found.skip_message or ""


def test_a_tick_starts_a_run_unless_one_is_in_progress(shipped: dg.Definitions, on_disk: dg.DagsterInstance) -> None:
    job = shipped.resolve_job_def("observe")
    for status in (*ENDED, None, *UNDER_WAY):
        if status is not None:
            run = on_disk.create_run_for_job(job, status=status)
        asked, why = tick(shipped, on_disk)
        assert asked == (status not in UNDER_WAY), status
        assert (status in UNDER_WAY) == (f"Run {run.run_id} is under way." == why), status
        if status in UNDER_WAY:
            on_disk.delete_run(run.run_id)


def test_a_run_of_another_job_delays_nothing(shipped: dg.Definitions, on_disk: dg.DagsterInstance) -> None:
    on_disk.create_run_for_job(shipped.resolve_job_def("maintenance"), status=dg.DagsterRunStatus.STARTED)
    assert tick(shipped, on_disk) == (1, "")


def test_an_error_of_the_ledger_is_a_failed_step_that_says_why_and_the_health_is_written(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake_on_files: Path
) -> None:
    heartbeat = lake_on_files / "bronze" / "_heartbeat" / "Orders.json"
    heartbeat.parent.mkdir(parents=True)
    heartbeat.write_bytes(b"half a heart")
    result = observe(shipped, instance)
    assert not result.success
    assert fared(result)["FAILURE"] == {"ops/ledger"}
    failed = result.failure_data_for_node("ops__ledger")
    assert failed is not None and failed.user_failure_data is not None
    assert "ops__health" in {event.step_key for event in result.all_events if event.is_step_success}
    assert "Orders.json is not a heartbeat of the poller" in (failed.user_failure_data.description or "")


def test_the_ledger_runs_first(shipped: dg.Definitions, instance: dg.DagsterInstance) -> None:
    steps = [event.step_key for event in observe(shipped, instance).all_events if event.is_step_success]
    assert steps == ["ops__ledger", "ops__health"]


def test_tables_that_one_step_writes_share_its_pool(shipped: dg.Definitions) -> None:
    pools = {
        node.name: node.pool
        for name in ("observe", "maintenance")
        for node in shipped.resolve_job_def(name).all_node_defs
        if isinstance(node, dg.OpDefinition)
    }
    assert {pools["ops__ledger"], pools["maintain_ops_ledger"], pools["maintain_ops_gaps"]} == {"ops/ledger"}
    assert {pools["ops__health"], pools["maintain_ops_health"], pools["maintain_ops_checks"]} == {"ops/health"}
