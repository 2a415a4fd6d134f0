"""Hashes of both sides are equal exactly if the rows are, for all types, and show which keys differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.model import Contract
from medallion_assets.lake import duck
from medallion_assets.lake.duck import literal
from medallion_assets.reconciliation.fingerprints import Fingerprints, _SilverRows, differing, of_source
from medallion_assets.reconciliation.reference_decoder import row_of
from medallion_assets.reconciliation.reference_format import Misfit
from medallion_assets.silver.decode import decode
from medallion_assets_tests.reconciliation.test_reference_decoder import with_bytes
from medallion_assets_tests.silver.changes import bronze_bytes, contract, record
from medallion_assets_tests.silver.formats import columns, written
from medallion_assets_tests.silver.values import anything, fitting, types

Item = dict[str, dict[str, Any]]


class Memory:
    """As much of a lake as hashing needs."""

    def __init__(self) -> None:
        self._database = duck.connect()

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        return self._database.cursor()


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    yield Memory()


def page(*items: Item) -> bytes:
    return json.dumps({"Items": items, "Count": len(items)}).encode()


def in_silver(memory: Memory, wanted: Contract, items: list[Item], folder: Path) -> Fingerprints:
    """Return the hashes of the items as Silver would store them, without items that do not fit."""
    keys = [column.attribute for column in wanted.key_columns]
    records = [record(wanted.table, at + 1, {key: item[key] for key in keys}, item) for at, item in enumerate(items)]
    with memory.duckdb() as connection:
        decoded = decode(connection, pq.read_table(pa.BufferReader(bronze_bytes(*records))), wanted)
    folder.mkdir()
    pq.write_table(decoded.rows, folder / "rows.parquet", store_decimal_as_integer=True)
    (folder / "hashes").mkdir()
    scan = f"(FROM {literal(str(folder / 'rows.parquet'))})"
    rows = _SilverRows(wanted, all_columns=False).write(memory, scan, folder / "hashes")  # type: ignore[arg-type]
    return Fingerprints(folder / "hashes", rows)


def suspects(memory: Memory, wanted: Contract, source: list[Item], lake: list[Item]) -> list[tuple[str, ...]]:
    """The keys, as text, whose hashes differ; of keys that only the lake has, nothing is known."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        here = of_source(memory, wanted, [page(*source)], folder / "source")  # type: ignore[arg-type]
        there = in_silver(memory, wanted, lake, folder / "silver")
        found = differing(memory, here, there, folder / "suspects").keys  # type: ignore[arg-type]
        names = ", ".join(f"_key_{at}" for at in range(len(wanted.key_columns)))
        with memory.duckdb() as connection:
            return connection.execute(
                f"SELECT {names} FROM {found.sql} LEFT JOIN {here.sql} USING (_key_hash) ORDER BY ALL"
            ).fetchall()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_of_every_type_has_one_text_on_both_sides(memory: Memory, data: st.DataObject) -> None:
    type_ = data.draw(types)
    values = data.draw(st.lists(fitting(type_), min_size=1, max_size=10))
    more = data.draw(anything)
    wanted = contract("Things", {"Id": "int", "V": str(type_)}, key="Id", drop=["Gone"])
    items: list[Item] = []
    for at, value in enumerate(values):
        item = {"Id": {"N": str(at)}, "V": value, **({"More": more} if at % 2 else {}), "Gone": more}
        try:
            row_of(wanted, {name: with_bytes(tagged) for name, tagged in item.items()})
        except Misfit:
            continue
        items.append(item)
    assert not items or suspects(memory, wanted, items, items) == []


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", {"N": "-0"}),
        ("decimal(12,2)", {"N": "-0.00"}),
        ("decimal(12,2)", {"N": "-0.50"}),
        ("decimal(12,2)", {"N": "0E11"}),
        ("set<int>", {"NS": ["-0", "7"]}),
        ("set<decimal(12,2)>", {"NS": ["0E11", "-0.10"]}),
        ("list<decimal(3,3)>", {"L": [{"N": "0E5"}, {"N": "-0.120"}]}),
    ],
)
def test_every_form_of_zero_has_one_text_on_both_sides(memory: Memory, type_: str, value: Item) -> None:
    wanted = contract("Things", {"Id": "int", "V": type_}, key="Id")
    items: list[Item] = [{"Id": {"N": "1"}, "V": value}]
    assert suspects(memory, wanted, items, items) == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_another_value_gives_another_hash(memory: Memory, data: st.DataObject) -> None:
    type_ = data.draw(types)
    wanted = contract("Things", {"Id": "int", "V": str(type_)}, key="Id")
    rows: list[tuple[Item, Any]] = []
    for value in data.draw(st.lists(fitting(type_), min_size=2, max_size=2)):
        item = {"Id": {"N": "1"}, "V": value}
        try:
            rows.append((item, row_of(wanted, {name: with_bytes(tagged) for name, tagged in item.items()})))
        except Misfit:
            return
    (item, row), (other, other_row) = rows
    assert (suspects(memory, wanted, [item], [other]) == []) == (row == other_row)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_value_that_is_written_otherwise_has_one_text_on_both_sides(memory: Memory, data: st.DataObject) -> None:
    said = data.draw(columns())
    values = data.draw(st.lists(written(said), min_size=2, max_size=10))
    wanted = contract("Things", {"Id": "int", "V": said, "W": {"type": "string", "source": "V"}}, key="Id")
    rows: list[tuple[Item, Any]] = []
    for at, value in enumerate(values):
        item: Item = {"Id": {"N": str(at)}, **({"V": value} if value != {"NULL": True} else {})}
        try:
            rows.append((item, row_of(wanted, {name: with_bytes(tagged) for name, tagged in item.items()})))
        except Misfit:
            continue
    items = [item for item, _ in rows]
    assert not items or suspects(memory, wanted, items, items) == []
    if len(rows) > 1:
        (item, row), (other, other_row) = rows[:2]
        changed = {**other, "Id": item["Id"]}
        same = {**other_row, "id": row["id"]} == row
        assert (suspects(memory, wanted, [item], [changed]) == []) == same


def test_the_keys_that_differ_are_found_among_the_others(memory: Memory) -> None:
    wanted = contract(
        "Orders", {"H": "string", "R": "int", "Amount": "decimal(12,2)", "Tags": "set<string>"}, key=("H", "R")
    )
    items: list[Item] = [
        {"H": {"S": f"h{at % 7}"}, "R": {"N": str(at)}, "Amount": {"N": f"{at}.5"}, "Tags": {"SS": ["b", "a"]}}
        for at in range(5000)
    ]
    lake = [{**item, "Tags": {"SS": ["a", "b"]}} for item in items]
    assert suspects(memory, wanted, items, lake) == []
    lake[17] = {**lake[17], "Amount": {"N": "17.51"}}
    lake[4000] = {**lake[4000], "More": {"S": "x"}}
    missing, extra = lake.pop(23), {"H": {"S": "h"}, "R": {"N": "7"}}
    found = suspects(memory, wanted, items, [*reversed(lake), extra])
    assert found == [*sorted([("h3", "17"), ("h3", "4000"), (missing["H"]["S"], "23")]), (None, None)]


def test_values_that_change_places_between_rows_do_not_cancel_out(memory: Memory) -> None:
    wanted = contract("Orders", {"Id": "int", "A": "string"}, key="Id")
    items: list[Item] = [{"Id": {"N": str(at)}, "A": {"S": f"a{at % 50}"}} for at in range(20_000)]
    lake = list(items)
    lake[3], lake[4] = {**items[3], "A": items[4]["A"]}, {**items[4], "A": items[3]["A"]}
    assert suspects(memory, wanted, items, lake) == [("3",), ("4",)]


def test_a_value_that_does_not_fit_equals_nothing(memory: Memory) -> None:
    wanted = contract("Orders", {"Id": "int", "A": "decimal(12,2)", "B": "string"}, key="Id")
    source: list[Item] = [{"Id": {"N": "1"}, "A": {"N": "0.001"}}, {"Id": {"N": "2"}, "B": {"BOOL": True}}]
    lake: list[Item] = [{"Id": {"N": "1"}, "A": {"N": "0"}}, {"Id": {"N": "2"}, "B": {"S": "true"}}]
    assert suspects(memory, wanted, source, lake) == [("1",), ("2",)]
