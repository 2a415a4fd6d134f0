"""Names of Bronze objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.bronze import compacted
from medallion_assets.capture import dead_letter
from medallion_assets.capture.naming import OTHER_FOLDERS, ObjectName, floor, require_folder_name
from medallion_assets.errors import CaptureError

TIMES = st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
NAMES = st.builds(
    ObjectName,
    table=st.from_regex(r"[A-Za-z0-9_.-]{3,20}", fullmatch=True),
    captured_at=TIMES,
    first_sequence=st.integers(0, 10**40 - 1),
    content_hash=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
)


def test_a_path_has_table_capture_day_time_sequence_and_hash() -> None:
    at = datetime(2026, 2, 3, 1, 5, 6, 7, tzinfo=timezone(timedelta(hours=2)))
    name = ObjectName("Orders", at, 111, "0123456789abcdef")
    assert name.path == (
        "Orders/year=2026/month=02/day=02/20260202T230506000007Z_"
        "0000000000000000000000000000000000000111_0123456789abcdef.parquet"
    )


@given(name=NAMES)
def test_a_name_comes_back_from_its_path(name: ObjectName) -> None:
    assert ObjectName.parse(name.path) == name


@given(left=NAMES, right=NAMES)
def test_paths_of_one_table_sort_by_time_across_days_and_years(left: ObjectName, right: ObjectName) -> None:
    right = ObjectName(left.table, right.captured_at, right.first_sequence, right.content_hash)
    assert (left.path < right.path) == (left < right)


@given(name=NAMES, at=TIMES)
def test_a_floor_sorts_before_exactly_the_names_of_that_time_or_later(name: ObjectName, at: datetime) -> None:
    assert (name.path > floor(name.table, at)) == (name.captured_at >= at)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Orders/readme.parquet",
        "Orders/year=2026/month=02/day=02/part-0.parquet",
        "Orders/year=2026/month=02/day=03/20260202T230506000007Z_" + "0" * 40 + "_0123456789abcdef.parquet",
        "Orders/year=2026/month=02/day=30/20260230T230506000007Z_" + "0" * 40 + "_0123456789abcdef.parquet",
        "Orders/year=2026/month=02/day=02/20260202T230506000007Z_" + "0" * 39 + "_0123456789abcdef.parquet",
        "Orders/year=2026/month=02/day=02/20260202T230506000007Z_" + "0" * 40 + "_0123456789abcdef.parquet.tmp",
        "Orders/year=2026/month=02/day=02/20260202T230506000007Z_" + "0" * 40 + "_0123456789abcdef.parquet\n",
    ],
)
def test_a_foreign_name_is_refused_by_name(path: str) -> None:
    with pytest.raises(CaptureError, match="Bronze"):
        ObjectName.parse(path)


@pytest.mark.parametrize("name", sorted(OTHER_FOLDERS))
def test_a_table_cannot_be_called_as_a_folder_of_bronze(name: str) -> None:
    with pytest.raises(ValueError, match="Bronze has a folder of this name; give the table another name here"):
        require_folder_name(name)


def test_the_folders_of_bronze_that_are_no_tables_are_known() -> None:
    assert {compacted.FOLDER, dead_letter.FOLDER} <= OTHER_FOLDERS
    assert require_folder_name("_orders") == "_orders"
