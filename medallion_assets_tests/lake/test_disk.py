"""A lake of files on a full or forbidden disk: one clear error, the published rows as they were, a clean retry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from pyiceberg.table import Table

from medallion_assets.errors import LakeUnavailable, SettingsError
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.maintenance import expire, remove_orphans
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets_tests.fixtures.disk import Disk, disk
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows

__all__ = ["disk"]


@pytest.fixture
def lake(disk: Disk) -> Iterator[Lake]:
    settings = LakeSettings(warehouse=str(disk.root / "lake"), catalog="sqlite", region="us-east-1")
    with Lake.open(settings) as opened:
        yield opened


def large(number: int) -> list[dict[str, object]]:
    return [order(f"o{n:05}", number) for n in range(5_000)]


def staged_before(lake: Lake, table: Table) -> Callable[[], None]:
    """Only the publishing is left to do."""
    staged = stage_merge(lake, table, rows(ORDERS, *large(2)), key=["id"])
    return lambda: publish(lake, table, staged)


def all_of_it(lake: Lake, table: Table) -> Callable[[], None]:
    return lambda: staged_before(lake, table)()


@pytest.mark.parametrize("prepared", [all_of_it, staged_before])
def test_a_full_disk_is_told_and_what_was_published_stays_until_the_next_try(
    lake: Lake, disk: Disk, prepared: Callable[[Lake, Table], Callable[[], None]]
) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("o00000", 1)))
    act = prepared(lake, table)
    with (
        disk.full(),
        pytest.raises(LakeUnavailable, match=r"The lake's disk is full \(.*\)\. Free space and try again"),
    ):
        act()
    table.refresh()
    assert read(lake, table, ["id"]) == [("o00000",)]
    act()
    assert len(read(lake, table, ["id"])) == 5_000
    expire(lake, table, older_than=dt.timedelta(0))
    remove_orphans(lake, table, older_than=dt.timedelta(0))
    assert len(read(lake, table, ["id"])) == 5_000


def test_a_forbidden_warehouse_is_somebodys_to_allow(lake: Lake, disk: Disk) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("o00000", 1)))
    acts: list[Callable[[], object]] = [
        all_of_it(lake, table),
        lambda: lake.table("silver", "orders"),
        lambda: Lake.open(lake.settings).ensure("silver", "others", ORDERS, key=["id"]),
    ]
    for act in acts:
        with disk.forbidden(), pytest.raises(SettingsError, match=r"warehouse|Permission denied"):
            act()
    table.refresh()
    assert read(lake, table, ["id"]) == [("o00000",)]
    all_of_it(lake, table)()
    assert len(read(lake, table, ["id"])) == 5_000
