"""The sensor, tick by tick, on a real instance and store; its runs are executed in between, in this process."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from typer.testing import CliRunner

from medallion_assets.capture.file_store import FileStore
from medallion_assets.capture.s3_store import S3Store
from medallion_assets.cli.main import app
from medallion_assets.contracts.loader import domain_folder
from medallion_assets.contracts.model import Contract
from medallion_assets.defs import sensors
from medallion_assets.errors import LakeUnavailable
from medallion_assets.lake import maintenance as lake_maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.emulator import Emulator
from medallion_assets.scheduling.pending import list_pending, read_published
from medallion_assets.settings import Settings
from medallion_assets_tests.defs.runs import checks, failure, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, rows, snapshot
from medallion_assets_tests.defs.ticker import Ticker, keys, launched
from medallion_assets_tests.scheduling.test_arrivals import notified_queue

pytestmark = pytest.mark.usefixtures("lake_on_files")


@pytest.fixture
def ticker(shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticker]:
    monkeypatch.setattr(sensors, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(sensors, "next_look", lambda looked_at, busy_at, now, freshness: now)
    monkeypatch.setattr(sensors, "ASK_AGAIN", timedelta(0))
    yield Ticker(shipped, instance)


def test_without_pending_objects_a_tick_skips_and_says_so(ticker: Ticker) -> None:
    assert ticker.tick() is None
    assert ticker.skipped == "Nothing new."


def test_pending_objects_are_requested_once_and_reach_gold(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    request = ticker.tick()
    assert request is not None
    assert request.partition_key == today().isoformat()
    assert {step["config"]["mode"] for step in request.run_config["ops"].values()} == {"incremental"}
    assert len(keys(request)) == 9
    assert ticker.run(request).success
    assert ticker.tick() is None
    assert rows("gold", "daily_sales_by_region")[0]["order_count"] == 1


def test_a_run_has_only_tables_with_pending_objects_and_what_is_downstream(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    capture(product("p2"))
    assert keys(ticker.tick()) == {"bronze/products", "silver/products", "gold/product_performance"}


def test_while_its_run_is_in_progress_the_sensor_requests_nothing(ticker: Ticker) -> None:
    capture(customer("c1"))
    request = ticker.tick()
    assert request is not None
    job = ticker.definitions.resolve_job_def("refresh")
    run = ticker.instance.create_run_for_job(
        job_def=job,
        tags={**launched(request), "dagster/partition": today().isoformat()},
        status=dg.DagsterRunStatus.STARTED,
    )
    capture(customer("c2"))
    assert ticker.tick() is None
    assert run.run_id in ticker.skipped


def test_after_a_crash_before_the_launch_the_next_tick_requests_the_same_run(ticker: Ticker) -> None:
    capture(customer("c1"))
    first = ticker.tick()
    assert first is not None
    ticker.cursor = None
    again = ticker.tick()
    assert again is not None
    assert again.run_key == first.run_key
    unlaunched = ticker.tick()
    assert unlaunched is not None
    assert unlaunched.run_key == first.run_key


def test_an_object_that_appears_late_behind_newer_ones_is_not_missed(ticker: Ticker) -> None:
    now = datetime.now(UTC)
    if now.hour == 0:
        now += timedelta(hours=1)
    capture(customer("c1"), at=now)
    ticker.run_until_idle()
    capture(customer("c2"), at=now - timedelta(minutes=14))
    ticker.run_until_idle()
    assert [row["customer_id"] for row in rows("silver", "customers")] == ["c1", "c2"]


def test_objects_of_two_days_take_two_runs_the_older_day_first(ticker: Ticker) -> None:
    capture(customer("new", region="US"))
    capture(customer("old"), at=datetime.now(UTC) - timedelta(days=1))
    yesterday = (today() - timedelta(days=1)).isoformat()
    for expected in (yesterday, today().isoformat()):
        request = ticker.tick()
        assert request is not None
        assert request.partition_key == expected
        assert ticker.run(request).success
    assert ticker.tick() is None


def test_an_object_from_a_clock_that_is_ahead_waits_for_its_day(ticker: Ticker) -> None:
    capture(customer("c1"), at=datetime.now(UTC) + timedelta(days=1))
    assert ticker.tick() is None


def test_a_broken_table_is_tried_again_alone_and_delays_no_other_one(
    ticker: Ticker, lake_on_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [datetime.now(UTC)]
    monkeypatch.setattr(sensors, "utc_now", lambda: clock[0])
    capture(product("p1"))
    (path,) = (lake_on_files / "bronze" / "Products").rglob("*.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:100])
    request = ticker.tick()
    assert request is not None
    assert not ticker.run(request).success

    assert ticker.tick() is None
    assert "silver/products failed 1 times" in ticker.skipped
    capture(customer("c1"), order("o1"))
    others = ticker.tick()
    assert others is not None
    assert "bronze/products" not in keys(others)
    assert "gold/product_performance" not in keys(others)
    assert ticker.run(others).success

    clock[0] += timedelta(seconds=6)
    path.write_bytes(data)
    alone = ticker.tick()
    assert keys(alone) == {"bronze/products", "silver/products", "gold/product_performance"}
    assert alone is not None
    assert ticker.run(alone).success
    assert ticker.tick() is None


def test_marts_without_partitions_run_without_one(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    assert page_run(ticker.definitions, ticker.instance, "silver/products", days=[today()]).success
    request = ticker.tick()
    assert keys(request) == {"gold/product_performance"}
    assert request is not None and request.partition_key is None
    assert ticker.run(request).success
    assert ticker.tick() is None


def test_a_table_merged_by_hand_is_followed_by_its_marts(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    capture(order("o2"))
    assert page_run(ticker.definitions, ticker.instance, "silver/orders", days=[today()]).success
    request = ticker.tick()
    assert {key for key in keys(request) if key.startswith("gold/")} == {
        "gold/daily_sales_by_region",
        "gold/key_metrics",
        "gold/product_performance",
    }
    assert request is not None
    assert ticker.run(request).success
    assert ticker.tick() is None
    assert rows("gold", "daily_sales_by_region")[0]["order_count"] == 2


@pytest.fixture
def corrected(lake_on_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sees the shop with a contract that takes negative amounts; Dagster still has the old one."""
    shutil.copytree(domain_folder("ecommerce"), lake_on_files / "corrected")
    file = lake_on_files / "corrected" / "tables" / "orders.yaml"
    file.write_text(file.read_text().replace("{min: 0}", "{min: -100}"))
    monkeypatch.setenv("MEDALLION_DOMAIN", str(lake_on_files / "corrected"))


@pytest.mark.slow
@pytest.mark.usefixtures("corrected")
def test_a_replay_by_another_process_is_followed_by_the_table_and_its_marts(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1", amount="10.00"), order("o2", amount="-4.00"))
    request = ticker.tick()
    assert request is not None
    first = ticker.run(request)
    assert first.success
    quarantine = checks(ticker.instance, first, "silver/orders")["quarantine"]
    assert (quarantine.passed, quarantine.severity, quarantine.metadata["open"].value) == (
        False,
        dg.AssetCheckSeverity.WARN,
        1,
    )
    assert ticker.tick() is None

    for amount, total in (("-4.00", Decimal("6.00")), ("-3.00", Decimal("3.00"))):
        if amount == "-3.00":
            capture(order("o3", amount=amount))
            ticker.run_until_idle()
        found = CliRunner().invoke(app, ["quarantine", "replay", "orders"])
        assert found.exit_code == 0, found.output
        request = ticker.tick()
        assert keys(request) == {
            "silver/orders",
            "gold/daily_sales_by_region",
            "gold/key_metrics",
            "gold/product_performance",
        }
        assert all(key in found.output for key in keys(request) - {"silver/orders"})
        assert request is not None
        run = ticker.run(request)
        assert run.success
        quarantine = checks(ticker.instance, run, "silver/orders")["quarantine"]
        assert (quarantine.passed, quarantine.metadata["open"].value) == (True, 0)
        assert rows("gold", "daily_sales_by_region")[0]["total_revenue"] == total
        assert ticker.tick() is None


@pytest.mark.slow
@pytest.mark.usefixtures("corrected")
def test_a_replay_before_the_sensor_saw_the_end_of_its_own_run_is_followed_too(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1", amount="10.00"), order("o2", amount="-4.00"))
    ticker.run_until_idle()
    capture(order("o3", amount="1.00"))
    request = ticker.tick()
    assert request is not None
    assert ticker.run(request).success
    assert CliRunner().invoke(app, ["quarantine", "replay", "orders"]).exit_code == 0
    ticker.run_until_idle()
    assert rows("gold", "daily_sales_by_region")[0]["total_revenue"] == Decimal("7.00")


def test_a_compaction_alone_requests_nothing(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(customer("c1"))
    ticker.run_until_idle()
    capture(customer("c1", region="US"))
    ticker.run_until_idle()
    before = snapshot("silver", "customers")
    monkeypatch.setattr(lake_maintenance, "COMMITS_BETWEEN", 1)
    with Lake.open(Settings.load().lake()) as lake:
        assert lake_maintenance.compact(lake, lake.table("silver", "customers")) is not None
    assert snapshot("silver", "customers") != before
    assert ticker.tick() is None


def test_after_a_lost_cursor_nothing_that_is_merged_is_requested(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    before = rows("silver", "orders")
    ticker.cursor = None
    ticker.run_until_idle()
    assert rows("silver", "orders") == before


def test_an_outage_is_a_skipped_tick_that_says_why_and_the_next_one_goes_on(
    ticker: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(customer("c1"))
    with monkeypatch.context() as outage:

        def down(*_: object, **__: object) -> Iterator[str]:
            raise LakeUnavailable("S3 did not answer for s3://lake/bronze: timed out. Try again.")

        outage.setattr(FileStore, "list", down)
        assert ticker.tick() is None
        assert ticker.skipped == "S3 did not answer for s3://lake/bronze: timed out. Try again."
    assert "silver/customers" in keys(ticker.tick())


def test_a_table_whose_metadata_is_lost_waits_with_its_marts_and_the_tick_says_so(ticker: Ticker) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    with Lake.open(Settings.load().lake()) as lake:
        file = Path(lake.table("silver", "orders").metadata_location.removeprefix("file://"))
    content = file.read_bytes()
    file.unlink()
    capture(product("p2"), order("o2"))
    request = ticker.tick()
    assert keys(request) == {"bronze/products", "silver/products"}
    assert request is not None
    assert ticker.run(request).success
    assert ticker.tick() is None
    assert re.match(
        r"Nothing new; silver\.orders lacks a file, or it cannot be read: the metadata file .*`medallion rebuild",
        ticker.skipped,
    )
    file.write_bytes(content)
    ticker.run_until_idle()
    assert [row["order_id"] for row in rows("silver", "orders")] == ["o1", "o2"]
    assert len(rows("gold", "product_performance")) == 2


def test_a_file_that_is_lost_fails_a_step_once_with_a_sentence(ticker: Ticker) -> None:
    capture(customer("c1"))
    ticker.run_until_idle()
    with Lake.open(Settings.load().lake()) as lake:
        folder = Path(lake.table("silver", "customers").location().removeprefix("file://"))
    for file in folder.glob("data/*.parquet"):
        file.unlink()
    capture(customer("c1", region="US"))
    request = ticker.tick()
    assert request is not None
    run = ticker.run(request)
    assert failure(run, "silver/customers").startswith(
        "silver.customers lacks a file, or it cannot be read: the data file"
    )
    assert not [event for event in run.all_events if event.is_step_up_for_retry]


class Clock:
    """The time of the sensor, which passes only when it sleeps or when a test lets it pass; and its looks at Bronze."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime.now(UTC)
        self.looks: list[datetime] = []
        monkeypatch.setattr(sensors, "list_pending", self._looked)
        monkeypatch.setattr(sensors, "utc_now", lambda: self.now)
        monkeypatch.setattr("medallion_assets.defs.sensors.time.sleep", self.let_pass)
        monkeypatch.setattr("medallion_assets.defs.sensors.time.monotonic", lambda: self.now.timestamp())

    def let_pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def seconds_until(self, ticker: Ticker) -> tuple[float, dg.RunRequest]:
        """Tick every second until a run is requested; return how long that took."""
        start = self.now
        while (request := ticker.tick()) is None:
            self.let_pass(1.0)
        return (self.now - start).total_seconds(), request

    def _looked(self, *arguments: Any) -> Any:
        self.looks.append(self.now)
        return list_pending(*arguments)


def test_looks_become_rare_while_nothing_arrives_and_quick_with_news(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ticker = Clock(monkeypatch), Ticker(shipped, instance)
    start = clock.now
    while clock.now < start + timedelta(minutes=10):
        assert ticker.tick() is None
        clock.let_pass(1.0)
    in_minute = Counter((at - start) // timedelta(minutes=1) for at in clock.looks)
    assert in_minute[0] >= 15
    assert max(in_minute[minute] for minute in range(6, 10)) <= 2
    capture(customer("c1"))
    seconds, request = clock.seconds_until(ticker)
    assert seconds <= 31
    ticker.run(request)
    capture(customer("c2"))
    seconds, _ = clock.seconds_until(ticker)
    assert seconds <= 2


def test_the_catalog_is_asked_now_and_then_while_nothing_is_pending_and_for_every_run(
    shipped: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ticker = Clock(monkeypatch), Ticker(shipped, instance)
    asked: list[datetime] = []

    def counted(lake: Lake, contracts: Collection[Contract]) -> Any:
        asked.append(clock.now)
        return read_published(lake, contracts)

    monkeypatch.setattr(sensors, "read_published", counted)
    capture(customer("c1"))
    _, request = clock.seconds_until(ticker)
    assert ticker.run(request).success
    start = clock.now
    while clock.now < start + timedelta(minutes=20):
        assert ticker.tick() is None
        clock.let_pass(1.0)
    times = sorted({at for at in asked if at > start + timedelta(minutes=1)})
    assert 3 <= len(times) <= 4

    before = len(asked)
    capture(customer("c2"))
    _, request = clock.seconds_until(ticker)
    assert len(asked) == before + 1
    assert ticker.run(request).success
    ticker.tick()

    with Lake.open(Settings.load().lake()) as lake:
        assert lake.drop("silver", "customers")
    seconds, request = clock.seconds_until(ticker)
    assert seconds <= 300 + 31
    assert ticker.run(request).success
    assert [row["customer_id"] for row in rows("silver", "customers")] == ["c1", "c2"]


@pytest.mark.parametrize(("freshness", "gathered"), [("minutes", 60), ("hourly", 3600)])
def test_changes_are_gathered_for_as_long_as_the_setting_says(
    shipped: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    freshness: str,
    gathered: int,
) -> None:
    monkeypatch.setenv("MEDALLION_FRESHNESS", freshness)
    clock, ticker = Clock(monkeypatch), Ticker(shipped, instance)
    capture(customer("c1"))
    seconds, request = clock.seconds_until(ticker)
    assert seconds == 0
    ticker.run(request)
    capture(customer("c2"))
    assert ticker.tick() is None
    early = gathered - 30.0
    clock.let_pass(early)
    seconds, request = clock.seconds_until(ticker)
    assert gathered - 10 <= early + seconds <= gathered + 5
    assert len(clock.looks) <= 4


def test_a_tick_lists_each_table_once(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    listed: list[tuple[str, str | None]] = []
    real = FileStore.list

    def counted(store: FileStore, table: str, *, after: str | None = None, day: None = None) -> Iterator[str]:
        listed.append((table, after))
        return real(store, table, after=after, day=day)

    monkeypatch.setattr(FileStore, "list", counted)
    ticker.tick()
    assert sorted(table for table, _ in listed) == ["Customers", "Orders", "Products"]
    assert all(after is not None for _, after in listed)


class Queued:
    """The sensor with Bronze on S3 and a queue that the bucket notifies; what the sensor lists."""

    def __init__(self, ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ticker = ticker
        self.listed: list[str] = []
        real = S3Store.list

        def counted(store: S3Store, table: str, **options: Any) -> Iterator[str]:
            self.listed.append(table)
            return real(store, table, **options)

        monkeypatch.setattr(S3Store, "list", counted)

    def tick(self) -> tuple[dg.RunRequest | None, list[str]]:
        self.listed.clear()
        return self.ticker.tick(), sorted(self.listed)


@pytest.fixture
def queued(ticker: Ticker, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Queued:
    bucket = f"bronze-{os.environ['AWS_ACCESS_KEY_ID']}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    boto3.client("s3").create_bucket(Bucket=bucket)
    monkeypatch.setenv("MEDALLION_BRONZE", f"s3://{bucket}/bronze")
    monkeypatch.setenv("MEDALLION_ARRIVALS_QUEUE", notified_queue(bucket))
    capture(customer("c1"), product("p1"), order("o1"))
    ticker.run_until_idle()
    # From here on, a full listing is due after five minutes, and a look before it is the queue's.
    monkeypatch.setattr(sensors, "ASK_AGAIN", timedelta(minutes=5))
    monkeypatch.setattr(
        sensors, "next_look", lambda looked_at, busy_at, now, freshness: looked_at + timedelta(minutes=5)
    )
    queued = Queued(ticker, monkeypatch)
    queued.tick()
    return queued


def test_with_a_queue_the_sensor_lists_only_what_the_bucket_names(queued: Queued) -> None:
    assert queued.tick() == (None, [])
    assert queued.ticker.skipped == "Nothing new."
    capture(product("p2"))
    request, listed = queued.tick()
    assert keys(request) == {"bronze/products", "silver/products", "gold/product_performance"}
    assert listed == ["Customers", "Orders", "Products", "Products"]
    assert request is not None
    assert queued.ticker.run(request).success
    assert queued.tick() == (None, ["Customers", "Orders", "Products"])
    assert queued.tick() == (None, [])


def test_a_lost_notification_costs_latency_only(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(product("p2"))
    boto3.client("sqs").purge_queue(QueueUrl=os.environ["MEDALLION_ARRIVALS_QUEUE"])
    assert queued.tick() == (None, [])
    later = datetime.now(UTC) + timedelta(minutes=6)
    monkeypatch.setattr(sensors, "utc_now", lambda: later)
    request, _ = queued.tick()
    assert "silver/products" in keys(request)


def test_without_its_queue_the_sensor_lists(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=os.environ["MEDALLION_ARRIVALS_QUEUE"])
    capture(product("p2"))
    assert queued.tick() == (None, [])
    later = datetime.now(UTC) + timedelta(minutes=6)
    monkeypatch.setattr(sensors, "utc_now", lambda: later)
    request, _ = queued.tick()
    assert "silver/products" in keys(request)
