"""Loading the definitions: what it may touch, and the graph that comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from medallion_assets.definitions import defs
from medallion_assets.errors import ContractError

PROJECT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("graph.json")
UPDATE = "UPDATE_GRAPH"

# Run in an interpreter of its own: sockets raise, and the environment is empty.
LOAD = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"}:
        raise AssertionError(f"{event}{arguments}")

sys.addaudithook(refuse)
from medallion_assets.definitions import defs
heavy = {"boto3", "pyiceberg.catalog"} & set(sys.modules)
assert not heavy, f"importing the module alone imports {heavy}"
print(len(list(defs().get_repository_def().asset_graph.get_all_asset_keys())))
"""


def test_definitions_load_with_sockets_blocked_and_an_empty_environment() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=PROJECT, env={}, capture_output=True, text=True, timeout=120, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "22"


@pytest.mark.slow
def test_dagster_finds_the_definitions_by_the_workspace_file() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr


def test_a_domain_of_ones_own_is_loaded_by_its_path_also_without_marts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "domain.yaml").write_text("since: 2026-01-01\n")
    (tmp_path / "tables" / "sensors.yaml").write_text(
        "table: Sensors\nowner: team:lab\nkey: {hash: SensorID}\ncolumns: {SensorID: string, Celsius: 'decimal(5,2)'}\n"
    )
    monkeypatch.setenv("MEDALLION_DOMAIN", str(tmp_path))
    loaded = defs()
    dg.Definitions.validate_loadable(loaded)
    keys = {spec.key.to_user_string() for spec in loaded.resolve_all_asset_specs()}
    assert keys == {
        "dynamodb/sensors",
        "backfill/sensors",
        "bronze/sensors",
        "silver/sensors",
        "reconciliation/sensors",
        "ops/ledger",
        "ops/health",
    }


def test_an_unknown_domain_fails_at_load_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DOMAIN", "nowhere")
    with pytest.raises(ContractError, match=r"No domain 'nowhere'.*medallion init"):
        defs()


def test_the_partitions_begin_with_the_day_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_SINCE", "2026-03-05")
    graph = defs().get_repository_def().asset_graph
    partitions = graph.get(dg.AssetKey(["silver", "orders"])).partitions_def
    assert partitions is not None and partitions.get_first_partition_key() == "2026-03-05"


def test_the_graph_is_the_one_that_was_reviewed(shipped: dg.Definitions) -> None:
    """Set UPDATE_GRAPH=1 to write the file again, and review the difference."""
    found = json.dumps(graph(shipped), indent=1, sort_keys=True) + "\n"
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text(), f"the graph differs from {SNAPSHOT.name}; {UPDATE}=1 writes it again"


def graph(definitions: dg.Definitions) -> dict[str, Any]:
    repository = definitions.get_repository_def()
    nodes = repository.asset_graph
    assets = {}
    for key in nodes.get_all_asset_keys():
        node = nodes.get(key)
        assets[key.to_user_string()] = {
            "deps": sorted(dep.to_user_string() for dep in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "partitions": str(node.partitions_def) if node.partitions_def else None,
            "pools": sorted(node.pools or ()),
            "executable": node.is_executable,
            "automation": str(node.automation_condition) if node.automation_condition else None,
            "freshness": str(node.freshness_policy) if node.freshness_policy else None,
            "metadata": sorted(node.metadata),
            "checks": {
                check.name: {
                    "blocking": nodes.get_check_spec(check).blocking,
                    "partitioned": nodes.get_check_spec(check).partitions_def is not None,
                }
                for check in sorted(node.check_keys, key=lambda one: one.name)
            },
        }
    sensors = {
        sensor.name: {"status": sensor.default_status.value, "interval_s": sensor.minimum_interval_seconds}
        for sensor in repository.sensor_defs
    }
    return {"assets": assets, "sensors": sensors, "schedules": sorted(one.name for one in repository.schedule_defs)}


def test_every_layers_tables_say_their_columns_and_where_they_come_from(shipped: dg.Definitions) -> None:
    metadata = {spec.key.to_user_string(): spec.metadata for spec in shipped.resolve_all_asset_specs()}
    orders = metadata["silver/orders"]["dagster/column_lineage"].deps_by_column
    assert orders["order_id"] == [
        dg.TableColumnDep(asset_key=dg.AssetKey(["dynamodb", "orders"]), column_name="OrderID")
    ]
    region = dg.TableColumnDep(asset_key=dg.AssetKey(["silver", "customers"]), column_name="region")
    assert region in orders["customer_region"]
    sales = metadata["gold/daily_sales_by_region"]["dagster/column_lineage"].deps_by_column
    assert (
        dg.TableColumnDep(asset_key=dg.AssetKey(["silver", "orders"]), column_name="total_amount")
        in sales["total_revenue"]
    )
    for name, entries in metadata.items():
        if not name.startswith(("backfill/", "bronze/", "reconciliation/", "ops/", "site/", "live/")):
            assert entries["dagster/column_schema"].columns
