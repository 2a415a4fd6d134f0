"""Shard coverage in the footers of Bronze objects, and gap markers in Bronze."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from medallion_assets.capture.coverage import COVERAGE_KEY, ShardCoverage, read_coverage
from medallion_assets.capture.gap_marker import GapMarker, read_gap_markers, write_gap_marker
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import CorruptObject
from medallion_assets_tests.capture.events import ARN, change, poison

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
COVERAGE = ShardCoverage(stream_arn=ARN.format("Orders"), shard_id="shard-1", after="8", up_to="11", dead_lettered=2)


def test_an_object_has_its_coverage_in_the_footer_and_its_rows_unchanged(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert write_bronze([change(10), change(11)], store=store, captured_at=NOW, coverage=COVERAGE) == []
    (path,) = store.list("Orders")
    assert read_coverage(store.read(path)) == COVERAGE
    assert pq.read_table(io.BytesIO(store.read(path)))["sequence_number"].to_pylist() == ["10", "11"]
    footers = duckdb.sql(f"SELECT value FROM parquet_kv_metadata('{store.uri(path)}') WHERE key = '{COVERAGE_KEY}'")
    ((text,),) = footers.fetchall()
    assert ShardCoverage.from_json(text) == COVERAGE


def test_coverage_ends_with_the_last_record_in_the_object(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert write_bronze([change(9), change(10), poison(11)], store=store, captured_at=NOW, coverage=COVERAGE) == ["11"]
    (path,) = store.list("Orders")
    coverage = read_coverage(store.read(path))
    assert coverage is not None and (coverage.after, coverage.up_to) == ("8", "10")


def test_an_object_of_an_unknown_shard_has_no_coverage(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_bronze([change(1)], store=store, captured_at=NOW)
    (path,) = store.list("Orders")
    assert read_coverage(store.read(path)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", COVERAGE.to_json()[:-1], COVERAGE.to_json().replace('"11"', '"x"')])
def test_a_coverage_that_cannot_be_read_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptObject, match="not a shard coverage"):
        ShardCoverage.from_json(text)


def test_gap_markers_are_read_by_table_and_are_not_listed_as_objects(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert read_gap_markers(store, "Orders") == []
    later = GapMarker(table="Orders", detected_at=NOW + timedelta(days=40), reason="shard s was trimmed")
    first = GapMarker(
        table="Orders", detected_at=NOW.astimezone(timezone(timedelta(hours=9))), reason="shard r was trimmed"
    )
    for gap in (later, first, GapMarker(table="Orders2", detected_at=NOW, reason="another table's")):
        write_gap_marker(store, gap)
    assert read_gap_markers(store, "Orders") == [first, later]
    assert list(store.list("Orders")) == list(store.list("_gaps")) == []
    store.put("_gaps/Orders/20270101T000000000000Z.json", b"{}")
    with pytest.raises(CorruptObject, match="20270101"):
        read_gap_markers(store, "Orders")
