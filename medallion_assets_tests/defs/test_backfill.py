"""The asset `backfill/<table>` as Dagster runs it. What a backfill loads and refuses is tested in backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest

from medallion_assets.backfill import handover
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.settings import Settings
from medallion_assets.silver.batches import merge_pending
from medallion_assets_tests.defs.shop import customer, rows, store

KEY = dg.AssetKey(["backfill", "customers"])


def merge(_seconds: float) -> None:
    """Do what the pipeline does while the backfill waits."""
    domain, now = load_domain("ecommerce"), datetime.now(UTC)
    with Lake.open(Settings.load().lake()) as lake:
        done = merge_pending(
            lake, store(), domain.by_name["customers"], domain, day=now.date(), run_id="pipeline", now=now
        )
        assert all(result.published for result in done)


def materialize(definitions: dg.Definitions, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        asset_selection=[KEY],
        run_config={"ops": {"backfill__customers": {"config": config}}},
        raise_on_error=False,
    )


def test_the_page_loads_what_a_table_had_before_its_stream(
    shipped: dg.Definitions,
    instance: dg.DagsterInstance,
    lake_on_files: Path,
    aws: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = partial(CatchUp, capture_delay_seconds=0, wait=merge)
    monkeypatch.setattr("medallion_assets.reconciliation.catch_up.CatchUp", waiting)
    monkeypatch.setattr(handover, "CLOCK_TOLERANCE", timedelta())
    client = boto3.client("dynamodb")
    create_tables(client, load_domain("ecommerce"))
    for key in ("c1", "c2"):
        client.put_item(TableName="Customers", Item=customer(key)["dynamodb"]["NewImage"])
    with pytest.raises(dg.DagsterInvalidConfigError, match="source"):
        materialize(shipped, instance)
    unset = materialize(shipped, instance, source="export")
    failure = unset.failure_data_for_node("backfill__customers")
    assert failure is not None and failure.user_failure_data is not None
    assert "MEDALLION_EXPORTS is not set" in str(failure.user_failure_data.description)
    monkeypatch.setenv("MEDALLION_EXPORTS", str(lake_on_files / "exports"))
    now = datetime.now(UTC)
    heartbeat = PollerHeartbeat(
        table="Customers",
        stream_arn=client.describe_table(TableName="Customers")["Table"]["LatestStreamArn"],
        started_at=now,
        written_at=now,
        read_up_to=now + timedelta(hours=1),
        shards=(),
    )
    write_heartbeat(store(), heartbeat)
    done = materialize(shipped, instance, source="export")
    assert done.success
    [event] = done.get_asset_materialization_events()
    found = event.materialization.metadata
    assert (found["dagster/row_count"].value, found["read"].value) == (2, 2)
    assert {row["customer_id"] for row in rows("silver", "customers")} == {"c1", "c2"}
    scanned = materialize(shipped, instance, source="scan", wait_seconds=60)
    assert scanned.success
    assert sorted(row["source"] for row in rows("ops", "backfills")) == ["export", "scan"]


def test_it_is_upstream_of_bronze_and_only_of_whole_tables(shipped: dg.Definitions) -> None:
    graph = shipped.resolve_asset_graph()
    assert KEY in graph.get(dg.AssetKey(["bronze", "customers"])).parent_keys
    assert graph.get(KEY).parent_keys == {dg.AssetKey(["dynamodb", "customers"])}
