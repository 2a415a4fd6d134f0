"""A reader's position loses no name and hands none out twice, whenever late writers finish."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.s3_store import S3Store
from medallion_assets.capture.store import open_store
from medallion_assets.errors import CaptureError

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def name(at: datetime, number: int = 0, table: str = "Orders") -> str:
    return ObjectName(table, at, number, f"{number:016x}").path


def appear(root: Path, path: str) -> None:
    """An object is there from now on. Not by `put`: thousands of synced writes are not what is tested here."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()


# A writer: the second its object is named, and how long until the object is there (Lambda: 15 minutes at most).
LATE = st.sampled_from([0, 1, 14 * 60, 15 * 60 - 1]) | st.integers(0, 15 * 60 - 1)
WRITERS = st.lists(st.tuples(st.integers(-1_000, 1_000), LATE), max_size=30)
TICKS = st.lists(st.integers(-1_000, 2_000), max_size=30)


@settings(max_examples=150, deadline=None)
@given(writers=WRITERS, ticks=TICKS, packed=st.booleans())
def test_no_interleaving_of_late_writers_and_ticks_loses_or_doubles_a_name(
    tmp_path_factory: pytest.TempPathFactory, writers: list[tuple[int, int]], ticks: list[int], packed: bool
) -> None:
    root = tmp_path_factory.mktemp("bronze")
    store = open_store(str(root))
    written = [
        (start + late, name(MIDNIGHT + timedelta(seconds=start), number))
        for number, (start, late) in enumerate(writers)
    ]
    position, handed = Position.start(), []
    for now in [*sorted(ticks), 1_000_000]:
        for done, path in written:
            if done <= now:
                appear(root, path)
        arrived = position.pending(store, "Orders")
        assert arrived == sorted(arrived)
        handed += arrived
        position = position.advance(arrived)
        if packed:
            position = Position.from_json(position.to_json())
    assert sorted(handed) == sorted(path for _, path in written)


@settings(max_examples=50, deadline=None)
@given(writers=WRITERS, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_names_may_be_taken_in_part_and_in_any_grouping(
    tmp_path_factory: pytest.TempPathFactory, writers: list[tuple[int, int]], cuts: list[int]
) -> None:
    root = tmp_path_factory.mktemp("bronze")
    store = open_store(str(root))
    for number, (start, _) in enumerate(writers):
        appear(root, name(MIDNIGHT + timedelta(seconds=start), number))
    position, handed = Position.start(), []
    for cut in [*cuts, len(writers)]:
        part = position.pending(store, "Orders")[:cut]
        handed += part
        position = position.advance(part)
    assert handed == list(store.list("Orders")) and len(handed) == len(writers)


def test_a_name_that_appears_exactly_fifteen_minutes_late_is_still_handed_out(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    newest, late = MIDNIGHT, MIDNIGHT - timedelta(minutes=15)
    position = Position.start().advance([name(newest)])
    store.put(name(late, 1), b"")
    assert position.pending(store, "Orders") == [name(late, 1)]


def test_what_is_remembered_follows_the_last_fifteen_minutes_not_the_bucket() -> None:
    position = Position.start()
    for second in range(5_000):
        position = position.advance([name(MIDNIGHT + timedelta(seconds=second), second)])
    assert len(position.seen) == 15 * 60 + 1
    assert len(position.to_json()) < 40 * len(position.seen)


def test_an_empty_table_has_nothing_pending_and_leaves_the_start_where_it_is(tmp_path: Path) -> None:
    start = Position.start()
    assert start.pending(open_store(str(tmp_path)), "Orders") == []
    assert start.advance([]) == start
    assert Position.from_json(start.to_json()) == start


def test_a_foreign_parquet_object_stops_the_reader_by_name(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("Orders/export.parquet", b"")
    with pytest.raises(CaptureError, match=r"Orders/export\.parquet"):
        Position.start().pending(store, "Orders")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"newest": null}', json.dumps({"newest": "x", "seen": "!"})])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(CaptureError):
        Position.from_json(text)


def test_a_tick_over_days_of_objects_in_s3_takes_one_listing(bucket: str) -> None:
    client = boto3.client("s3")
    store = S3Store(bucket, "bronze", client=client)
    names = [name(MIDNIGHT + timedelta(hours=hour), hour) for hour in range(100)]
    for path in names:
        store.put(path, b"")
    position = Position.start().advance(names)
    late = name(MIDNIGHT + timedelta(hours=99, minutes=-10), 7)
    store.put(late, b"")
    calls: list[str] = []
    client.meta.events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))
    assert position.pending(store, "Orders") == [late]
    assert calls == ["ListObjectsV2"]
