"""The maintenance job, run over a lake with every kind of table. The rest is tested in maintenance and lake."""

from __future__ import annotations

import dagster as dg
import pytest

from medallion_assets_tests.defs.runs import incremental_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows


@pytest.mark.usefixtures("lake_on_files")
def test_the_maintenance_job_goes_over_every_table_and_changes_no_row(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(shipped, instance, today())
    before = rows("silver", "orders"), rows("gold", "daily_sales_by_region")
    assert shipped.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    assert (rows("silver", "orders"), rows("gold", "daily_sales_by_region")) == before
