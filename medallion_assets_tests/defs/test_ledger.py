"""The asset `ops/ledger`, run by run; what the checks of Silver and Gold say while a table needs a backfill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.contracts.loader import domain_folder, load_domain
from medallion_assets.definitions import defs
from medallion_assets.defs.ledger import CURSOR
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets.settings import Settings
from medallion_assets_tests.defs.runs import checks, fared, incremental_run, observe, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, store

pytestmark = pytest.mark.usefixtures("lake_on_files")

LEDGER = dg.AssetKey(["ops", "ledger"])


class Observer:
    """Runs the step as the job `observe` does."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance

    def run(self) -> dg.ExecuteInProcessResult:
        return observe(self.definitions, self.instance, "ops/ledger")

    def update(self) -> dict[str, dg.AssetCheckEvaluation]:
        """Return the check results that one run reports, by asset."""
        result = self.run()
        assert result.success
        records = self.instance.get_records_for_run(
            result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records
        found = [record.event_log_entry.get_dagster_event().asset_check_evaluation_data for record in records]
        return {one.asset_key.to_user_string(): one for one in found}

    def metadata(self) -> Mapping[str, dg.MetadataValue]:
        """Return the metadata of the last update."""
        event = self.instance.get_latest_materialization_event(LEDGER)
        assert event is not None and event.asset_materialization is not None
        return event.asset_materialization.metadata


@pytest.fixture
def observer(shipped: dg.Definitions, instance: dg.DagsterInstance) -> Observer:
    return Observer(shipped, instance)


def lose(table: str) -> datetime:
    """Write what the poller writes if the table's stream lost records. Return when."""
    at = datetime.now(UTC)
    write_gap_marker(
        store(), GapMarker(table=table, detected_at=at, reason="shard shardId-1 was trimmed before it was read")
    )
    return at


def read(table: str, *, started_at: datetime | None = None) -> datetime:
    """Write a heartbeat: the poller has read the table up to now. Return when."""
    at = datetime.now(UTC)
    marker = PollerHeartbeat(
        table=table, stream_arn="arn/stream/1", started_at=started_at or at, written_at=at, read_up_to=at, shards=()
    )
    write_heartbeat(store(), marker)
    return at


def repair(table: str, name: str) -> None:
    """Let the poller capture again and a repair complete."""
    read(table)
    with Lake.open(Settings.load().lake()) as lake:
        contract = load_domain("ecommerce").by_name[name]
        assert close_repaired_gaps(lake, store(), contract, at=datetime.now(UTC), run_id="repair") == []


def test_an_update_says_up_to_when_each_table_and_mart_is_complete(observer: Observer) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    times = {name: read(name) for name in ("Customers", "Products", "Orders")}
    assert incremental_run(observer.definitions, observer.instance, today()).success
    reported = observer.update()
    assert all(event.passed for event in reported.values())
    assert set(reported) == {
        *(f"silver/{name}" for name in ("customers", "products", "orders")),
        *(f"gold/{name}" for name in ("daily_sales_by_region", "key_metrics", "product_performance")),
    }
    assert reported["silver/orders"].metadata["complete_up_to"].value == f"{times['Orders']:%Y-%m-%dT%H:%M:%SZ}"
    assert observer.metadata()["gaps"].value == 0
    assert observer.update() == {}, "what came out as before is not reported again"
    result = incremental_run(observer.definitions, observer.instance, today())
    found = checks(observer.instance, result, "gold/key_metrics")["completeness"]
    assert found.metadata["complete_up_to"].value == f"{times['Orders']:%Y-%m-%dT%H:%M:%SZ}"


def test_a_lost_stream_shows_in_one_update_and_in_every_run_until_the_repair(observer: Observer) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    read("Products")
    assert incremental_run(observer.definitions, observer.instance, today()).success
    observer.update()
    lose("Products")
    reported = observer.update()
    assert set(reported) == {"silver/products", "gold/product_performance"}
    assert not any(event.passed for event in reported.values())
    assert reported["silver/products"].severity is dg.AssetCheckSeverity.WARN
    (example,) = json.loads(json.dumps(reported["silver/products"].metadata["examples"].value))
    assert "needs a backfill since" in example and "was trimmed" in example and "medallion repair products" in example
    capture(product("p2"), order("o2", products=("p2",)))
    result = incremental_run(observer.definitions, observer.instance, today())
    assert result.success, "what is there goes on to Gold"
    assert not checks(observer.instance, result, "gold/product_performance")["completeness"].passed
    assert not checks(observer.instance, result, "silver/products")["completeness"].passed
    assert checks(observer.instance, result, "silver/customers")["completeness"].passed
    repair("Products", "products")
    assert all(event.passed for event in observer.update().values())


@pytest.mark.slow
def test_a_contract_may_block_its_marts_until_the_backfill(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(domain_folder("ecommerce"), tmp_path / "strict")
    contract = tmp_path / "strict" / "tables" / "orders.yaml"
    contract.write_text(contract.read_text().replace("  row_count:", "  completeness: {severity: block}\n  row_count:"))
    monkeypatch.setenv("MEDALLION_DOMAIN", str(tmp_path / "strict"))
    observer = Observer(defs(), instance)
    capture(customer("c1"), product("p1"), order("o1"))
    assert incremental_run(observer.definitions, instance, today()).success
    before = rows("gold", "daily_sales_by_region")
    lose("Orders")
    observer.update()
    capture(order("o2"))
    result = incremental_run(observer.definitions, instance, today())
    assert "silver/orders" in fared(result)["SUCCESS"]
    assert "gold/daily_sales_by_region" in fared(result)["FAILURE"]
    assert rows("gold", "daily_sales_by_region") == before
    repair("Orders", "orders")
    assert incremental_run(observer.definitions, instance, today()).success
    assert rows("gold", "daily_sales_by_region") != before


def test_a_table_that_the_poller_no_longer_reads_fails_its_check_after_the_time_in_the_contract(
    observer: Observer,
) -> None:
    capture(customer("c1"))
    incremental_run(observer.definitions, observer.instance, today())
    at = datetime.now(UTC) - timedelta(days=2)
    write_heartbeat(
        store(),
        PollerHeartbeat(
            table="Customers", stream_arn="arn/stream/1", started_at=at, written_at=at, read_up_to=at, shards=()
        ),
    )
    reported = observer.update()["silver/customers"]
    assert not reported.passed
    assert int(str(reported.metadata["age_s"].value)) > 86400


@pytest.mark.parametrize("left", [{}, {CURSOR: dg.MetadataValue.json({"pages": 3})}])
def test_an_update_that_cannot_read_the_last_ones_cursor_starts_from_the_beginning(
    observer: Observer, left: dict[str, dg.MetadataValue]
) -> None:
    capture(customer("c1"))
    first = observer.update()
    assert observer.update() == {}
    observer.instance.report_runless_asset_event(dg.AssetMaterialization(LEDGER, metadata=left))
    assert set(observer.update()) == set(first)


def test_every_check_has_a_description(shipped: dg.Definitions) -> None:
    graph = shipped.get_repository_def().asset_graph
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).description, key
