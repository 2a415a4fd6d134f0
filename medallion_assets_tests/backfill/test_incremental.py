"""Incremental exports: which gaps they close, and which they do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.backfill.backfill import Backfill, backfill, plan_from_export
from medallion_assets.backfill.export_files import open_export_files
from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.errors import SettingsError
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.ops.tables import LEDGER
from medallion_assets.ops.upsert import upsert
from medallion_assets_tests.backfill.incremental import Change, change, write_incremental_export
from medallion_assets_tests.repair.test_repair import ORDERS, Shop
from medallion_assets_tests.silver.changes import NOON, bench_on_files

SINCE = NOON - timedelta(minutes=5)
LOST = NOON + timedelta(seconds=30)
UNTIL = NOON + timedelta(minutes=15)


class Loss:
    """A shop that was complete until NOON, lost changes until LOST, and goes on."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.about = shop.source.describe()
        for id_ in ("a", "b", "c", "d", "e"):
            shop.put(id_, "1.00")
        shop.merge()
        self.changes: dict[str, Change] = {}
        self.lose("a", "2.00")  # changed
        self.lose("b", None)  # deleted
        self.lose("f", "2.00")  # inserted
        shop.put("g", "1.00")  # inserted in the window, and deleted: an export has no line of it
        self.shop.delete("g", heard=False)
        self.lose("c", "2.00")
        shop.merge()
        write_gap_marker(shop.bench.store, GapMarker(table="Orders", detected_at=LOST, reason="the stream was trimmed"))
        later = UNTIL + timedelta(hours=1)
        write_heartbeat(
            shop.bench.store,
            PollerHeartbeat(
                table="Orders",
                stream_arn=str(self.about.stream_arn),
                started_at=LOST + timedelta(seconds=5),
                written_at=later,
                read_up_to=later,
                shards=(),
            ),
        )
        shop.changed_at = UNTIL + timedelta(seconds=1)
        shop.put("c", "3.00")  # after the window: the stream's
        shop.clock.time = UNTIL + timedelta(minutes=1)

    def lose(self, id_: str, amount: str | None) -> None:
        key: dict[str, Any] = {"Id": {"S": id_}}
        if amount is None:
            self.shop.delete(id_, heard=False)
            self.changes[id_] = change(LOST - timedelta(seconds=9), key, old={**key, "Amount": {"N": "1.00"}})
        else:
            self.shop.put(id_, amount, heard=False)
            new = {**key, "Amount": {"N": amount}, "Tags": {"SS": ["b", "a"]}}
            self.changes[id_] = change(LOST - timedelta(seconds=9), key, new=new)

    def export(self, files: Sequence[Sequence[Change]], *, since: datetime = SINCE, until: datetime = UNTIL) -> Path:
        return write_incremental_export(self.folder, files, table_arn=self.about.arn, since=since, until=until)

    def run(self, export: Path) -> Backfill:
        bench, catch_up, files = self.shop.bench, self.shop.clock.catch_up(), open_export_files(str(export))
        plan = plan_from_export(
            bench.lake,
            bench.store,
            self.shop.contract,
            self.about,
            files=files,
            now=catch_up.now(),
            table=self.shop.source,
        )
        return backfill(bench.lake, bench.store, self.shop.contract, plan, catch_up=catch_up, merge_seconds=20)


@pytest.fixture
def loss(tmp_path: Path) -> Iterator[Loss]:
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        yield Loss(Shop(bench), tmp_path / "bucket")


def complete_to(loss: Loss, time: datetime) -> None:
    """Let the ledger have recorded the table as complete up to this time."""
    recorded = {FollowerOffset.property_name("orders"): FollowerOffset(complete_to=time).to_json()}
    upsert(loss.shop.bench.lake, LEDGER, [], properties=recorded)


def test_it_closes_a_gap_without_a_full_export(loss: Loss) -> None:
    complete_to(loss, NOON)
    shop = loss.shop
    lines = list(loss.changes.values())
    done = loss.run(loss.export([lines[:2], [], lines[2:]]))
    assert done.merged and done.gaps == () and (done.items, done.removed) == (4, 1)
    assert shop.rows() == {"a": "2.00", "c": "3.00", "d": "1.00", "e": "1.00", "f": "2.00"}
    assert shop.wrong() == (0, 0, 0)
    shop.put("a", "4.00")
    shop.merge()
    shop.bench.remerge_day("orders")
    assert shop.rows()["a"] == "4.00" and shop.wrong() == (0, 0, 0)


@pytest.mark.parametrize(
    ("complete", "since", "said"),
    [
        (NOON, NOON - timedelta(seconds=4), "does not close that gap"),
        (None, SINCE, "missing since an unknown time"),
    ],
)
def test_one_that_does_not_cover_the_loss_is_refused(
    loss: Loss, complete: datetime | None, since: datetime, said: str
) -> None:
    if complete is not None:
        complete_to(loss, complete)
    with pytest.raises(SettingsError, match=said):
        loss.run(loss.export([[]], since=since))


def test_one_that_ends_before_the_loss_was_found_is_refused(loss: Loss) -> None:
    write_heartbeat_of_before(loss)
    with pytest.raises(SettingsError, match="Make a newer one"):
        loss.run(loss.export([[]], until=LOST + timedelta(seconds=4)))


def write_heartbeat_of_before(loss: Loss) -> None:
    """Let the capture have begun before the window."""
    later = UNTIL + timedelta(hours=1)
    write_heartbeat(
        loss.shop.bench.store,
        PollerHeartbeat(
            table="Orders",
            stream_arn=str(loss.about.stream_arn),
            started_at=SINCE,
            written_at=later,
            read_up_to=later,
            shards=(),
        ),
    )


def test_a_line_that_is_no_change_is_named(loss: Loss) -> None:
    complete_to(loss, NOON)
    with pytest.raises(SettingsError, match=r"line 2 is not an item of the table; expected .*Metadata"):
        loss.run(loss.export([[loss.changes["a"], {"Item": {"Id": {"S": "x"}}}]]))
