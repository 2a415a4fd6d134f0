"""The engines as fixtures: started once, on free ports of 127.0.0.1, stopped with the session however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets.maintenance.daily_snapshots import keep_daily_snapshots
from medallion_assets_tests.fixtures.everything import Shop, play
from medallion_assets_tests.real_engines.spark import Spark, run_spark
from medallion_assets_tests.real_engines.trino import Trino, run_trino
from medallion_assets_tests.silver.changes import bench_on_files, contract, record


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks an engine as `engines`."""
    for item in items:
        if isinstance(item, pytest.Function) and {"trino", "spark"} & set(item.fixturenames):
            item.add_marker("engines")


@pytest.fixture(scope="session")
def trino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trino]:
    """One Trino server for the whole session."""
    with run_trino(tmp_path_factory.mktemp("trino")) as running:
        yield running


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """One Spark session for the whole session of the tests."""
    with run_spark(tmp_path_factory.mktemp("spark")) as running:
        yield running


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A lake on files after the whole history. Tests only read it."""
    folder = tmp_path_factory.mktemp("played")
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)) as opened:
        shop = Shop.on(opened, folder)
        play(shop)
        yield shop


@pytest.fixture(scope="session")
def only_deleted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with one table, in which a key was deleted and none was ever written."""
    with bench_on_files(tmp_path_factory.mktemp("deleted"), contract("Things", {"Id": "string"}, key="Id")) as bench:
        bench.put(record("Things", 1, {"Id": {"S": "a"}}, None))
        (result,) = bench.merge_pending("things")
        assert result.published and result.deleted == 1
        yield bench.lake


@pytest.fixture(scope="session")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with one table, in which a key had the value 1 at the end of 2026-03-01 and has the value 2 since."""
    things = contract("Things", {"Id": "string", "Value": "bigint"}, key="Id")
    first = date(2026, 3, 1)
    with bench_on_files(tmp_path_factory.mktemp("days"), things) as bench:
        for number, day in enumerate((first, first + timedelta(days=1)), start=1):
            bench.put(record("Things", number, {"Id": {"S": "a"}}, {"Value": {"N": str(number)}}), day=day)
            bench.merge_pending("things", day=day)
        now = datetime(2026, 3, 2, 12, tzinfo=UTC)
        assert keep_daily_snapshots(bench.lake, bench.store, things, days=7, now=now) == [first]
        yield bench.lake
