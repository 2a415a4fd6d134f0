"""From a dropped file to Gold by the sensors' ticks and the runs that they request; on a folder, and on S3."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import boto3
import dagster as dg
import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.defs import dropped, sensors
from medallion_assets.defs.build import build_defs
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.local.emulator import Emulator
from medallion_assets_tests.defs.runs import checks
from medallion_assets_tests.defs.shop import capture, customer, product, rows
from medallion_assets_tests.defs.ticker import Ticker

pytestmark = pytest.mark.usefixtures("lake_on_files")

ORDERS = """OrderID,CustomerID,ProductID,OrderDate,TotalAmount,Status
o1,c1,"[""p1""]",2026-03-01T10:30:00Z,79.99,pending
o2,c1,"[""p1""]",2026-03-01T11:30:00Z,0.01,pending
"""


@pytest.fixture
def shop(lake_on_files: Path) -> dg.Definitions:
    """The shipped domain, whose orders take files, and so are in no live counter."""
    folder = lake_on_files / "shop"
    shutil.copytree(domain_folder("ecommerce"), folder, ignore=shutil.ignore_patterns("live"))
    contract = folder / "tables/orders.yaml"
    contract.write_text(contract.read_text("utf-8") + "\nfiles: newer\n", "utf-8")
    return build_defs(str(folder))


@pytest.fixture
def ticker(shop: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    monkeypatch.setattr(sensors, "ASK_AGAIN", timedelta(0))
    return Ticker(shop, instance)


def tick(ticker: Ticker) -> dg.RunRequest | str:
    """Return what the sensor on dropped files requests, or why it does not."""
    with dg.build_sensor_context(
        instance=ticker.instance, resources={"medallion": MedallionResource()}, definitions=ticker.definitions
    ) as context:
        result = ticker.definitions.resolve_sensor_def(dropped.SENSOR).evaluate_tick(context)
    return result.run_requests[0] if result.run_requests else str(result.skip_message)


def take(ticker: Ticker, request: dg.RunRequest | str) -> dg.ExecuteInProcessResult:
    """Execute the run of a request."""
    assert isinstance(request, dg.RunRequest)
    job = ticker.definitions.resolve_job_def(dropped.JOB)
    return job.execute_in_process(
        instance=ticker.instance, asset_selection=list(request.asset_selection or ()), raise_on_error=False
    )


def drop(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    at = time.time() - 60
    os.utime(path, (at, at))


def test_a_file_in_a_folder_reaches_gold(ticker: Ticker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tick(ticker) == "MEDALLION_RAW is not set: no files are taken."
    raw = tmp_path / "raw"
    monkeypatch.setenv("MEDALLION_RAW", str(raw))
    assert tick(ticker) == "No file waits."
    capture(customer("c1"), product("p1"))
    drop(raw, "Orders/march.csv", ORDERS)
    drop(raw, "Ordres/march.csv", ORDERS)
    taken = take(ticker, tick(ticker))
    assert taken.success
    (made,) = taken.asset_materializations_for_node("raw__orders")
    assert (made.metadata["files"].value, made.metadata["dagster/row_count"].value) == (1, 2)
    assert checks(ticker.instance, taken, "raw/orders")["files"].passed
    assert tick(ticker) == "No file waits. No table that takes files is called Ordres."
    ticker.run_until_idle()
    assert [str(row["total_amount"]) for row in rows("silver", "orders")] == ["79.99", "0.01"]
    assert [row["order_count"] for row in rows("gold", "daily_sales_by_region")] == [2]


def test_a_file_that_does_not_fit_fails_the_check_and_nothing_is_loaded(
    ticker: Ticker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw"
    monkeypatch.setenv("MEDALLION_RAW", str(raw))
    drop(raw, "Orders/march.csv", ORDERS + "o3,c1,,yesterday,1.00,pending\n")
    taken = take(ticker, tick(ticker))
    check = checks(ticker.instance, taken, "raw/orders")["files"]
    assert taken.success and not check.passed
    assert "row 3, OrderDate: expected timestamp, saw a text" in str(check.metadata)
    assert ticker.tick() is None and ticker.skipped == "Nothing new."
    assert tick(ticker) == "No file waits."


def test_a_file_on_s3_is_taken_once(ticker: Ticker, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = boto3.client("s3")
    bucket = f"raw-{os.environ['AWS_ACCESS_KEY_ID']}"
    s3.create_bucket(Bucket=bucket)
    monkeypatch.setenv("MEDALLION_RAW", f"s3://{bucket}/raw")
    monkeypatch.setenv("MEDALLION_BRONZE", f"s3://{bucket}/bronze")
    for key in ("raw/Orders/a/march.csv", "raw/Orders/bad.csv"):
        body = ORDERS if key.endswith("march.csv") else "OrderID\no1\n"
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
    s3.put_object(Bucket=bucket, Key="raw/Orders/", Body=b"")
    assert take(ticker, tick(ticker)).success
    assert tick(ticker) == "No file waits."
    ticker.run_until_idle()
    assert len(rows("silver", "orders")) == 2
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="raw/")["Contents"]]
    hashes = {row["state"]: row["hash"][:16] for row in rows("ops", "dropped_files")}
    rejected = f"raw/rejected/Orders/{hashes['rejected']}/bad.csv"
    assert keys == [
        "raw/Orders/",
        rejected,
        f"{rejected}.report.jsonl",
        f"raw/taken/Orders/{hashes['taken']}/a/march.csv",
    ]
