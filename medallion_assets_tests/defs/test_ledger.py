"""The ledger's sensor, tick by tick; what the checks of Silver and Gold say while a table needs a backfill."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.contracts.loader import domain_folder, load_domain
from medallion_assets.definitions import defs
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets.settings import Settings
from medallion_assets_tests.defs.runs import checks, fared, incremental_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, store

pytestmark = pytest.mark.usefixtures("lake_on_files")


class Looker:
    """Ticks the sensor as the daemon does, keeping its cursor."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance
        self.cursor: str | None = None
        self.said = ""

    def tick(self) -> dict[str, dg.AssetCheckEvaluation]:
        """The check results that the tick tells Dagster, by asset."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"medallion": MedallionResource()},
            definitions=self.definitions,
        ) as context:
            result = self.definitions.resolve_sensor_def("ledger").evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message or ""
        told: dict[str, Any] = {}
        for event in result.asset_events:
            assert isinstance(event, dg.AssetCheckEvaluation)
            self.instance.report_runless_asset_event(event)  # what the daemon does with it
            told[event.asset_key.to_user_string()] = event
        return told


@pytest.fixture
def looker(shipped: dg.Definitions, instance: dg.DagsterInstance) -> Looker:
    return Looker(shipped, instance)


def lose(table: str) -> datetime:
    """The poller finds that the table's stream lost records; when it did."""
    at = datetime.now(UTC)
    write_gap_marker(
        store(), GapMarker(table=table, detected_at=at, reason="shard shardId-1 was trimmed before it was read")
    )
    return at


def read(table: str, *, started_at: datetime | None = None) -> datetime:
    """The poller says that it has read the table up to now."""
    at = datetime.now(UTC)
    marker = PollerHeartbeat(
        table=table, stream_arn="arn/stream/1", started_at=started_at or at, written_at=at, read_up_to=at, shards=()
    )
    write_heartbeat(store(), marker)
    return at


def repair(table: str, name: str) -> None:
    """The poller captures again, and a repair completes."""
    read(table)
    with Lake.open(Settings.load().lake()) as lake:
        contract = load_domain("ecommerce").by_name[name]
        assert close_repaired_gaps(lake, store(), contract, at=datetime.now(UTC), run_id="repair") == []


def test_a_tick_says_up_to_when_each_table_and_mart_is_complete(looker: Looker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    times = {name: read(name) for name in ("Customers", "Products", "Orders")}
    assert incremental_run(looker.definitions, looker.instance, today()).success
    told = looker.tick()
    assert all(event.passed for event in told.values())
    assert set(told) == {
        *(f"silver/{name}" for name in ("customers", "products", "orders")),
        *(f"gold/{name}" for name in ("daily_sales_by_region", "key_metrics", "product_performance")),
    }
    assert told["silver/orders"].metadata["complete_up_to"].value == f"{times['Orders']:%Y-%m-%dT%H:%M:%SZ}"
    assert looker.said == "No gaps"
    assert looker.tick() == {}, "what came out as before is not told again"
    result = incremental_run(looker.definitions, looker.instance, today())
    found = checks(looker.instance, result, "gold/key_metrics")["completeness"]
    assert found.metadata["complete_up_to"].value == f"{times['Orders']:%Y-%m-%dT%H:%M:%SZ}"


def test_a_lost_stream_shows_in_one_tick_and_in_every_run_until_the_repair(looker: Looker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    read("Products")
    assert incremental_run(looker.definitions, looker.instance, today()).success
    looker.tick()
    lose("Products")
    told = looker.tick()
    assert set(told) == {"silver/products", "gold/product_performance"}
    assert not any(event.passed for event in told.values())
    assert told["silver/products"].severity is dg.AssetCheckSeverity.WARN
    (example,) = json.loads(json.dumps(told["silver/products"].metadata["examples"].value))
    assert "needs a backfill since" in example and "was trimmed" in example and "medallion repair products" in example
    capture(product("p2"), order("o2", products=("p2",)))
    result = incremental_run(looker.definitions, looker.instance, today())
    assert result.success, "what is there goes on to Gold"
    assert not checks(looker.instance, result, "gold/product_performance")["completeness"].passed
    assert not checks(looker.instance, result, "silver/products")["completeness"].passed
    assert checks(looker.instance, result, "silver/customers")["completeness"].passed
    repair("Products", "products")
    assert all(event.passed for event in looker.tick().values())


@pytest.mark.slow
def test_a_contract_may_hold_its_marts_back_until_the_backfill(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(domain_folder("ecommerce"), tmp_path / "strict")
    contract = tmp_path / "strict" / "tables" / "orders.yaml"
    contract.write_text(contract.read_text().replace("  row_count:", "  completeness: {severity: block}\n  row_count:"))
    monkeypatch.setenv("MEDALLION_DOMAIN", str(tmp_path / "strict"))
    looker = Looker(defs(), instance)
    capture(customer("c1"), product("p1"), order("o1"))
    assert incremental_run(looker.definitions, instance, today()).success
    before = rows("gold", "daily_sales_by_region")
    lose("Orders")
    looker.tick()
    capture(order("o2"))
    result = incremental_run(looker.definitions, instance, today())
    assert "silver/orders" in fared(result)["SUCCESS"]
    assert "gold/daily_sales_by_region" in fared(result)["FAILURE"]
    assert rows("gold", "daily_sales_by_region") == before
    repair("Orders", "orders")
    assert incremental_run(looker.definitions, instance, today()).success
    assert rows("gold", "daily_sales_by_region") != before


def test_what_a_poller_no_longer_reads_is_told_when_the_contracts_time_is_over(looker: Looker) -> None:
    capture(customer("c1"))
    incremental_run(looker.definitions, looker.instance, today())
    at = datetime.now(UTC) - timedelta(days=2)
    write_heartbeat(
        store(),
        PollerHeartbeat(
            table="Customers", stream_arn="arn/stream/1", started_at=at, written_at=at, read_up_to=at, shards=()
        ),
    )
    told = looker.tick()["silver/customers"]
    assert not told.passed
    assert int(str(told.metadata["age_s"].value)) > 86400


def test_every_check_says_what_it_is_about(shipped: dg.Definitions) -> None:
    graph = shipped.get_repository_def().asset_graph
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).description, key
