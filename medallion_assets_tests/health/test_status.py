"""The status of tables and marts: never more than is true, also while a table is blocked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from medallion_assets.capture.file_store import FileStore
from medallion_assets.capture.naming import ObjectName
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.health.blocks import Block
from medallion_assets.health.collect import collect_health
from medallion_assets.health.run_events import CheckEvaluation, RunEvents
from medallion_assets.health.status import MartStatus, Status, TableStatus, read_status
from medallion_assets.lake import maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.ledger.status import read_completeness
from medallion_assets.ops.tables import LEDGER
from medallion_assets.ops.upsert import upsert
from medallion_assets.silver.table import OBJECTS, silver_schema
from medallion_assets_tests.fixtures.chain import chain_domain
from medallion_assets_tests.gold.shop import DOMAIN, MARTS, NOW, Shop, customer, order, product

SALES = "daily_sales_by_region"


@pytest.fixture
def shop(lake: Lake) -> Shop:
    made = Shop(lake)
    made.write("customers", customer(1))
    made.write("products", product(1))
    made.write("orders", order(1))
    return made


def ledger_says(lake: Lake, complete_to: datetime) -> None:
    """Make the ledger say that every table is complete up to then."""
    offset = FollowerOffset(complete_to=complete_to).to_json()
    properties = {FollowerOffset.property_name(name): offset for name in DOMAIN.by_name}
    upsert(lake, LEDGER, [], properties=properties)


def status(lake: Lake, bronze: Path, *, marts: Iterable[Mart] = MARTS.values(), at: datetime = NOW) -> Status:
    completeness = read_completeness(lake, list(DOMAIN.by_name))
    return read_status(lake, FileStore(bronze), DOMAIN, list(marts), completeness=completeness, now=at)


def table(found: Status, name: str) -> TableStatus:
    return next(one for one in found.tables if one.table == name)


def mart(found: Status, name: str = SALES) -> MartStatus:
    return next(one for one in found.marts if one.mart == name)


def test_a_mart_is_never_complete_beyond_its_computation_and_never_beyond_what_it_has_read(
    lake: Lake, shop: Shop, tmp_path: Path
) -> None:
    before, later = NOW - timedelta(seconds=10), NOW + timedelta(hours=1)
    ledger_says(lake, before)
    shop.refresh(SALES)
    assert mart(status(lake, tmp_path)).complete_to == before

    ledger_says(lake, later)
    computed = mart(status(lake, tmp_path))
    assert (computed.complete_to, computed.computed_at, computed.behind) == (NOW, NOW, ())

    shop.write("orders", order(2))
    behind = mart(status(lake, tmp_path))
    assert (behind.complete_to, behind.behind) == (before, ("orders",)), "the new rows were made an hour before"
    assert not status(lake, tmp_path).caught_up


def test_a_mart_that_was_never_computed_has_read_no_table(lake: Lake, shop: Shop, tmp_path: Path) -> None:
    ledger_says(lake, NOW)
    found = mart(status(lake, tmp_path))
    assert (found.complete_to, found.computed_at, found.published_at, found.rows) == (None, None, None, 0)
    assert set(found.behind) == set(MARTS[SALES].tables)


def test_a_compaction_of_silver_leaves_no_mart_behind(
    lake: Lake, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2, 5):
        shop.write("orders", order(number))
    shop.refresh(SALES)
    published_at = table(status(lake, tmp_path), "orders").published_at
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 2)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 2)
    assert compact(lake, lake.table("silver", "orders")) is not None
    found = status(lake, tmp_path)
    assert mart(found).behind == ()
    assert table(found, "orders").published_at == published_at


def test_a_mart_contains_what_was_captured_before_the_oldest_object_that_it_has_not_read(
    lake: Lake, shop: Shop, tmp_path: Path
) -> None:
    """The rows of a batch that was blocked for long are published late, but were captured early."""
    shop.refresh(SALES)
    captured_at = datetime(2026, 3, 1, 9, tzinfo=UTC)
    objects = [ObjectName("Orders", captured_at + timedelta(hours=hours), 1, "0" * 16).path for hours in (1, 0)]
    stored = lake.table("silver", "orders")
    rows = [{**order(2), **shop._meta()}]
    staged = stage_merge(
        lake,
        stored,
        pa.Table.from_pylist(rows, schema=silver_schema(DOMAIN.by_name["orders"], DOMAIN)),
        key=["order_id"],
        properties={OBJECTS: json.dumps(objects)},
    )
    publish(lake, stored, staged)
    assert mart(status(lake, tmp_path)).contains_to == captured_at


def test_a_mart_over_marts_contains_and_is_complete_as_far_as_what_it_has_read_of_them(
    lake: Lake, shop: Shop, tmp_path: Path
) -> None:
    marts = {one.name: one for one in load_marts(chain_domain(tmp_path))}
    before, later = NOW - timedelta(seconds=10), NOW + timedelta(hours=1)
    at = datetime.now(UTC) + timedelta(days=1)  # after every commit

    def share() -> MartStatus:
        return mart(status(lake, tmp_path, marts=marts.values(), at=at), "daily_share")

    ledger_says(lake, before)
    for one in marts.values():
        shop.refresh(one)
    assert (share().behind, share().complete_to) == ((), before)
    assert share().contains_to == at, "everything that was captured until now"

    ledger_says(lake, later)
    shop.write("orders", order(2))
    # Its inputs are as they were, and one of them has not read the newest rows of Silver.
    assert (share().behind, share().complete_to) == ((), before)
    assert share().contains_to < at
    shop.refresh(marts[SALES])
    assert share().behind == ("gold.daily_sales_by_region",)
    assert share().complete_to == before
    assert share().contains_to < at
    for one in marts.values():
        shop.refresh(one)
    assert (share().behind, share().complete_to) == ((), NOW)
    assert share().contains_to == at


def test_the_blocking_check_that_fails_is_named_with_the_time_since_when(
    lake: Lake, shop: Shop, tmp_path: Path
) -> None:
    began = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)

    def observe(minutes: int, passed: Mapping[str, bool]) -> datetime:
        """One observation, after one evaluation of each check of orders; `late` is a check that warns."""
        now = began + timedelta(minutes=minutes)
        ended = now - timedelta(seconds=10)
        happened = RunEvents(
            evaluations=[
                (ended, CheckEvaluation("silver", "orders", name, "run", ended, name != "late", one, {}))
                for name, one in passed.items()
            ]
        )
        collect_health(
            lake, FileStore(tmp_path), DOMAIN, list(MARTS.values()), run_events=lambda after, to: happened, now=now
        )
        return now

    observe(0, {"keys": True, "quarantine_rate": True, "late": False})
    assert table(status(lake, tmp_path, at=began), "orders").blocked_by is None, "a warning blocks nothing"
    since = observe(1, {"keys": True, "quarantine_rate": False})
    last = observe(2, {"keys": False, "quarantine_rate": False})
    found = status(lake, tmp_path, at=last)
    assert table(found, "orders").blocked_by == Block("quarantine_rate", since)
    assert str(table(found, "orders").blocked_by) == f"quarantine_rate since {since:%Y-%m-%d %H:%M:%S}"
    assert [one.table for one in found.tables if one.blocked_by] == ["orders"]
    assert not any(one.blocked_by for one in found.marts)
    passed = observe(3, {"keys": True, "quarantine_rate": True})
    assert table(status(lake, tmp_path, at=passed), "orders").blocked_by is None


def test_what_was_published_after_the_check_failed_is_not_blocked(lake: Lake, shop: Shop, tmp_path: Path) -> None:
    """A replay of the quarantine publishes without Dagster, so no check passes in `ops.checks`."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    ended = now - timedelta(seconds=10)
    happened = RunEvents(
        evaluations=[(ended, CheckEvaluation("silver", "orders", "keys", "run", ended, True, False, {}))]
    )
    collect_health(
        lake, FileStore(tmp_path), DOMAIN, list(MARTS.values()), run_events=lambda after, to: happened, now=now
    )
    shop.write("orders", order(2))
    assert table(status(lake, tmp_path, at=datetime.now(UTC)), "orders").blocked_by is None
