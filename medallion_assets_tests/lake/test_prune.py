from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.types import PrimitiveType

from medallion_assets.lake.prune import files_surely_older, files_with_keys
from medallion_assets.lake.schema import conform, iceberg_schema

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("bytes", pa.binary()),
        ("number", pa.decimal128(38, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
ICEBERG = iceberg_schema(SCHEMA, [])


def file(**bounds: tuple[Any, Any]) -> DataFile:
    """A file that says this about itself; None is a bound it does not say."""
    sides: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
    for name, values in bounds.items():
        field = ICEBERG.find_field(name)
        assert isinstance(field.field_type, PrimitiveType)
        for side, value in zip(sides, values, strict=True):
            if value is not None:
                side[field.field_id] = to_bytes(field.field_type, value)
    return DataFile.from_args(lower_bounds=sides[0], upper_bounds=sides[1])


def rows(**columns: list[Any]) -> pa.Table:
    size = len(next(iter(columns.values())))
    table = pa.table({field.name: pa.array(columns.get(field.name, [None] * size), field.type) for field in SCHEMA})
    return conform(table, ICEBERG)


@pytest.mark.parametrize(
    ("column", "low", "high", "value", "held"),
    [
        ("text", "b", "d", "b", True),
        ("text", "b", "d", "d", True),
        ("text", "b", "d", "da", False),
        ("text", "b", "d", "a", False),
        ("text", "b", None, "z", True),
        ("text", None, "d", "", True),
        ("text", None, None, "x", True),
        ("text", "\uffff", "\U00010001", "\U00010000", True),
        ("bytes", b"\x7f", b"\x80", b"\x7f\xff", True),
        ("bytes", b"\x7f", b"\x80", b"\xff", False),
        ("number", Decimal("-2.00"), Decimal("1.00"), Decimal("-1.50"), True),
        ("number", Decimal("-2.00"), Decimal("1.00"), Decimal("-2.01"), False),
        ("day", dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 2), True),
        ("day", dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 3), False),
    ],
)
def test_a_file_is_looked_into_only_if_it_can_hold_the_value(
    column: str, low: Any, high: Any, value: Any, held: bool
) -> None:
    assert bool(files_with_keys(ICEBERG, [file(**{column: (low, high)})], rows(**{column: [value]}), [column])) is held


def test_a_value_between_others_is_found_and_a_gap_is_one() -> None:
    files = [file(text=("c", "e")), file(text=("f", "g"))]
    assert files_with_keys(ICEBERG, files, rows(text=["z", "a", "d"]), ["text"]) == files[:1]


def test_every_part_of_a_key_must_fit() -> None:
    both = file(text=("a", "c"), bytes=(b"a", b"c"))
    assert files_with_keys(ICEBERG, [both], rows(text=["b"], bytes=[b"b"]), ["text", "bytes"]) == [both]
    assert files_with_keys(ICEBERG, [both], rows(text=["b"], bytes=[b"d"]), ["text", "bytes"]) == []


def test_a_file_is_older_only_if_its_newest_row_is_older_than_the_oldest_one() -> None:
    files = [file(text=("1", "4")), file(text=("1", "5")), file(text=("1", None))]
    assert files_surely_older(ICEBERG, files, rows(text=["5", "9"]), ["text"]) == files[:1]
    assert files_surely_older(ICEBERG, files, rows(text=["5", None]), ["text"]) == []
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    timed = [file(at=(moment, moment))]
    assert files_surely_older(ICEBERG, timed, rows(at=[moment + dt.timedelta(microseconds=1)]), ["at"]) == timed
    assert files_surely_older(ICEBERG, timed, rows(at=[moment]), ["at"]) == []


def test_a_file_is_older_by_several_columns_as_its_rows_are() -> None:
    files = [file(day=(1, 1), text=("1", "4")), file(day=(1, 1), text=("1", "5")), file(day=(0, 0), text=("1", "9"))]
    files += [file(day=(0, 1), text=("1", "4")), file(day=(2, 2), text=("0", "1"))]
    incoming = rows(day=[dt.date(1970, 1, 2), dt.date(1970, 1, 3)], text=["5", "6"])
    assert files_surely_older(ICEBERG, files, incoming, ["day", "text"]) == [files[0], files[2], files[3]]
