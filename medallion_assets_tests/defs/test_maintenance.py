"""The maintenance job, run over a lake with every kind of table. The rest is tested in maintenance and lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from medallion_assets.bronze import copies
from medallion_assets.bronze.compacted import FOLDER
from medallion_assets.defs.bronze import survey
from medallion_assets_tests.defs.runs import incremental_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, store


@pytest.mark.usefixtures("lake_on_files")
def test_the_maintenance_job_goes_over_every_table_and_changes_no_row(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(shipped, instance, today())
    before = rows("silver", "orders"), rows("gold", "daily_sales_by_region")
    assert shipped.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    assert (rows("silver", "orders"), rows("gold", "daily_sales_by_region")) == before


@pytest.mark.usefixtures("lake_on_files")
def test_the_maintenance_job_copies_past_days_of_bronze_and_a_run_of_the_day_says_the_same_of_them(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MIN_OBJECTS", 1)
    for number in range(3):
        capture(product(f"p{number}"), at=datetime.now(UTC) - timedelta(days=2))
    capture(product("p9"))
    names = list(store().list("Products"))
    before = survey(store(), names)
    assert shipped.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    assert len(list(store().list(f"{FOLDER}/Products"))) == 1
    assert list(store().list("Products")) == names, "no listing of the table sees the copy"
    assert survey(store(), names) == before
