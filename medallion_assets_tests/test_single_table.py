"""A single-table design from the table itself to Gold: definitions, runs, ledger and status."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from medallion_assets import build_defs
from medallion_assets.contracts.loader import load_domain
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.health.status import read_status
from medallion_assets.ledger.update import update_ledger
from medallion_assets.local.example_item import example_item
from medallion_assets.ops.tables import LEDGER, OPS
from medallion_assets.reconciliation.reference_decoder import row_of
from medallion_assets.repair.rebuild import rebuild
from medallion_assets.testing import Pipeline, open_pipeline
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.contracts.test_entities import ORDERS, USERS

MART = {
    "mart.yaml": """
description: Orders of each user.
owner: team:app
columns:
  pk: string
  orders: bigint
grain: [pk]
""",
    "query.sql": """
SELECT u.pk, count(o.sk) AS orders
FROM silver.users u LEFT JOIN silver.orders o ON o.pk = u.pk
GROUP BY u.pk
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"domain.yaml": "since: 2026-01-01\n", "tables/users.yaml": USERS, "tables/orders.yaml": ORDERS}
    for name, text in (files | {f"marts/user_orders/{name}": text for name, text in MART.items()}).items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "app"


def put(pipeline: Pipeline, pk: str, sk: str, **more: Any) -> None:
    pipeline.put("App", {"PK": pk, "SK": sk, **more})


def test_each_entity_is_a_table_all_the_way(folder: Path, tmp_path: Path) -> None:
    with open_pipeline(folder, tmp_path) as pipeline:
        put(pipeline, "USER#1", "PROFILE", Name="Ada")
        put(pipeline, "USER#1", "ORDER#1", Amount=7)
        put(pipeline, "USER#1", "ORDER#2", Amount=8)
        put(pipeline, "CACHE#1", "X")
        pipeline.run()
        assert pipeline.query("SELECT pk, orders FROM gold.user_orders") == [{"pk": "USER#1", "orders": 2}]
        pipeline.delete("App", {"PK": "USER#1", "SK": "ORDER#2"})
        pipeline.run()
        assert pipeline.query("SELECT orders FROM gold.user_orders") == [{"orders": 1}]
        lake, store, now = pipeline._lake, pipeline._store, pipeline.now
        found = update_ledger(lake, store, pipeline.domain, run_id="observe", now=now)
        assert not any(one.gaps or one.pending_objects for one in found.statuses.values())
        with lake.duckdb() as connection:
            recorded = connection.execute(
                f"SELECT table_name, count(*) FROM {lake.scan_sql(lake.table(OPS, LEDGER.name), None)} GROUP BY 1"
            ).fetchall()
        objects = len(list(store.list("App")))
        assert sorted(recorded) == [("orders", objects), ("users", objects)], "each table has a row of each object"
        again = update_ledger(lake, store, pipeline.domain, run_id="observe", now=now, cursors=found.cursors)
        status = read_status(lake, store, pipeline.domain, pipeline.marts, completeness=again.statuses, now=now)
        assert [(one.table, one.source, one.rows, one.of_no_entity) for one in status.tables] == [
            ("orders", "App", 1, 1),
            ("users", "App", 1, 1),
        ]
        assert status.caught_up
        remade = rebuild(
            lake,
            store,
            pipeline.domain,
            pipeline.marts,
            layer="silver",
            name="users",
            run_id="rebuild",
            now=now,
            engine=EmbeddedEngine(lake),
        )
        assert remade.rows == 5, "every change of the DynamoDB table is read"
        assert pipeline.query("SELECT pk, name FROM silver.users") == [{"pk": "USER#1", "name": "Ada"}]


def test_definitions_have_the_assets_of_every_entity(folder: Path) -> None:
    specs = {spec.key.to_user_string() for spec in build_defs(str(folder)).resolve_all_asset_specs()}
    for layer in ("dynamodb", "bronze", "silver", "reconciliation"):
        assert {f"{layer}/orders", f"{layer}/users"} <= specs


def test_an_example_item_is_of_its_entity(folder: Path) -> None:
    for contract in load_domain(str(folder)).tables:
        item = example_item(contract, datetime(2026, 1, 1, tzinfo=UTC))
        assert row_of(contract, item)["pk"] == "USER#example"


def test_a_backfill_of_one_entity_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = {
        "MEDALLION_BRONZE": folder / "bronze",
        "MEDALLION_WAREHOUSE": folder / "lake",
        "MEDALLION_CATALOG": "sqlite",
    }
    for name, value in ({"MEDALLION_DOMAIN": folder, "AWS_REGION": "eu-central-1"} | lake).items():
        monkeypatch.setenv(name, str(value))
    refused = medallion("backfill", "users", "--from", "scan")
    assert refused.exit_code == 2
    assert "load it by" in refused.stderr
