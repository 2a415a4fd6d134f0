"""Each check executed alone, as the button *Execute* does: on healthy tables, and on tables that were broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.defs.build import build_defs
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.settings import Settings
from medallion_assets.silver.audit import RowCounts
from medallion_assets.silver.table import ROW_COUNT
from medallion_assets_tests.defs.runs import LAYERS, Result, check_run, incremental_run, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product

pytestmark = pytest.mark.usefixtures("lake_on_files")

ORDERS = "silver/orders"
SALES = "gold/daily_sales_by_region"


@pytest.fixture
def published(shipped: dg.Definitions, instance: dg.DagsterInstance) -> dg.Definitions:
    """The shop with something in every table and mart."""
    capture(customer("c1"), product("p1"), order("o1"), order("o2"))
    assert incremental_run(shipped, instance, today()).success
    return shipped


def rewrite(key: str, sql: str) -> None:
    """Replace the published rows of a table by those of `sql`, which reads them as `rows`."""
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        table = lake.table(*key.split("/"))
        rows = connection.execute(f"WITH rows AS (FROM {lake.scan_sql(table, None)}) {sql}").to_arrow_table()
        publish(lake, table, stage_replace(lake, table, rows))


def drop_column(key: str, name: str) -> None:
    with Lake.open(Settings.load().lake()) as lake, lake.table(*key.split("/")).update_schema() as update:
        update.delete_column(name)


def had_more_rows_yesterday(key: str) -> None:
    with Lake.open(Settings.load().lake()) as lake:
        table = lake.table(*key.split("/"))
        counts = RowCounts(today() - timedelta(days=1), rows=100, day_before=None)
        with table.transaction() as change:
            change.set_properties({ROW_COUNT: counts.text})


def test_every_check_of_a_table_or_mart_can_be_executed_alone_and_passes_on_healthy_data(
    published: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    graph = published.resolve_asset_graph()
    checks = [key for key in graph.asset_check_keys if key.asset_key.path[0] in LAYERS]
    assert len(checks) > 30
    for key in checks:
        assert not graph.get(key).partitions_def, "the page cannot execute a check with partitions alone"
        found = check_run(published, instance, key.asset_key.to_user_string(), key.name)
        assert {name: one.passed for name, one in found.items()} == {key.name: True}, (key, found)
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    assert {record.status.value for record in records.values()} == {"SUCCEEDED"}


BROKEN: list[tuple[str, str, Callable[[], None], str]] = [
    (ORDERS, "keys", lambda: rewrite(ORDERS, "(FROM rows) UNION ALL (FROM rows WHERE order_id = 'o1')"), "o1"),
    (ORDERS, "columns", lambda: drop_column(ORDERS, "status"), "status"),
    (ORDERS, "freshness", lambda: drop_column(ORDERS, "status"), "status"),
    (ORDERS, "bronze_counts", lambda: rewrite(ORDERS, "FROM rows WHERE order_id <> 'o1'"), ""),
    (
        ORDERS,
        "references",
        lambda: rewrite(
            ORDERS, "SELECT * REPLACE ('nobody' AS customer_id, _changed_at - INTERVAL 1 DAY AS _changed_at) FROM rows"
        ),
        "o1",
    ),
    (ORDERS, "row_rules", lambda: rewrite(ORDERS, "SELECT * REPLACE ('lost' AS status) FROM rows"), "o1"),
    (ORDERS, "row_count", lambda: had_more_rows_yesterday(ORDERS), ""),
    (
        ORDERS,
        "freshness",
        lambda: rewrite(ORDERS, "SELECT * REPLACE (_changed_at - INTERVAL 30 DAY AS _changed_at) FROM rows"),
        "",
    ),
    (SALES, "grain", lambda: rewrite(SALES, "(FROM rows) UNION ALL (FROM rows)"), str(today())),
    (SALES, "columns", lambda: drop_column(SALES, "region"), "region"),
    (SALES, "rules", lambda: rewrite(SALES, "SELECT * REPLACE (-1 AS order_count) FROM rows"), str(today())),
]


FAST = ("keys", "bronze_counts", "references", "row_rules", "grain", "rules")


@pytest.mark.parametrize(
    ("key", "check", "break_it", "example"),
    [pytest.param(*row, id=f"{row[0]} {row[1]}", marks=() if row[1] in FAST else pytest.mark.slow) for row in BROKEN],
)
def test_a_check_executed_alone_finds_what_is_wrong_in_the_published_table(
    published: dg.Definitions,
    instance: dg.DagsterInstance,
    key: str,
    check: str,
    break_it: Callable[[], None],
    example: str,
) -> None:
    break_it()
    found = check_run(published, instance, key, check)[check]
    assert not found.passed
    assert example in json.dumps(found.metadata["examples"].value if example else "")
    assert found.metadata["what_to_do"].value


def test_the_share_in_quarantine_is_that_of_the_last_batch_under_the_contract_of_now(
    published: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The contract became stricter after the batch was merged."""
    capture(*(order(f"more-{number}") for number in range(30)))
    assert incremental_run(published, instance, today()).success
    shutil.copytree(domain_folder("ecommerce"), tmp_path / "strict")
    file = tmp_path / "strict" / "tables" / "orders.yaml"
    file.write_text(file.read_text().replace("{min: 0}", "{min: 1000}"))
    found = check_run(build_defs(tmp_path / "strict"), instance, ORDERS, "quarantine_rate")["quarantine_rate"]
    assert (found.passed, found.metadata["quarantined"].value) == (False, 30)


def test_a_change_in_quarantine_fails_the_check_of_the_quarantine(
    published: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(order("bad", amount="-1"))
    assert incremental_run(published, instance, today()).success
    found = check_run(published, instance, ORDERS, "quarantine", "keys")
    assert {name: one.passed for name, one in found.items()} == {"quarantine": False, "keys": True}
    assert found["quarantine"].metadata["open"].value == 1


def test_before_anything_is_published_checks_pass_and_say_so(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    for key, check in ((ORDERS, "keys"), (SALES, "grain")):
        found = check_run(shipped, instance, key, check)[check]
        assert found.passed and "Nothing is published" in str(found.description)


def statuses(instance: dg.DagsterInstance, key: str, *checks: str) -> dict[str, str]:
    """Return the status of the newest record of each check, which is what the pages show."""
    keys = [dg.AssetCheckKey(dg.AssetKey(key.split("/")), check) for check in checks]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {one.name: record.status.value for one, record in found.items()}


def test_a_run_that_failed_before_its_audit_leaves_the_last_results_as_they_are(
    published: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planned check of a run that did not come so far would be shown as running, and then as failed."""
    capture(order("o3"))

    def broken(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("the step dies")

    with monkeypatch.context() as dying:
        dying.setattr("medallion_assets.silver.batches.merge_pending", broken)
        assert not incremental_run(published, instance, today()).success
    assert statuses(instance, ORDERS, "keys", "bronze_counts") == {"keys": "SUCCEEDED", "bronze_counts": "SUCCEEDED"}


def test_a_stopped_batch_fails_its_check_in_a_run_of_the_sensor_and_in_one_from_the_page(
    published: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    capture(*(order(f"bad-{number}", amount="-1") for number in range(30)))
    for attempt in ("sensor", "page"):
        by_sensor = attempt == "sensor"
        run: Result = (
            incremental_run(published, instance, today())
            if by_sensor
            else page_run(published, instance, ORDERS, SALES, days=[today()])
        )
        assert not run.success
        assert statuses(instance, ORDERS, "quarantine_rate") == {"quarantine_rate": "FAILED"}
