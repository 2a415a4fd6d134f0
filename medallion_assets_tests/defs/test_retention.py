"""Which runs are deleted, on a real instance."""

from __future__ import annotations

from datetime import timedelta

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


def test_old_runs_of_the_job_observe_are_deleted_but_not_its_last(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = (observe(shipped, instance).run_id for _ in range(2))
    monkeypatch.setattr(retention, "KEEP", timedelta(0))
    assert shipped.resolve_job_def("retention").execute_in_process(instance=instance).success
    left = {run.run_id for run in instance.get_runs()}
    assert first not in left
    assert last in left
