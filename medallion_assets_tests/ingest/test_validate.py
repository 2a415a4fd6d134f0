"""The check of an item agrees with Silver: what it takes is merged, and what it refuses is quarantined."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.model import Contract
from medallion_assets.ingest.item_body import dynamodb_body, item_of, plain_body, read_json
from medallion_assets.ingest.mismatch import NotAnItem
from medallion_assets.ingest.stored_item import Item, stored_item
from medallion_assets.ingest.validate import Validator
from medallion_assets.lake import duck
from medallion_assets.silver.decode import decode
from medallion_assets_tests.silver.changes import bronze_bytes, contract, record
from medallion_assets_tests.silver.formats import columns, written
from medallion_assets_tests.silver.values import anything, fitting, types


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.connect() as opened:
        yield opened


def agree(connection: duckdb.DuckDBPyConnection, wanted: Contract, images: list[dict[str, Any]]) -> None:
    """Each image as an item with a key of its own: checked, then decoded as the stream would send it."""
    items: dict[int, Item] = {}
    for at, image in enumerate(images):
        try:
            items[at] = stored_item({"Id": {"N": str(at)}, **image})
        except NotAnItem:
            continue  # DynamoDB refuses it, so no stream sends it
    records = [
        record("Things", at + 1, {"Id": sent["Id"]}, sent)
        for at, item in items.items()
        for sent in [json.loads(dynamodb_body(item))]
    ]
    if not records:
        return
    bronze: pa.Table = pq.read_table(pa.BufferReader(bronze_bytes(*records)))
    decoded = decode(connection, bronze, wanted)
    refused = {json.loads(keys)["Id"]["N"]: reason for keys, reason in _reasons(decoded.rejected)}
    validator = Validator(wanted)
    for at, item in items.items():
        found = validator.mismatches(item)
        assert bool(found) == (str(at) in refused), (item, found, refused.get(str(at)))


def _reasons(rejected: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rejected["keys"].to_pylist(), rejected["reason"].to_pylist(), strict=True))


RULES: Mapping[str, list[list[dict[str, Any]]]] = {
    "string": [[{"pattern": "[a-z0-9]*"}], [{"min": "b"}, {"max": "x"}], [{"values": ["a", "0", ""]}]],
    "int": [[{"min": -5}, {"max": 99}], [{"values": [0, 1, -1]}]],
    "bigint": [[{"min": 0, "severity": "warn"}], [{"max": 2**31}]],
    "decimal(12,2)": [[{"min": 0}, {"required": True}], [{"values": [1, 0]}]],
    "double": [[{"min": 0}], [{"max": 10}]],
    "date": [[{"min": "2000-01-01"}]],
    "timestamp": [[{"max": "2026-01-26T10:30:00Z"}]],
    "bool": [[{"values": [True]}]],
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_of_every_type_with_rules_and_undeclared_attributes(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    type_ = data.draw(types)
    rules = data.draw(st.sampled_from([[], [{"required": True}], *RULES.get(str(type_), [])]))
    shape = data.draw(st.sampled_from(["evolve", "freeze"]))
    said = {"Id": "int", "V": {"type": str(type_), "rules": rules}}
    wanted = contract("Things", said, key="Id", drop=["Gone"], shape=shape)
    values = data.draw(st.lists(st.one_of(fitting(type_), st.none()), min_size=1, max_size=10))
    more = data.draw(st.one_of(st.just({}), anything.map(lambda one: {"More": one})))
    images = [({} if value is None else {"V": value}) | {"Gone": {"S": "x"}} | more for value in values]
    agree(connection, wanted, images)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_in_source_formats_and_parts_with_rules(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    said = data.draw(columns())
    rules = data.draw(st.sampled_from([[], [{"required": True}], *RULES.get(said["type"], [])]))
    wanted = contract("Things", {"Id": "int", "v": {**said, "source": "V", "rules": rules}}, key="Id")
    values = data.draw(st.lists(written(said), min_size=1, max_size=10))
    agree(connection, wanted, [{"V": value} for value in values])


def test_of_a_soft_deleted_item_only_the_key_counts(connection: duckdb.DuckDBPyConnection) -> None:
    wanted = contract(
        "Things",
        {"Id": "int", "V": {"type": "int", "rules": [{"required": True}]}, "Gone": "json"},
        key="Id",
        shape="freeze",
        deleted_when="Gone is present",
    )
    wrong = {"V": {"S": "x"}, "More": {"S": "y"}}
    agree(connection, wanted, [wrong, {**wrong, "Gone": {"S": "z"}}, {**wrong, "Gone": {"NULL": True}}])
    item = stored_item({"Id": {"N": "1"}, **wrong})
    assert {one.field for one in Validator(wanted).mismatches(item)} == {"V", "More"}


def test_an_item_of_another_entity_is_refused() -> None:
    said = {"PK": "string", "SK": "string"}
    wanted = contract("App", said, key=("PK", "SK"), where={"PK": "USER#*", "SK": "PROFILE"}, name="users")
    (found,) = Validator(wanted).mismatches(stored_item({"PK": {"S": "USER#1"}, "SK": {"S": "ORDER#2"}}))
    assert (found.field, found.seen, found.expected) == ("SK", "S like 'AAAAA#9'", "PROFILE: an item of users")


def test_a_mismatch_names_the_innermost_place_and_never_the_value() -> None:
    said = {"Id": "int", "lines": "list<struct<sku:string,price:decimal(4,2)>>"}
    body = b'{"Id": 1, "lines": [{"sku": "a", "price": 1.5}, {"sku": "b", "price": 812345.125}]}'
    wanted = contract("Things", said, key="Id")
    (found,) = Validator(wanted).mismatches(item_of(wanted, read_json(body)))
    assert found.field == "lines[1].price"
    assert found.expected == "decimal(4,2)"
    assert "812345" not in str(found)


def test_numbers_of_38_digits_keep_every_digit_in_both_directions() -> None:
    digits = "1234567890123456789012345678.9012345678"
    wanted = contract("Things", {"Id": "int", "n": "decimal(38,10)"}, key="Id")
    item = item_of(wanted, read_json(f'{{"Id": 1, "n": {digits}}}'))
    assert item["n"] == {"N": digits}
    assert not Validator(wanted).mismatches(item)
    assert plain_body(item).decode() == f'{{"Id":1,"n":{digits}}}'


@pytest.mark.parametrize(
    ("written_", "expected"),
    [
        ({"a": {"N": "1" * 39}}, "at most 38 digits"),
        ({"a": {"N": "1E126"}}, "a number from 1E-130 to below 1E126"),
        ({"a": {"N": "1e999999999999"}}, "a number such as -12.5 or 1E20"),
        ({"a": {"N": "NaN"}}, "a number such as -12.5 or 1E20"),
        ({"a": {"NS": ["1", "1.0"]}}, "each member of a set once"),
        ({"a": {"SS": []}}, "one of S, N, B"),
        ({"a": {"S": "\ud800"}}, "text that UTF-8 can write"),
        ({"a": {"B": "=="}}, "bytes as base64 text"),
        ({"a": {"X": 1}}, "one of S, N, B"),
        ({"a": {}}, "an object with one key"),
        ({"": {"S": "x"}}, "a name of one character or more"),
        ({"a": {"M": {"": {"S": "x"}}}}, "a name of one character or more"),
    ],
)
def test_what_dynamodb_would_not_store_is_refused(written_: Any, expected: str) -> None:
    with pytest.raises(NotAnItem) as refused:
        stored_item(written_)
    assert refused.value.mismatches[0].expected.startswith(expected)


def test_numbers_are_brought_into_dynamodbs_own_form() -> None:
    said = {"NS": ["1E3", "0.50", "-0"]}
    assert stored_item({"a": said}) == {"a": {"NS": ["1000", "0.5", "0"]}}


@settings(max_examples=100, deadline=None)
@given(item=st.dictionaries(st.text(min_size=1, max_size=4), anything, max_size=3))
def test_an_item_is_the_same_after_its_dynamodb_json(item: dict[str, Any]) -> None:
    try:
        stored = stored_item(item)
    except NotAnItem:
        return
    assert stored_item(json.loads(dynamodb_body(stored))) == stored
    json.loads(plain_body(stored))


EDGES: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("int", [{"min": -1}, {"max": 1}], [{"N": text} for text in ("-2", "-1", "1", "2")]),
    ("decimal(12,2)", [{"min": 0}, {"max": 1}], [{"N": text} for text in ("-0.01", "0", "1.00", "1.01")]),
    ("double", [{"min": 0}, {"max": 1}], [{"N": text} for text in ("-1E-130", "0", "1", "1.0000001")]),
    ("date", [{"min": "2026-01-01"}], [{"S": "2025-12-31"}, {"S": "2026-01-01"}]),
    ("timestamp", [{"max": "2026-01-01"}], [{"S": "2026-01-01T01:00:00+01:00"}, {"S": "2026-01-01T00:00:00.000001Z"}]),
    ("string", [{"min": "b"}, {"pattern": "[a-c]+"}], [{"S": text} for text in ("ab", "b", "b\n", "d", "\U0001f600")]),
    ("string", [{"values": ["1000"]}], [{"N": "1E3"}, {"N": "1001"}, {"NULL": True}]),
    ("bool", [{"required": True}], [{"NULL": True}, {"BOOL": False}]),
]


@pytest.mark.parametrize(("type_", "rules", "values"), EDGES)
def test_the_edges_of_each_rule(
    connection: duckdb.DuckDBPyConnection, type_: str, rules: list[dict[str, Any]], values: list[dict[str, Any]]
) -> None:
    wanted = contract("Things", {"Id": "int", "V": {"type": type_, "rules": rules}}, key="Id")
    agree(connection, wanted, [{"V": value} for value in values])
