"""A batch becomes one object per table, up to the first failure."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import CaptureError, LakeUnavailable
from medallion_assets_tests.capture.events import change, poison

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def captured(root: Path, table: str = "Orders") -> list[str]:
    """The sequence numbers in Bronze, object by object."""
    store = open_store(str(root))
    files = [pq.read_table(io.BytesIO(store.read(path))) for path in store.list(table)]
    return [number for file in files for number in file["sequence_number"].to_pylist()]


def test_one_batch_of_one_table_is_one_object_named_by_its_first_record(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    # As text 9 sorts after 10.
    assert write_bronze([change(9), change(10)], store=store, captured_at=NOW) == []
    (path,) = store.list("Orders")
    assert ObjectName.parse(path).first_sequence == 9
    assert ObjectName.parse(path).captured_at == NOW
    assert captured(tmp_path) == ["9", "10"]


def test_several_tables_in_a_batch_become_one_object_each(tmp_path: Path) -> None:
    batch = [change(1), change(2, table="Customers"), change(3), change(4, table="Customers")]
    assert write_bronze(batch, store=open_store(str(tmp_path)), captured_at=NOW) == []
    assert captured(tmp_path) == ["1", "3"]
    assert captured(tmp_path, "Customers") == ["2", "4"]


def test_a_batch_retried_later_is_recognised_by_its_hash(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for attempt in range(2):
        write_bronze([change(1), change(2)], store=store, captured_at=NOW + timedelta(seconds=attempt))
    first, second = map(ObjectName.parse, store.list("Orders"))
    assert first.content_hash == second.content_hash
    assert first.captured_at < second.captured_at


def test_an_empty_batch_writes_nothing(tmp_path: Path) -> None:
    assert write_bronze([], store=open_store(str(tmp_path)), captured_at=NOW) == []
    assert captured(tmp_path) == []


def test_failures_are_reported_lowest_first_compared_as_integers(tmp_path: Path) -> None:
    batch = [change(8), poison(9), change(99), poison(100)]
    assert write_bronze(batch, store=open_store(str(tmp_path)), captured_at=NOW) == ["9", "100"]
    assert captured(tmp_path) == ["8"]


@settings(max_examples=50, deadline=None)
@given(
    bad=st.sets(st.integers(1, 20)), tables=st.lists(st.sampled_from(["Orders", "Customers"]), min_size=20, max_size=20)
)
def test_redelivery_from_the_lowest_failure_writes_every_good_record_once(
    tmp_path_factory: pytest.TempPathFactory, bad: set[int], tables: list[str]
) -> None:
    root = tmp_path_factory.mktemp("bronze")
    batch: list[dict[str, Any]] = [
        (poison if number in bad else change)(number, table=table) for number, table in enumerate(tables, 1)
    ]
    for attempt in range(21):
        failures = write_bronze(batch, store=open_store(str(root)), captured_at=NOW + timedelta(seconds=attempt))
        if not failures:
            break
        at = next(i for i, record in enumerate(batch) if record["dynamodb"]["SequenceNumber"] == failures[0])
        batch = batch[at + 1 :]
    written = [int(number) for table in ("Orders", "Customers") for number in captured(root, table)]
    assert sorted(written) == [number for number in range(1, 21) if number not in bad]


def test_a_record_that_cannot_even_be_reported_fails_the_batch(tmp_path: Path) -> None:
    nameless = change(2)
    del nameless["dynamodb"]["SequenceNumber"]
    with pytest.raises(CaptureError, match="SequenceNumber"):
        write_bronze([change(1), nameless], store=open_store(str(tmp_path)), captured_at=NOW)


def test_a_store_that_fails_is_loud(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LakeUnavailable, match="cannot be written"):
        write_bronze([change(1)], store=open_store(str(tmp_path / "file")), captured_at=NOW)


def test_items_of_the_largest_size_pass(tmp_path: Path) -> None:
    image = {"OrderID": {"S": "o"}, "Blob": {"S": "x" * 400_000}}
    assert write_bronze([change(1, new=image, old=image)], store=open_store(str(tmp_path)), captured_at=NOW) == []
    assert captured(tmp_path) == ["1"]
