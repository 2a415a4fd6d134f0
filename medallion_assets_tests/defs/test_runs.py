"""What a run does: with pending objects, again, with a broken object, with a blocking audit, without the lake."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.defs import failures
from medallion_assets.errors import LakeUnavailable
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.defs.runs import Result, checks, failure, fared, incremental_run, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, snapshot

TABLES = [("silver", "customers"), ("silver", "products"), ("silver", "orders")]
MARTS = [("gold", "daily_sales_by_region"), ("gold", "key_metrics"), ("gold", "product_performance")]
SALES = dg.AssetKey(["gold", "daily_sales_by_region"])

pytestmark = pytest.mark.usefixtures("lake_on_files")


def everything() -> dict[str, list[dict[str, object]]]:
    return {f"{layer}/{name}": rows(layer, name) for layer, name in TABLES + MARTS}


def late_order(definitions: dg.Definitions, instance: dg.DagsterInstance) -> date:
    """Put one order into Gold, and another one into Bronze only. Return the day of that order."""
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(definitions, instance, today())
    old = today() - timedelta(days=40)
    capture(order("o2", on=old))
    return old


def sales_days(result: Result) -> list[str]:
    """Return the days of the sales mart that a run materialized."""
    return [str(one.partition) for one in result.get_asset_materialization_events() if one.asset_key == SALES]


def test_one_run_takes_changes_from_bronze_to_gold(shipped: dg.Definitions, instance: dg.DagsterInstance) -> None:
    capture(customer("c1"), product("p1"), order("o1", amount="10.00"), order("o2", amount="5.50"))
    assert incremental_run(shipped, instance, today()).success
    (sales,) = rows("gold", "daily_sales_by_region")
    assert (sales["region"], sales["order_count"], sales["total_revenue"]) == ("EU", 2, Decimal("15.50"))


def test_a_late_order_materializes_exactly_its_old_order_day(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    old = late_order(shipped, instance)
    result = incremental_run(shipped, instance, today())
    assert sales_days(result) == [old.isoformat()]
    assert instance.get_materialized_partitions(SALES) == {old.isoformat(), today().isoformat()}


def test_a_run_without_pending_objects_changes_nothing_and_succeeds(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(shipped, instance, today())
    before = [snapshot(layer, name) for layer, name in TABLES + MARTS]
    assert incremental_run(shipped, instance, today()).success
    assert [snapshot(layer, name) for layer, name in TABLES + MARTS] == before


@pytest.mark.parametrize(
    "key", [pytest.param("silver/customers", marks=pytest.mark.slow), "silver/orders", "gold/daily_sales_by_region"]
)
def test_a_rerun_of_any_day_from_the_page_gives_the_same_tables(
    shipped: dg.Definitions, instance: dg.DagsterInstance, key: str
) -> None:
    old = today() - timedelta(days=3)
    capture(customer("c1"), product("p1"), order("o1"), order("o2", on=old))
    incremental_run(shipped, instance, today())
    before = everything()
    for day in (today(), old):
        assert page_run(shipped, instance, key, days=[day]).success
    assert page_run(shipped, instance, key, days=[old, today()]).success
    assert everything() == before


def test_a_rerun_of_a_day_of_a_mart_from_the_page_computes_the_affected_days_too(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    old = late_order(shipped, instance)
    page_run(shipped, instance, "bronze/orders", "silver/orders", days=[today()])
    result = page_run(shipped, instance, "gold/daily_sales_by_region", days=[today()])
    assert sorted(sales_days(result)) == [old.isoformat(), today().isoformat()]


def test_a_range_of_days_is_one_run_that_materializes_each_day(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"))
    days = [today() - timedelta(days=1), today()]
    result = page_run(shipped, instance, "bronze/customers", "silver/customers", days=days)
    assert result.success
    merged = checks(instance, result, "silver/customers")["bronze_counts"]
    assert merged.passed
    assert instance.get_materialized_partitions(dg.AssetKey(["silver", "customers"])) == {str(day) for day in days}


def test_a_mart_without_partitions_is_computed_again_from_the_page(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(shipped, instance, today())
    before = everything()
    assert page_run(shipped, instance, "gold/key_metrics").success
    assert everything() == before


def test_a_truncated_object_fails_its_table_by_name_and_the_others_go_on(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake_on_files: Path
) -> None:
    capture(customer("c1"), product("p1"))
    incremental_run(shipped, instance, today())
    capture(product("p2"), order("o1"))
    broken = max((lake_on_files / "bronze" / "Products").rglob("*.parquet"))
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])

    result = incremental_run(shipped, instance, today())
    steps = fared(result)
    assert steps["FAILURE"] == {"bronze/products"}
    assert broken.name in failure(result, "bronze/products")
    assert not steps["SUCCESS"] & {"silver/products", "gold/product_performance"}
    assert rows("gold", "daily_sales_by_region")[0]["order_count"] == 1
    assert [row["product_id"] for row in rows("silver", "products")] == ["p1"]

    broken.write_bytes(data)
    assert incremental_run(shipped, instance, today()).success
    assert [row["product_id"] for row in rows("silver", "products")] == ["p1", "p2"]


def test_a_failed_blocking_check_leaves_silver_and_gold_unchanged(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    incremental_run(shipped, instance, today())
    before = everything()
    # Far more than the five in a hundred rows that may be quarantined.
    capture(*(order(f"bad-{number}", amount="-1") for number in range(30)), order("o2"))

    result = incremental_run(shipped, instance, today())
    assert fared(result)["FAILURE"] == {"silver/orders"}
    assert not any(key.startswith("gold/") for key in fared(result)["SUCCESS"])
    rate = checks(instance, result, "silver/orders")["quarantine_rate"]
    assert not rate.passed and rate.blocking
    assert rate.metadata["capture_day"].value == today().isoformat()
    assert rate.metadata["total_amount: breaks the rule min 0"].value == 30
    assert "medallion quarantine list" in str(rate.metadata["what_to_do"].value)
    assert rate.metadata["quarantined"].value == 30
    assert len(rate.metadata["examples"].value) == 10  # type: ignore[arg-type]
    assert "published data is unchanged" in failure(result, "silver/orders")
    assert everything() == before


def test_a_lake_that_does_not_answer_is_tried_again_and_then_fails_the_run(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(customer("c1"))
    monkeypatch.setattr(failures, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Lake, "open", _unavailable)
    result = page_run(shipped, instance, "silver/customers", days=[today()])
    attempts = [event for event in result.all_events if event.event_type_value == "STEP_RESTARTED"]
    assert not result.success
    assert len(attempts) == failures.MAX_RETRIES


def _unavailable(*_: object) -> Lake:
    raise LakeUnavailable("The lake's catalog or store did not answer: test. Try again later.")


def test_a_lake_that_comes_back_lets_the_step_through(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(customer("c1"))
    opened, real = [], Lake.open

    def second_time(settings: object) -> Lake:
        opened.append(settings)
        return real(settings) if len(opened) > 1 else _unavailable()  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "open", second_time)
    assert page_run(shipped, instance, "silver/customers", days=[today()]).success
    assert [row["customer_id"] for row in rows("silver", "customers")] == ["c1"]
