"""The job `observe`: when its schedule starts a run, and how an error shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.defs.resources import MedallionResource
from medallion_assets_tests.defs.runs import fared, observe

pytestmark = pytest.mark.usefixtures("lake_on_files")

UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that the context of a schedule can open a second time."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance) -> tuple[int, str]:
    """Return how many runs one tick of the schedule requests, and why it requests none."""
    with dg.build_schedule_context(instance=instance, resources={"medallion": MedallionResource()}) as context:
        found = definitions.resolve_schedule_def("every_minute").evaluate_tick(context)
    return len(found.run_requests or ()), found.skip_message or ""


def test_a_tick_starts_a_run_unless_one_is_in_progress(shipped: dg.Definitions, on_disk: dg.DagsterInstance) -> None:
    job = shipped.resolve_job_def("observe")
    assert tick(shipped, on_disk) == (1, "")
    for status in UNDER_WAY:
        run = on_disk.create_run_for_job(job, status=status)
        assert tick(shipped, on_disk) == (0, f"Run {run.run_id} is under way."), status
        on_disk.delete_run(run.run_id)


def test_a_run_that_failed_is_tried_again_in_the_next_minute(
    shipped: dg.Definitions, on_disk: dg.DagsterInstance
) -> None:
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        on_disk.create_run_for_job(shipped.resolve_job_def("observe"), status=status)
        assert tick(shipped, on_disk) == (1, ""), status


def test_while_no_other_run_is_there_it_looks_every_five_minutes(
    shipped: dg.Definitions, on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk.create_run_for_job(shipped.resolve_job_def("observe"), status=dg.DagsterRunStatus.SUCCESS)
    now = datetime.now(UTC)
    asked = []
    for minutes in range(1, 6):
        monkeypatch.setattr("medallion_assets.defs.observe.utc_now", lambda: now + timedelta(minutes=minutes))  # noqa: B023
        asked.append(tick(shipped, on_disk))
    assert asked == [*[(0, "No run since the last one.")] * 4, (1, "")]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED])
def test_another_run_since_the_last_one_is_looked_at_in_the_next_minute(
    shipped: dg.Definitions, on_disk: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    on_disk.create_run_for_job(shipped.resolve_job_def("observe"), status=dg.DagsterRunStatus.SUCCESS)
    on_disk.create_run_for_job(shipped.resolve_job_def("maintenance"), status=status)
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
