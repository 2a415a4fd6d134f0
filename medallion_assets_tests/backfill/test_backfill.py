"""What a backfill loads, what it leaves to the stream, and which snapshots it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.backfill.backfill import Backfill, backfill, plan_from_export, plan_from_scan
from medallion_assets.backfill.export_files import ExportFiles, open_export_files
from medallion_assets.backfill.local_export import write_export
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES, SegmentedTable
from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.capture.kinesis import KinesisTables, receive
from medallion_assets.errors import LakeUnavailable, NotCaughtUp, SettingsError
from medallion_assets_tests.capture.kinesis_events import of_kinesis, sent_change
from medallion_assets_tests.repair.test_repair import ORDERS, Shop
from medallion_assets_tests.silver.changes import NOON, bench_on_files

SNAPSHOT = NOON + timedelta(minutes=1)


class Load:
    """A shop with items from before its stream, an export of it, and backfills from that export."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.at = SNAPSHOT
        for id_ in ("a", "b", "c", "d", "e"):
            shop.put(id_, "1.00", heard=False)
        write_heartbeat(shop.bench.store, self.heartbeat(NOON))
        shop.clock.time = SNAPSHOT + timedelta(minutes=1)

    def heartbeat(self, started_at: datetime) -> PollerHeartbeat:
        later = self.at + timedelta(hours=9)
        return PollerHeartbeat(
            table="Orders",
            stream_arn=str(self.shop.source.describe().stream_arn),
            started_at=started_at,
            written_at=later,
            read_up_to=later,
            shards=(),
        )

    def export(self) -> Path:
        about = self.shop.source.describe()
        return write_export(
            self.shop.source.scan(),
            self.folder,
            table_arn=about.arn,
            at=self.at,
            export_id="01234567890123-a1b2c3d4",
            items_per_file=2,
        )

    def run(self, export: Path, *, files: ExportFiles | None = None) -> Backfill:
        bench, files = self.shop.bench, files or open_export_files(str(export))
        catch_up = self.shop.clock.catch_up()
        plan = plan_from_export(
            bench.lake, bench.store, self.shop.contract, self.shop.source.describe(), files=files, now=catch_up.now()
        )
        return backfill(bench.lake, bench.store, self.shop.contract, plan, catch_up=catch_up, merge_seconds=20)

    def scan(self, table: SegmentedTable | None = None, *, size: int = 0) -> Backfill:
        bench, catch_up = self.shop.bench, self.shop.clock.catch_up()
        about = replace(self.shop.source.describe(), items=5, bytes=size)
        plan = plan_from_scan(
            bench.lake,
            bench.store,
            self.shop.contract,
            about,
            table=table or self.shop.source,
            threads=1,
            now=catch_up.now,
        )
        return backfill(bench.lake, bench.store, self.shop.contract, plan, catch_up=catch_up, merge_seconds=20)


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        yield Load(Shop(bench), tmp_path / "bucket")


def test_what_the_stream_says_is_newer_than_the_snapshot_and_the_rest_comes_from_it(load: Load) -> None:
    shop = load.shop
    shop.put("a", "2.00")  # before the snapshot
    shop.delete("b")
    export = load.export()
    shop.put("c", "3.00")  # after it, and merged before the snapshot's row
    shop.delete("d")
    shop.put("f", "3.00")
    shop.merge()
    assert shop.rows() == {"a": "2.00", "c": "3.00", "f": "3.00"}
    done = load.run(export)
    assert done.merged and (done.items, done.read, done.objects) == (4, 4, 2)
    assert shop.rows() == {"a": "2.00", "c": "3.00", "e": "1.00", "f": "3.00"}
    shop.put("e", "4.00")
    shop.delete("a")
    shop.merge()
    assert shop.rows() == {"c": "3.00", "e": "4.00", "f": "3.00"}
    assert shop.wrong() == (0, 0, 0)
    [row] = shop.bench.rows("backfills", namespace="ops")
    assert (row["table_name"], row["items"], row["merged"]) == ("orders", 4, True)


def test_the_rows_of_a_table_that_comes_by_kinesis_are_older_than_its_changes(tmp_path: Path) -> None:
    tables = KinesisTables({"Orders": NOON - timedelta(hours=1)})
    at = int(NOON.timestamp() * 1_000_000)
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        shop = Shop(bench)
        for id_ in ("a", "b"):
            shop.put(id_, "1.00", heard=False)
        sent = sent_change(at, {"Id": {"S": "a"}}, {"Amount": {"N": "2.00"}, "Tags": {"SS": ["b", "a"]}})
        here = "arn:aws:kinesis:eu-central-1:123456789012:stream/changes"
        received = receive({**of_kinesis(sent), "eventSourceARN": here}, tables)
        assert received is not None and received.refused is None
        bench.put(received.record)
        shop.clock.time = SNAPSHOT + timedelta(minutes=1)
        own = shop.source.describe()
        stream = tables.latest_stream("Orders", table_arn=own.arn, own=own.stream_arn)
        assert stream == received.record["eventSourceARN"] != own.stream_arn
        folder = write_export(
            shop.source.scan(),
            tmp_path / "bucket",
            table_arn=own.arn,
            at=SNAPSHOT,
            export_id="01234567890123-a1b2c3d4",
            items_per_file=2,
        )
        files, catch_up = open_export_files(str(folder)), shop.clock.catch_up()
        about = replace(own, stream_arn=stream)
        plan = plan_from_export(bench.lake, bench.store, shop.contract, about, files=files, now=catch_up.now())
        backfill(bench.lake, bench.store, shop.contract, plan, catch_up=catch_up, merge_seconds=20)
        assert shop.rows() == {"a": "2.00", "b": "1.00"}


def test_a_change_that_is_captured_while_the_rows_wait_is_newer_than_they(load: Load) -> None:
    shop, export = load.shop, load.export()
    merge, shop.clock.waited = shop.clock.waited, lambda: None
    assert not load.run(export).merged
    shop.put("a", "2.00")
    shop.delete("b")
    merge()
    assert shop.rows() == {"a": "2.00", "c": "1.00", "d": "1.00", "e": "1.00"}
    assert shop.wrong() == (0, 0, 0)


def test_nothing_is_written_before_every_earlier_change_is_merged(load: Load) -> None:
    shop, export = load.shop, load.export()
    shop.put("a", "0.50")
    shop.clock.waited = lambda: None
    with pytest.raises(NotCaughtUp, match="nothing of the snapshot is written"):
        load.run(export)
    assert len(list(shop.bench.store.list("Orders"))) == 1


def test_a_backfill_that_died_goes_on_with_the_next_data_file(load: Load) -> None:
    export = load.export()
    opened: list[str] = []

    class Dying:
        def __init__(self, dies_at: str | None) -> None:
            self.files, self.dies_at = open_export_files(str(export)), dies_at

        def open(self, path: str) -> Any:
            opened.append(path)
            if opened.count(path) > 1 and path == self.dies_at:
                raise LakeUnavailable("the machine is gone")
            return self.files.open(path)

        def uri(self, path: str) -> str:
            return self.files.uri(path)

    paths = [f"data/{number:026d}.json.gz" for number in range(3)]
    with pytest.raises(LakeUnavailable):
        load.run(export, files=Dying(paths[1]))
    opened.clear()
    done = load.run(export, files=Dying(None))
    assert done.merged and (done.items, done.read) == (5, 3)
    assert opened.count(paths[0]) == 0 and opened.count(paths[1]) == opened.count(paths[2]) == 2
    assert load.shop.wrong() == (0, 0, 0)
    assert load.run(export).read == 0


def _manifest(export: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    lines = [json.loads(line) for line in (export / name).read_text().splitlines()]
    for line in lines:
        change(line)
    data = "\n".join(json.dumps(line) for line in lines).encode()
    (export / name).write_bytes(data)
    _sign(export, name)


def _sign(export: Path, name: str) -> None:
    digest = hashlib.md5((export / name).read_bytes(), usedforsecurity=False).digest()
    (export / name).with_suffix(".md5").write_text(b64encode(digest).decode())


def _say(**fields: Any) -> Callable[[Path], None]:
    return lambda export: _manifest(export, "manifest-summary.json", lambda summary: summary.update(fields))


def _half_written(export: Path) -> None:
    (export / "manifest-summary.json").unlink()


def _wrong_manifest(export: Path) -> None:
    (export / "manifest-files.json").write_bytes((export / "manifest-files.json").read_bytes() + b"\n")


def _wrong_data(export: Path) -> None:
    (export / f"data/{1:026d}.json.gz").write_bytes(gzip.compress(b'{"Item":{}}\n{"Item":{}}\n'))


def _wrong_count(export: Path) -> None:
    _manifest(export, "manifest-files.json", lambda line: line.update(itemCount=line["itemCount"] + 1))
    _manifest(export, "manifest-summary.json", lambda line: line.update(itemCount=8))


def _no_data(export: Path) -> None:
    (export / f"data/{2:026d}.json.gz").unlink()


ARN = "arn:aws:dynamodb:eu-central-1:{}:table/{}"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_half_written, "DynamoDB writes it last"),
        (_wrong_manifest, "does not have the MD5"),
        (_wrong_data, "its MD5 is not the one in the manifest"),
        (_wrong_count, "has 2 items, and 3 in the manifest"),
        (_no_data, "is not there; copy the export"),
        (_say(tableArn=ARN.format("123456789012", "Customers")), "expected one of .*table/Orders"),
        (_say(tableArn=ARN.format("999999999999", "Orders")), "expected one of .*123456789012"),
        (_say(outputFormat="ION"), "export the table as DYNAMODB_JSON"),
        (_say(exportType="PARTIAL"), "expected FULL_EXPORT or INCREMENTAL_EXPORT"),
        (
            _say(
                exportType="INCREMENTAL_EXPORT",
                exportFromTime="2026-03-01T11:45:00Z",
                exportToTime="2026-03-01T12:01:00Z",
            ),
            "no gap that an incremental export",
        ),
        (_say(itemCount=6), "lists 5 items"),
        (_say(exportTime="2026-03-01T12:00:04Z"), "changes between would be lost"),
        (_say(billedSizeBytes=None), "is not a manifest"),
    ],
)
def test_an_export_that_must_not_be_loaded_is_refused_before_the_first_row(
    load: Load, spoil: Callable[[Path], None], said: str
) -> None:
    export = load.export()
    spoil(export)
    with pytest.raises(SettingsError, match=said):
        load.run(export)
    assert not list(load.shop.bench.store.list("Orders"))
    shutil.rmtree(export)
    assert load.run(load.export()).merged


def test_a_bad_line_is_named_and_what_was_before_it_stays(load: Load) -> None:
    export = load.export()
    path = export / f"data/{1:026d}.json.gz"
    bad = gzip.decompress(path.read_bytes()).replace(b'"Id":{"S":"d"}', b'"No":{"S":"d"}')
    path.write_bytes(gzip.compress(bad))

    def resign(line: dict[str, Any]) -> None:
        if line["dataFileS3Key"].endswith(path.name):
            line["md5Checksum"] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()

    _manifest(export, "manifest-files.json", resign)
    with pytest.raises(SettingsError, match=rf"{path.name.partition('.')[0]}, line 2 is not an item of the table"):
        load.run(export)
    load.shop.merge()
    assert load.shop.rows() == {"a": "1.00", "b": "1.00"}


def test_a_table_whose_stream_is_not_captured_is_refused(tmp_path: Path) -> None:
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        load = Load(Shop(bench), tmp_path / "bucket")
        export = load.export()
        bench.store.remove("_heartbeat/Orders.json")
        with pytest.raises(SettingsError, match="is not captured yet"):
            load.run(export)
        load.shop.put("a", "2.00")
        bench.store.put("Orders/unrelated.txt", b"")
        assert load.run(export).merged, "a Lambda function captures: an object shows that it does"


def lose(load: Load, *, detected_at: datetime = NOON + timedelta(seconds=30)) -> None:
    """Let changes be lost: one of each kind, and one of a key that changes again after it."""
    shop = load.shop
    for id_ in ("a", "b", "c", "d"):
        shop.put(id_, "2.00")
    shop.delete("e")
    shop.merge()
    shop.put("a", "3.00", heard=False)
    shop.delete("b", heard=False)
    shop.put("c", "3.00", heard=False)
    shop.put("e", "3.00", heard=False)
    shop.put("f", "3.00", heard=False)
    marker = GapMarker(table="Orders", detected_at=detected_at, reason="the stream was trimmed")
    write_gap_marker(shop.bench.store, marker)
    write_heartbeat(shop.bench.store, load.heartbeat(detected_at + timedelta(seconds=5)))
    shop.changed_at = load.at - timedelta(seconds=3)
    shop.put("c", "4.00")  # after the loss
    shop.changed_at = load.at + timedelta(seconds=1)


@pytest.mark.parametrize("source", ["export", "scan"])
def test_after_lost_changes_the_snapshot_replaces_what_is_older_and_removes_what_is_gone(
    load: Load, source: str
) -> None:
    shop = load.shop
    lose(load)
    export = load.export() if source == "export" else None
    shop.put("d", "5.00")
    shop.delete("f")
    done = load.run(export) if export is not None else load.scan(size=2 * SEGMENT_BYTES)
    assert done.merged and done.gaps == () and done.removed == 1
    assert shop.rows() == {"a": "3.00", "c": "4.00", "d": "5.00", "e": "3.00"}
    assert shop.wrong() == (0, 0, 0)
    assert shop.sequences()["a"].startswith("10".zfill(40) + "+") or "+" in shop.sequences()["a"]
    assert [gap["closed_at"] is not None for gap in shop.bench.rows("gaps", namespace="ops")] == [True]
    shop.put("a", "6.00")
    shop.merge()
    shop.bench.remerge_day("orders")
    assert shop.rows() == {"a": "6.00", "c": "4.00", "d": "5.00", "e": "3.00"}


def test_a_snapshot_from_before_the_loss_is_refused(load: Load) -> None:
    lose(load, detected_at=SNAPSHOT - timedelta(seconds=4))
    write_heartbeat(load.shop.bench.store, load.heartbeat(NOON))
    with pytest.raises(SettingsError, match=r"were lost until .* Make a newer one"):
        load.run(load.export())


def test_changes_that_wait_for_a_redrive_come_first(load: Load) -> None:
    export = load.export()
    load.shop.bench.store.put("_dead_letters/Orders/20260301T120000000000Z_1.json", b"{}")
    with pytest.raises(SettingsError, match="medallion redrive orders"):
        load.run(export)
    assert not list(load.shop.bench.store.list("Orders"))


def test_a_scan_is_older_than_every_change_that_is_made_while_it_reads(load: Load) -> None:
    shop = load.shop
    shop.put("a", "2.00")
    shop.delete("b")

    class Changing:
        def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
            for number, page in enumerate(shop.source.scan_segment(segment, of)):
                if number == 0:
                    shop.put("a", "3.00")  # read as 2.00
                    shop.delete("c")
                    shop.put("d", "2.00")
                yield page

    done = load.scan(Changing())
    assert done.merged and done.items == 4
    assert shop.rows() == {"a": "3.00", "d": "2.00", "e": "1.00"}
    assert shop.wrong() == (0, 0, 0)


def test_a_scan_that_died_goes_on_with_the_next_segment(load: Load) -> None:
    shop = load.shop
    read: list[int] = []

    class Dying:
        def __init__(self, dies_at: int | None) -> None:
            self.dies_at = dies_at

        def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
            assert of == 4
            if segment == self.dies_at:
                raise LakeUnavailable("the machine is gone")
            yield from shop.source.scan_segment(segment, of)
            read.append(segment)

    with pytest.raises(LakeUnavailable):
        load.scan(Dying(2), size=4 * SEGMENT_BYTES)
    assert read[:2] == [0, 1]
    read.clear()
    shop.put("a", "2.00")
    assert load.scan(Dying(None), size=9 * SEGMENT_BYTES).merged
    assert read == [2, 3]
    assert shop.rows() == {"a": "2.00", "b": "1.00", "c": "1.00", "d": "1.00", "e": "1.00"}
    read.clear()
    assert load.scan(Dying(None), size=4 * SEGMENT_BYTES).read == 5, "a scan that is finished is not gone on with"
    [first, second] = sorted(shop.bench.rows("backfills", namespace="ops"), key=lambda row: str(row["snapshot_at"]))
    assert first["source"] == second["source"] == "scan" and first["items"] == second["items"] == 5
