"""What a repair brings right, what it leaves as a record, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.capture.kinesis import KinesisTables, receive
from medallion_assets.capture.store import open_store
from medallion_assets.contracts.item_condition import parse_condition
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.update import update_ledger
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets.reconciliation.reconcile import Reconciliation
from medallion_assets.reconciliation.scan import DynamoTable, SourceTable
from medallion_assets.repair.amendment import amended_sequence
from medallion_assets.repair.newest import with_newest_changes
from medallion_assets.repair.repair import Repair, repair
from medallion_assets.silver.table import DELETED
from medallion_assets_tests.capture.kinesis_events import of_kinesis, sent_change
from medallion_assets_tests.ledger.captured import oldest_loss
from medallion_assets_tests.repair.source import Clock, Item, Items
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract, domain, record

ORDERS = contract(
    "Orders",
    {"Id": "string", "Amount": "decimal(12,2)", "Tags": "set<string>"},
    key="Id",
    drop=["Phone"],
    rules={"quarantine_share": {"max": 1}},
)


class Shop:
    """Orders at the source, and a pipeline that receives the changes that a test captures."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        (self.contract,) = bench.domain.tables
        self.source = Items(self.contract)
        self.clock = Clock(waited=self.merge)
        self._runs = 0
        self._sequence = self._captured = 0
        self.changed_at = NOON

    def put(self, id_: str, amount: str, *, heard: bool = True, **more: dict[str, Any]) -> None:
        item: Item = {"Id": {"S": id_}, "Amount": {"N": amount}, "Tags": {"SS": ["b", "a"]}, **more}
        self.source.put(item)
        self._hear(id_, item, heard=heard)

    def delete(self, id_: str, *, heard: bool = True) -> None:
        self.source.delete({"Id": {"S": id_}})
        self._hear(id_, None, heard=heard)

    def _hear(self, id_: str, item: Item | None, *, heard: bool) -> None:
        self._sequence += 10
        if heard:
            change = record("Orders", self._sequence, {"Id": {"S": id_}}, item)
            change["dynamodb"]["ApproximateCreationDateTime"] = self.changed_at.timestamp()
            self.bench.put(change)
            self._captured += 1
            self.clock.time = max(self.clock.time, NOON + timedelta(seconds=self._captured))

    def merge(self) -> None:
        assert all(result.published for result in self.bench.merge_pending("orders"))

    def repair(
        self, *, source: SourceTable | None = None, limit: float = 20, capture_delay: float = 0, **more: Any
    ) -> Repair:
        self._runs += 1
        return repair(
            self.bench.lake,
            self.bench.domain,
            self.contract,
            source=source or self.source,
            store=self.bench.store,
            reason="a test",
            run_id=f"repair{self._runs}",
            catch_up=self.clock.catch_up(limit=limit, capture_delay=capture_delay),
            merge_seconds=limit,
            **more,
        )

    def rows(self) -> dict[str, str]:
        return {row["id"]: str(row["amount"]) for row in self.bench.rows("orders")}

    def sequences(self) -> dict[str, str]:
        return {row["id"]: row["_sequence_number"] for row in self.bench.rows("orders")}

    def repairs(self) -> list[dict[str, Any]]:
        return sorted(self.bench.rows("repairs", namespace="ops"), key=lambda row: str(row["keys"]))

    def wrong(self) -> tuple[int, int, int]:
        found = self.repair(dry_run=True).comparison
        return found.missing, found.extra, found.different


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with bench_on_files(tmp_path, ORDERS) as bench:
        yield Shop(bench)


def test_a_soft_deleted_item_has_no_row_and_is_repaired_as_what_it_is(tmp_path: Path) -> None:
    gone: dict[str, Any] = {"Gone": {"BOOL": True}}
    softly = ORDERS.model_copy(update={"deleted_when": parse_condition("Gone = true")})
    with bench_on_files(tmp_path, softly) as bench:
        shop = Shop(bench)
        for id_ in "abc":
            shop.put(id_, "1.00")
        shop.put("c", "1.00", **gone)
        shop.merge()
        assert shop.wrong() == (0, 0, 0)
        shop.put("a", "1.00", heard=False, **gone)
        shop.put("c", "2.00", heard=False)
        assert shop.wrong() == (1, 1, 0)
        assert shop.repair().complete and shop.wrong() == (0, 0, 0)
        assert shop.rows() == {"b": "1.00", "c": "2.00"}
        assert [(row["id"], row["_deleted_by"]) for row in bench.rows("orders", namespace=DELETED)] == [
            ("a", "soft_delete")
        ]
        shop.put("a", "3.00")
        shop.merge()
        assert shop.rows() == {"a": "3.00", "b": "1.00", "c": "2.00"}


def test_a_row_that_is_kept_after_its_expiry_is_no_difference(tmp_path: Path) -> None:
    with bench_on_files(tmp_path, ORDERS.model_copy(update={"on_expiry": "keep"})) as bench:
        shop = Shop(bench)
        for id_ in "abcd":
            shop.put(id_, "1.00")
        shop.merge()
        for number, id_ in ((101, "a"), (102, "b")):
            shop.delete(id_, heard=False)
            expiry = record("Orders", number, {"Id": {"S": id_}}, None)
            expiry["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
            expiry["dynamodb"]["OldImage"] = {"Id": {"S": id_}, "Amount": {"N": "1"}, "Tags": {"SS": ["a", "b"]}}
            bench.put(expiry)
        shop.merge()
        assert shop.wrong() == (0, 0, 0) and set(shop.rows()) == set("abcd")
        shop.delete("c", heard=False)
        shop.put("b", "2.00", heard=False)
        assert shop.wrong() == (1, 1, 0), "a key that was written again, and one that a user deleted"
        assert shop.repair().complete and shop.wrong() == (0, 0, 0)
        assert shop.rows() == {"a": "1.00", "b": "2.00", "d": "1.00"}
        assert {row["id"] for row in bench.rows("orders") if row["_expired_at"] is not None} == {"a"}


def test_every_kind_of_difference_is_brought_right_and_recorded(lake: Lake, aws: Emulator, tmp_path: Path) -> None:
    client = boto3.client("dynamodb")
    shop = Shop(Bench(lake, open_store(str(tmp_path / "bronze")), domain(ORDERS)))
    create_tables(client, shop.bench.domain)
    for id_ in "abcd":
        shop.put(id_, "1.00")
    shop.merge()
    shop.put("a", "2.00", heard=False, More={"B": "AP8="}, Phone={"S": "555"})
    shop.put("e", "5.00", heard=False)
    shop.delete("b", heard=False)
    for item in shop.source.items.values():
        more = {"More": {"B": b"\x00\xff"}} if "More" in item else {}
        client.put_item(TableName="Orders", Item={**item, **more})
    table = DynamoTable(client, "Orders")
    done = shop.repair(source=table)
    found = done.comparison
    assert (found.missing, found.extra, found.different, found.equal) == (1, 1, 1, 2)
    assert done.complete and len(done.objects) == 1
    assert shop.rows() == {"a": "2.00", "c": "1.00", "d": "1.00", "e": "5.00"}
    changed, gone, new = shop.repairs()
    assert (changed["kind"], gone["kind"], new["kind"]) == ("different", "extra", "missing")
    assert changed["column_names"] == ["amount", "_extra"]
    assert json.loads(changed["before"])["amount"] == "1.00" and json.loads(changed["after"])["Amount"] == {"N": "2"}
    assert "555" not in changed["after"]
    assert json.loads(gone["before"])["amount"] == "1.00" and gone["after"] is None and new["before"] is None
    assert {row["reason"] for row in (changed, gone, new)} == {"a test"}
    assert changed["amended_sequence"] == "10".zfill(40) and new["amended_sequence"] is None
    merged = [*shop.bench.rows("orders"), *shop.bench.rows("orders", namespace=DELETED)]
    assert {(row["event_id"], row["sequence_number"]) for row in (changed, gone, new)} <= {
        (row["_event_id"], row["_sequence_number"]) for row in merged
    }
    assert [row["_deleted_by"] for row in merged if "_deleted_by" in row] == ["repair"]
    again = shop.repair(source=table)
    assert again.comparison.agrees and again.objects == () and again.complete


def test_a_key_that_was_deleted_is_missing_although_an_older_change_of_it_is_in_quarantine(shop: Shop) -> None:
    """Silver never had a row, only a deleted key."""
    shop.put("a", "not a number")
    shop.delete("a")
    shop.merge()
    assert (shop.rows(), len(shop.bench.rows("orders", namespace=DELETED))) == ({}, 1)
    assert shop.wrong() == (0, 0, 0)
    shop.put("a", "2.00", heard=False)
    assert shop.wrong() == (1, 0, 0)
    assert shop.repair().complete and shop.rows() == {"a": "2.00"}


def test_a_repair_of_a_table_that_comes_by_kinesis_stands_between_its_changes(shop: Shop) -> None:
    """Its amendments are of the stream that its changes are of, also where DynamoDB Streams is on, too."""
    tables = KinesisTables({"Orders": NOON})

    def hear(microseconds: int, id_: str, amount: str) -> None:
        sent = sent_change(microseconds, {"Id": {"S": id_}}, {"Amount": {"N": amount}, "Tags": {"SS": ["b", "a"]}})
        received = receive(of_kinesis(sent), tables)
        assert received is not None and received.refused is None
        shop.bench.put(received.record)
        shop.merge()

    at = int(NOON.timestamp() * 1_000_000)
    shop.put("a", "2.00", heard=False)
    shop.put("b", "2.00", heard=False)
    hear(at, "a", "1.00")
    assert shop.repair(kinesis=tables).complete and shop.rows() == {"a": "2.00", "b": "2.00"}
    assert shop.sequences()["a"].startswith(str(at).zfill(40) + "+")
    hear(at + 1, "a", "3.00")
    hear(at + 1, "b", "3.00")
    assert shop.rows() == {"a": "3.00", "b": "3.00"}


def test_a_real_change_after_a_repair_is_newer_and_a_rerun_of_the_day_changes_nothing(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.put("a", "2.00", heard=False)
    shop.put("b", "2.00", heard=False)
    assert shop.repair().complete
    repaired = shop.sequences()
    assert repaired["a"].startswith("10".zfill(40) + "+") and repaired["b"].startswith("0" * 40 + "+")
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "2.00", "b": "2.00"} and shop.sequences() == repaired
    shop.put("a", "3.00")
    shop.delete("b")
    shop.merge()
    assert shop.rows() == {"a": "3.00"}
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "3.00"}


def test_a_second_repair_of_a_key_is_newer_than_the_first(shop: Shop) -> None:
    for amount in ("1.00", "2.00", "3.00"):
        shop.put("a", amount, heard=False)
        assert shop.repair().complete
        shop.clock.time -= timedelta(hours=1)  # a clock that is set back makes no older amendment
        assert shop.rows() == {"a": amount}
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "3.00"}


def test_a_change_that_silver_lost_and_bronze_holds_stays_older_than_the_repair(shop: Shop) -> None:
    """The table was rolled back; its position was not. A rerun of the day then brings the lost change again."""
    shop.put("a", "1.00")
    shop.merge()
    table = shop.bench.lake.table("silver", "orders")
    before = table.metadata.current_snapshot_id
    shop.put("a", "2.00")
    shop.merge()
    table.refresh()
    table.manage_snapshots().set_current_snapshot(snapshot_id=before).commit()
    assert shop.rows() == {"a": "1.00"}
    shop.put("a", "3.00", heard=False)
    assert shop.repair().complete
    assert shop.sequences()["a"].startswith("20".zfill(40) + "+")
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "3.00"}


def test_a_change_on_its_way_is_no_difference(shop: Shop) -> None:
    for id_ in "abc":
        shop.put(id_, "1.00")
    shop.merge()
    shop.put("a", "2.00")  # captured and not merged when the scan begins

    def after_the_scan() -> None:
        shop.put("a", "3.00")
        shop.put("b", "2.00")
        shop.delete("c")

    shop.source.after_scan = after_the_scan
    found = shop.repair()
    assert found.complete and found.objects == () and found.comparison.equal == 2
    assert shop.rows() == {"a": "3.00", "b": "2.00"}


def test_a_lost_change_behind_one_on_its_way_is_found(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.put("a", "2.00")
    shop.put("a", "3.00", heard=False)
    found = shop.repair()
    assert found.complete and found.comparison.different == 1 and shop.rows() == {"a": "3.00"}


@pytest.mark.parametrize(
    ("made", "in_flight", "unconfirmed"),
    [pytest.param(NOON, 0, 1, marks=pytest.mark.slow), (NOON + timedelta(hours=1), 1, 0)],
)
def test_a_key_that_never_rests_is_no_difference_once_silver_has_a_change_made_since(
    shop: Shop, made: datetime, in_flight: int, unconfirmed: int
) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.changed_at = made
    amounts = iter(range(2, 100))

    def change_again() -> None:
        shop.put("a", f"{next(amounts)}.00")
        shop.merge()
        shop.put("a", f"{next(amounts)}.00", heard=False)

    change_again()
    shop.clock.waited = change_again
    found = shop.repair(capture_delay=5).comparison
    assert (found.in_flight, found.unconfirmed, found.different) == (in_flight, unconfirmed, 0)


def test_a_row_that_arrives_during_the_comparison_counts_on_both_sides(shop: Shop) -> None:
    """Else a verification next to live writers shows more equal rows than the lake has."""
    shop.put("a", "1.00")
    shop.merge()
    shop.put("b", "2.00")
    shop.clock.waited = shop.merge
    shop.source.after_scan = lambda: shop.put("c", "3.00")
    found = shop.repair(dry_run=True).comparison
    assert (found.source, found.lake, found.equal) == (2, 2, 2)


def test_a_row_that_equals_its_source_only_until_it_is_merged_is_found(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.delete("a", heard=False)  # neither side has it when the scan begins
    found = shop.repair()
    assert found.complete and found.comparison.extra == 1 and shop.rows() == {}


def test_a_change_that_comes_while_amendments_are_written_is_newer_than_they(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.put("a", "2.00", heard=False)

    def after_the_comparison(*arguments: Any) -> Reconciliation:
        shop.put("a", "3.00")
        return with_newest_changes(*arguments)

    monkeypatch.setattr("medallion_assets.repair.repair.with_newest_changes", after_the_comparison)
    assert shop.repair().comparison.different == 1
    assert shop.rows() == {"a": "3.00"}
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "3.00"}


def test_a_pipeline_that_is_behind_confirms_nothing(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.put("a", "2.00")
    shop.put("b", "1.00", heard=False)
    shop.clock.waited = lambda: None
    found = shop.repair()
    assert (found.comparison.unconfirmed, found.comparison.agrees, found.complete) == (2, False, False)
    assert "1 Bronze objects wait" in str(found.comparison.behind)
    assert found.objects == () and shop.bench.lake.find("ops", "repairs") is None


def test_amendments_that_nobody_merges_are_told_and_found_merged_later(shop: Shop) -> None:
    shop.put("a", "1.00", heard=False)
    shop.clock.waited = lambda: None
    done = shop.repair()
    assert not done.merged and not done.complete and len(done.objects) == 1
    shop.merge()
    again = shop.repair()
    assert again.complete and again.objects == () and shop.rows() == {"a": "1.00"}


def test_a_dry_run_writes_nothing(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.merge()
    before = list(shop.bench.store.list("Orders"))
    shop.put("a", "2.00", heard=False)
    found = shop.repair(dry_run=True)
    assert found.comparison.differences == ["a: amount: source Decimal('2.00'), lake Decimal('1.00')"]
    assert list(shop.bench.store.list("Orders")) == before
    assert shop.bench.lake.find("ops", "repairs") is None and shop.rows() == {"a": "1.00"}


def test_a_row_that_waits_in_quarantine_is_left_alone(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.put("a", "0.001")
    shop.merge()
    found = shop.repair()
    assert (found.comparison.in_quarantine, found.comparison.agrees, found.objects) == (1, True, ())


def test_a_missing_row_that_does_not_fit_ends_in_quarantine(shop: Shop) -> None:
    shop.put("a", "0.001", heard=False)
    assert shop.repair().complete
    [change] = shop.bench.rows("orders", namespace="quarantine")
    assert change["status"] == "open" and change["event_id"] == "repair-repair1-0"
    assert shop.wrong() == (0, 0, 0)


def test_a_crash_between_record_and_amendment_leaves_it_to_the_next_repair(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("a", "1.00", heard=False)
    with monkeypatch.context() as crash:
        crash.setattr(shop.bench.store, "put", lambda *_: (_ for _ in ()).throw(ConnectionError("crash")))
        with pytest.raises(ConnectionError):
            shop.repair()
    assert shop.wrong() == (1, 0, 0)
    assert shop.repair().complete and shop.rows() == {"a": "1.00"}
    objects = set(shop.bench.store.list("Orders"))
    assert [row["object"] in objects for row in sorted(shop.repairs(), key=lambda row: str(row["run_id"]))] == [
        False,
        True,
    ]


def test_a_table_that_lost_history_needs_a_backfill_until_it_is_merged(shop: Shop) -> None:
    store = shop.bench.store
    shop.put("kept", "1.00")
    shop.merge()
    write_gap_marker(store, GapMarker(table="Orders", detected_at=NOON, reason="trimmed"))
    for number in range(300):
        shop.put(f"lost{number}", f"{number}.00", heard=False)
    early = shop.repair(dry_run=True)
    assert early.comparison.missing == 300 and oldest_loss(shop.bench) is not None
    resumed = NOON + timedelta(seconds=1)
    write_heartbeat(
        store,
        PollerHeartbeat(
            table="Orders", stream_arn="arn", started_at=resumed, written_at=resumed, read_up_to=None, shards=()
        ),
    )
    shop.clock.time = NOON + timedelta(minutes=10)
    shop.clock.waited = lambda: None
    assert not shop.repair().merged and oldest_loss(shop.bench) is not None
    shop.clock.waited = shop.merge
    assert shop.repair().complete and len(shop.rows()) == 301
    assert oldest_loss(shop.bench) is None


def test_the_ledger_takes_amendments_for_objects_like_any(shop: Shop) -> None:
    shop.put("a", "1.00")
    shop.merge()
    shop.put("a", "2.00", heard=False)
    [amended] = shop.repair().objects
    found = update_ledger(shop.bench.lake, shop.bench.store, shop.bench.domain, run_id="ledger", now=shop.clock.now())
    assert not found.statuses["orders"].gaps
    ledger = {row["object"]: row for row in shop.bench.rows("ledger", namespace="ops")}
    assert len(ledger) == 2 and ledger[amended]["rows"] == 1 and ledger[amended]["state"] == "present"


def test_a_gap_stays_while_capture_has_not_resumed(shop: Shop) -> None:
    write_gap_marker(shop.bench.store, GapMarker(table="Orders", detected_at=NOON, reason="trimmed"))
    done = shop.repair()
    assert done.merged and not done.complete and [gap.kind for gap in done.gaps] == ["stream_gap"]


def test_the_poller_tells_when_all_is_captured(shop: Shop) -> None:
    """What it has not read yet may be on its way, however long ago the scan was."""
    shop.put("a", "1.00", heard=False)
    began = shop.clock.time

    def mark(read_up_to: datetime) -> None:
        write_heartbeat(
            shop.bench.store,
            PollerHeartbeat(
                table="Orders",
                stream_arn="arn",
                started_at=began,
                written_at=shop.clock.time,
                read_up_to=read_up_to,
                shards=(),
            ),
        )

    mark(began)
    shop.clock.waited = lambda: mark(began)
    behind = shop.repair(limit=5)
    assert "the poller has read Orders up to" in str(behind.comparison.behind) and behind.objects == ()

    def catch_up() -> None:
        mark(shop.clock.time)
        shop.merge()

    shop.clock.waited = catch_up
    assert shop.repair().comparison.missing == 1 and shop.rows() == {"a": "1.00"}


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (None, "0" * 40 + "+1772366400000000"),
        ("7".zfill(40), "7".zfill(40) + "+1772366400000000"),
        ("7".zfill(40) + "+1772366400000000", "7".zfill(40) + "+1772366400000001"),
        ("7".zfill(40) + "+9000000000000000", "7".zfill(40) + "+9000000000000001"),
    ],
)
def test_an_amendment_is_newer_than_what_it_amends_and_older_than_the_next_change(
    newest: str | None, expected: str
) -> None:
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/Orders/stream/{}"
    made = amended_sequence(
        (NOON, newest) if newest else None, NOON, stream_arn=stream.format("2026-03-01T12:00:00.000")
    )
    assert made == expected
    assert (newest or "") < made < "8".zfill(40)
