"""The nightly reconciliation as Dagster runs it. Comparing and repairing are tested in reconciliation and repair."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import boto3
import dagster as dg
import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets_tests.defs.runs import incremental_run, today
from medallion_assets_tests.defs.shop import capture, customer, rows


def test_every_table_is_compared_and_a_difference_fails_its_check(
    shipped: dg.Definitions,
    instance: dg.DagsterInstance,
    lake_on_files: Any,
    aws: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medallion_assets.reconciliation.catch_up.CatchUp", partial(CatchUp, capture_delay_seconds=0))
    client = boto3.client("dynamodb")
    domain = load_domain("ecommerce")
    create_tables(client, domain)
    prod = domain.sources["Customers"].contracts[0].model_copy(update={"table": "prod-Customers"})
    create_tables(client, replace(domain, tables=(prod,)))
    monkeypatch.setenv("MEDALLION_SOURCE_TABLES", "Customers=prod-Customers")
    for key in ("c1", "c2"):
        change = customer(key)
        capture(change)
        client.put_item(TableName="prod-Customers", Item=change["dynamodb"]["NewImage"])
    incremental_run(shipped, instance, today())
    job = shipped.resolve_job_def("reconciliation")
    assert job.execute_in_process(instance=instance).success
    client.delete_item(TableName="prod-Customers", Key={"CustomerID": {"S": "c2"}})
    done = job.execute_in_process(instance=instance)
    assert done.success, "the run succeeds although its check fails"
    checks = {check.asset_key.to_user_string(): check for check in done.get_asset_check_evaluations()}
    assert {key: check.passed for key, check in checks.items()} == {
        "reconciliation/customers": False,
        "reconciliation/orders": True,
        "reconciliation/products": True,
    }
    found = checks["reconciliation/customers"].metadata
    assert (found["extra"].value, found["equal"].value) == (1, 1)
    noted = rows("ops", "reconciliations")
    assert sorted((row["table_name"], row["extra_rows"]) for row in noted) == [
        ("customers", 0),
        ("customers", 1),
        ("orders", 0),
        ("orders", 0),
        ("products", 0),
        ("products", 0),
    ]
