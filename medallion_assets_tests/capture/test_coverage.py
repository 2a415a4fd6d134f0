"""Claims in the footers of Bronze objects, and gap markers beside Bronze."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from medallion_assets.capture.coverage import CLAIM_KEY, Claim, read_claim
from medallion_assets.capture.gap_marker import Gap, put_gap, read_gaps
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import process
from medallion_assets.errors import CorruptObject
from medallion_assets_tests.capture.events import ARN, change, poison

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
CLAIM = Claim(stream_arn=ARN.format("Orders"), shard_id="shard-1", after="8", upto="11", given_up=2)


def test_an_object_carries_its_claim_and_its_rows_as_ever(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert process([change(10), change(11)], store=store, captured_at=NOW, claim=CLAIM) == []
    (path,) = store.list("Orders")
    assert read_claim(store.read(path)) == CLAIM
    assert pq.read_table(io.BytesIO(store.read(path)))["sequence_number"].to_pylist() == ["10", "11"]
    footers = duckdb.sql(f"SELECT value FROM parquet_kv_metadata('{store.uri(path)}') WHERE key = '{CLAIM_KEY}'")
    ((text,),) = footers.fetchall()
    assert Claim.from_json(text) == CLAIM


def test_a_claim_ends_with_the_last_record_that_got_into_the_object(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert process([change(9), change(10), poison(11)], store=store, captured_at=NOW, claim=CLAIM) == ["11"]
    (path,) = store.list("Orders")
    claim = read_claim(store.read(path))
    assert claim is not None and (claim.after, claim.upto) == ("8", "10")


def test_who_knows_no_shard_claims_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    process([change(1)], store=store, captured_at=NOW)
    (path,) = store.list("Orders")
    assert read_claim(store.read(path)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", CLAIM.to_json()[:-1], CLAIM.to_json().replace('"11"', '"x"')])
def test_a_claim_that_cannot_be_read_is_said_to_be_corrupt(text: str) -> None:
    with pytest.raises(CorruptObject, match="not a claim"):
        Claim.from_json(text)


def test_gaps_are_told_beside_bronze_and_no_reader_of_objects_sees_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert read_gaps(store, "Orders") == []
    later = Gap(table="Orders", detected_at=NOW + timedelta(days=40), reason="shard s was trimmed")
    first = Gap(table="Orders", detected_at=NOW.astimezone(timezone(timedelta(hours=9))), reason="shard r was trimmed")
    for gap in (later, first, Gap(table="Orders2", detected_at=NOW, reason="another table's")):
        put_gap(store, gap)
    assert read_gaps(store, "Orders") == [first, later]
    assert list(store.list("Orders")) == list(store.list("_gaps")) == []
    store.put("_gaps/Orders/20270101T000000000000Z.json", b"{}")
    with pytest.raises(CorruptObject, match="20270101"):
        read_gaps(store, "Orders")
