"""Which runs are deleted, on a real instance."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.defs import retention
from medallion_assets_tests.defs.runs import incremental_run, observe, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product

pytestmark = pytest.mark.usefixtures("lake_on_files")


@pytest.mark.slow
def test_old_runs_of_the_sensor_are_deleted_but_not_the_status_of_a_partition(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = today() - timedelta(days=40)
    capture(customer("c1"), product("p1"), order("o1"))
    superseded = incremental_run(shipped, instance, today()).run_id
    capture(order("o2", on=old))
    holds_the_old_day = incremental_run(shipped, instance, today()).run_id
    by_hand = page_run(shipped, instance, "silver/orders", days=[today()]).run_id
    capture(customer("c2"), product("p2"), order("o3"))
    latest = incremental_run(shipped, instance, today()).run_id
    sales = dg.AssetKey(["gold", "daily_sales_by_region"])
    before = instance.get_materialized_partitions(sales)

    assert shipped.resolve_job_def("retention").execute_in_process(instance=instance).success
    assert {run.run_id for run in instance.get_runs()} >= {superseded, holds_the_old_day, by_hand, latest}

    monkeypatch.setattr(retention, "KEEP", timedelta(0))
    assert shipped.resolve_job_def("retention").execute_in_process(instance=instance).success
    left = {run.run_id for run in instance.get_runs()}
    assert superseded not in left
    assert left >= {holds_the_old_day, by_hand, latest}
    assert instance.get_materialized_partitions(sales) == before


@pytest.mark.slow
def test_of_the_systems_own_old_runs_only_the_last_of_observe_stays_with_its_files(
    shipped: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def files_of_runs() -> set[str]:
        databases = {file.stem for file in home.glob("history/runs/*.db")} - {"index", ".db"}
        assert {folder.parent.name for folder in home.glob("storage/*/compute_logs")} <= databases
        return databases

    result = dg.AssetCheckEvaluation(dg.AssetKey(["silver", "orders"]), "keys", passed=True)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        first, last = (observe(shipped, instance).run_id for _ in range(2))
        maintained = dg.DagsterRun("maintenance", status=dg.DagsterRunStatus.SUCCESS)
        instance.add_run(maintained)
        for _ in range(2):
            instance.report_runless_asset_event(result)
        before = results(instance, result.asset_check_key)

        assert shipped.resolve_job_def("retention").execute_in_process(instance=instance).success
        assert {run.run_id for run in instance.get_runs()} >= {first, last, maintained.run_id}
        assert results(instance, result.asset_check_key) == before and len(before) == 2
        monkeypatch.setattr(retention, "KEEP", timedelta(0))
        own = shipped.resolve_job_def("retention").execute_in_process(instance=instance)
        assert own.success
        assert {run.run_id for run in instance.get_runs()} == files_of_runs() == {last, own.run_id}
        assert results(instance, result.asset_check_key) == before[:1]


def results(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[int]:
    """The ids of a check's results, the newest first."""
    return [one.id for one in instance.event_log_storage.get_asset_check_execution_history(check, limit=10)]
