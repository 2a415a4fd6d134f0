"""The check of a live counter: it warns, and names the groups that differ from Silver."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import boto3
import dagster as dg
import pytest

from medallion_assets.defs.build import build_defs
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.live.dynamodb_store import DynamoStore, table_settings
from medallion_assets.local.emulator import Emulator
from medallion_assets.testing import open_pipeline


def test_a_counter_that_differs_from_silver_is_a_warning(aws: Emulator, tmp_path: Path) -> None:
    boto3.client("dynamodb").create_table(**table_settings("counters"))
    with open_pipeline("ecommerce", tmp_path) as pipeline:
        pipeline.put("Orders", _order())
        pipeline.run()
        resource = MedallionResource(
            bronze=str(tmp_path / "bronze"),
            warehouse=str(tmp_path / "warehouse"),
            catalog="sqlite",
            region="us-east-1",
            live="dynamodb:counters",
        )
        defs = build_defs("ecommerce", resource=resource)
        job = defs.resolve_job_def("live_counters")

        def check() -> dg.AssetCheckEvaluation:
            (evaluation,) = job.execute_in_process().get_asset_check_evaluations()
            return evaluation

        found = check()
        assert not found.passed and found.severity is dg.AssetCheckSeverity.WARN
        assert (found.metadata["different_groups"].value, found.metadata["changes_behind"].value) == (1, 1)
        total = {"count": Decimal(1), "sum_total_amount": Decimal("7.50"), "values_total_amount": Decimal(1)}
        DynamoStore.open("counters").correct("orders_by_status", {'["paid"]': total})
        assert check().passed


@pytest.mark.parametrize(("live", "runs"), [(None, 0), ("dynamodb:counters", 1)])
def test_the_schedule_needs_a_store(live: str | None, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDALLION_LIVE", raising=False)
    resource = MedallionResource(bronze="/b", warehouse="/w", catalog="sqlite", region="us-east-1")
    if live is not None:
        monkeypatch.setenv("MEDALLION_LIVE", live)
    schedule = build_defs("ecommerce", resource=resource).resolve_schedule_def("hourly_live_counters")
    with dg.build_schedule_context(resources={"medallion": resource}) as context:
        assert len(schedule.evaluate_tick(context).run_requests or ()) == runs


def _order() -> dict[str, object]:
    return {
        "OrderID": "o1",
        "CustomerID": "c1",
        "ProductID": ["p1"],
        "OrderDate": "2026-11-30T10:00:00Z",
        "TotalAmount": Decimal("7.5"),
        "Status": "paid",
    }
