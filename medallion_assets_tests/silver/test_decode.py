"""Decoding, compared value by value with the oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.lake import duck
from medallion_assets.silver.decode import Decoded, decode
from medallion_assets.simulation.judge.reference_decoder import Misfit, parsed, read
from medallion_assets_tests.silver.changes import bronze_bytes, contract, record
from medallion_assets_tests.silver.values import anything, fitting, numbers, texts, types

KEY = {"Id": {"S": "k"}}
NUMERIC = ["string", "int", "bigint", "decimal(12,2)", "decimal(38,0)", "decimal(38,37)", "decimal(38,19)", "double"]
ODD_NAMES = [
    "a",
    "A",
    "we.ird",
    'quo"te',
    "it's",
    "sp ace",
    "$",
    "ünïcode",
    "back\\slash",
    "a/b~c",
    "[0]",
    "select",
    "x.key",
]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.connect() as opened:
        yield opened


def bronze(*records: dict[str, Any]) -> pa.Table:
    return pq.read_table(pa.BufferReader(bronze_bytes(*records)))


def shown(type_: ColumnType, value: Any) -> Any:
    """A decoded value with the JSON texts in it parsed, to be compared with the oracle's."""
    if value is None:
        return None
    if type_.kind == "json":
        return parsed(value)
    if type_.kind == "struct":
        return {name: shown(field, value[name]) for _, name, field in type_.fields}
    if type_.element is None:
        return value
    if type_.kind == "map":
        return [(key, shown(type_.element, item)) for key, item in value]
    return [shown(type_.element, item) for item in value]


def decode_values(connection: duckdb.DuckDBPyConnection, type_: ColumnType, values: list[Any]) -> Decoded:
    """Decode rows that hold `values` (None: absent) in the attribute V, numbered by their key."""
    wanted = contract("Things", {"Id": "int", "V": str(type_)}, key="Id")
    rows = [
        record("Things", at + 1, {"Id": {"N": str(at)}}, {} if value is None else {"V": value})
        for at, value in enumerate(values)
    ]
    return decode(connection, bronze(*rows), wanted)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_of_every_type_is_exact_or_rejected(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    type_ = data.draw(types)
    values = data.draw(st.lists(st.one_of(st.none(), fitting(type_)), min_size=1, max_size=12))
    decoded = decode_values(connection, type_, values)
    got = {row["id"]: shown(type_, row["v"]) for row in decoded.rows.to_pylist()}
    rejected = {int(json.loads(row["keys"])["Id"]["N"]): row for row in decoded.rejected.to_pylist()}
    for at, value in enumerate(values):
        try:
            expected = None if value is None else read(type_, value)
        except Misfit:
            assert rejected[at]["column_name"] == "v"
            assert f"expected {type_}, saw " in rejected[at]["reason"]
        else:
            assert got[at] == expected
            assert repr(got[at]) == repr(expected) or "json" in str(type_) or "timestamp" in str(type_)
    assert len(got) + len(rejected) == len(values)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(numbers(), min_size=20, max_size=60), type_=st.sampled_from([parse_type(name) for name in NUMERIC])
)
def test_numbers_of_every_size_and_notation_are_exact_or_rejected(
    connection: duckdb.DuckDBPyConnection, values: list[str], type_: ColumnType
) -> None:
    decoded = decode_values(connection, type_, [{"N": value} for value in values])
    got = {row["id"]: row["v"] for row in decoded.rows.to_pylist()}
    for at, value in enumerate(values):
        try:
            expected = read(type_, {"N": value})
        except Misfit:
            assert at not in got
        else:
            assert got[at] == expected


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("decimal(12,2)", "1E-2", Decimal("0.01")),
        ("decimal(12,2)", "1E+3", Decimal("1000.00")),
        ("decimal(12,2)", "79.990", Decimal("79.99")),
        ("decimal(12,2)", "79.999", None),
        ("decimal(12,2)", "9999999999.99", Decimal("9999999999.99")),
        ("decimal(12,2)", "10000000000", None),
        ("decimal(38,0)", "12345678901234567890123456789012345678", Decimal("12345678901234567890123456789012345678")),
        ("decimal(38,0)", "9.99E+125", None),
        (
            "decimal(38,37)",
            "-0.1234567890123456789012345678901234567",
            Decimal("-0.1234567890123456789012345678901234567"),
        ),
        ("bigint", "9007199254740993", 9007199254740993),
        ("bigint", "9223372036854775808", None),
        ("int", "2147483648", None),
        ("int", "-0", 0),
        ("int", "1.5E+1", 15),
        ("int", "15.5", None),
        ("string", "1.10", "1.10"),
        ("double", "9.99E+125", 9.99e125),
    ],
)
def test_a_number_is_never_rounded(connection: duckdb.DuckDBPyConnection, type_: str, text: str, value: Any) -> None:
    decoded = decode_values(connection, parse_type(type_), [{"N": text}])
    if value is None:
        assert decoded.rows.num_rows == 0
        assert decoded.rejected["reason"].to_pylist() == [f'expected {parse_type(type_)}, saw {{"N":"{text}"}}']
    else:
        assert decoded.rows["v"].to_pylist() == [value]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=st.dictionaries(st.one_of(st.sampled_from(ODD_NAMES), texts), anything, max_size=6))
def test_what_the_contract_does_not_name_is_kept_as_it_was_sent(
    connection: duckdb.DuckDBPyConnection, image: dict[str, Any]
) -> None:
    image.pop("Id", None)
    columns = {"Id": "string", "A": "json", "we.ird": "json"}
    wanted = contract("Things", columns, key="Id", drop=["a", 'quo"te'])
    decoded = decode(connection, bronze(record("Things", 1, KEY, image)), wanted)
    (row,) = decoded.rows.to_pylist()
    kept = {name: value for name, value in image.items() if name not in ("A", "we.ird", "a", 'quo"te')}
    assert (json.loads(row["_extra"]) if row["_extra"] is not None else {}) == kept


def test_attribute_names_are_taken_as_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    columns = {"Id": "string"} | {name: {"type": "string", "rename": f"c{at}"} for at, name in enumerate(ODD_NAMES)}
    image = {name: {"S": f"value {at}"} for at, name in enumerate(ODD_NAMES)}
    decoded = decode(connection, bronze(record("Things", 1, KEY, image)), contract("Things", columns, key="Id"))
    (row,) = decoded.rows.to_pylist()
    assert [row[f"c{at}"] for at in range(len(ODD_NAMES))] == [f"value {at}" for at in range(len(ODD_NAMES))]
    assert row["_extra"] is None


def test_a_struct_with_undeclared_attributes_is_kept_whole_in_extra(connection: duckdb.DuckDBPyConnection) -> None:
    wanted = contract("Things", {"Id": "string", "S": "list<struct<A:int>>", "T": "struct<A:int>"}, key="Id")
    more = {"L": [{"M": {"A": {"N": "1"}, "B": {"N": "2"}}}]}
    decoded = decode(connection, bronze(record("Things", 1, KEY, {"S": more, "T": {"M": {"A": {"N": "1"}}}})), wanted)
    (row,) = decoded.rows.to_pylist()
    assert (row["s"], row["t"], json.loads(row["_extra"])) == ([{"a": 1}], {"a": 1}, {"S": more})


def test_a_deletion_has_its_key_and_nothing_else(connection: duckdb.DuckDBPyConnection) -> None:
    columns = {"Id": "string", "V": {"type": "int", "rules": [{"required": True}]}}
    decoded = decode(connection, bronze(record("Things", 7, KEY, None)), contract("Things", columns, key="Id"))
    (row,) = decoded.rows.to_pylist()
    assert (row["id"], row["v"], row["_extra"], row["_is_deletion"]) == ("k", None, None, True)
    assert row["_sequence_number"] == "7".rjust(40, "0")


@pytest.mark.parametrize(
    ("keys", "new", "name", "column", "reason"),
    [
        ({"Other": {"S": "k"}}, {}, "INSERT", "id", "expected string, saw nothing"),
        ({"Id": {"NULL": True}}, {}, "INSERT", "id", 'expected string, saw {"NULL":true}'),
        ({"Id": {"B": "AA=="}}, None, "REMOVE", "id", 'expected string, saw {"B":"AA=="}'),
        (KEY, None, "MODIFY", None, "no image; expected the stream view type NEW_AND_OLD_IMAGES"),
        (KEY, {"V": {"N": "1"}}, "UPSERT", None, "unknown event UPSERT"),
        (KEY, {}, "INSERT", "v", "breaks the rule required"),
        (KEY, {"V": {"N": "-1"}}, "INSERT", "v", "breaks the rule min 0"),
    ],
)
def test_a_row_that_cannot_be_merged_says_why(
    connection: duckdb.DuckDBPyConnection, keys: Any, new: Any, name: str, column: str | None, reason: str
) -> None:
    columns = {
        "Id": "string",
        "V": {"type": "int", "rules": [{"required": True}, {"min": 0}, {"max": 9, "severity": "warn"}]},
    }
    good = record("Things", 2, {"Id": {"S": "good"}}, {"V": {"N": "10"}})
    rows = bronze(record("Things", 1, keys, new, name=name), good)
    decoded = decode(connection, rows, contract("Things", columns, key="Id"))
    assert decoded.rows["id"].to_pylist() == ["good"]
    (bad,) = decoded.rejected.to_pylist()
    assert (bad["column_name"], bad["reason"], bad["event_id"]) == (column, reason, "Things-1")
    assert json.loads(bad["keys"]) == keys


def test_composite_and_binary_keys_are_decoded(connection: duckdb.DuckDBPyConnection) -> None:
    wanted = contract("Things", {"H": "binary", "R": "decimal(38,0)"}, key=("H", "R"))
    row = record("Things", 1, {"H": {"B": "AAEC"}, "R": {"N": "1E+3"}}, {})
    (got,) = decode(connection, bronze(row), wanted).rows.to_pylist()
    assert (got["h"], got["r"]) == (b"\x00\x01\x02", Decimal(1000))


def test_an_item_of_400_kb_is_decoded(connection: duckdb.DuckDBPyConnection) -> None:
    wanted = contract("Things", {"Id": "string", "V": "string", "J": "json"}, key="Id")
    deep: dict[str, Any] = {"S": "leaf"}
    for _ in range(31):
        deep = {"L": [deep]}
    image = {"V": {"S": "é" * 190_000}, "J": deep, "Rest": deep}
    (got,) = decode(connection, bronze(record("Things", 1, KEY, image)), wanted).rows.to_pylist()
    assert got["v"] == "é" * 190_000
    assert got["j"] == "[" * 31 + '"leaf"' + "]" * 31
    assert json.loads(got["_extra"]) == {"Rest": deep}


def test_sequence_numbers_are_compared_as_integers(connection: duckdb.DuckDBPyConnection) -> None:
    wanted = contract("Things", {"Id": "string"}, key="Id")
    rows = bronze(record("Things", 9, KEY, {}), record("Things", 10**39, KEY, {}), record("Things", 10, KEY, {}))
    got = decode(connection, rows, wanted).rows["_sequence_number"].to_pylist()
    assert sorted(map(int, got)) == [9, 10, 10**39]
    assert sorted(got) == sorted(got, key=int)
