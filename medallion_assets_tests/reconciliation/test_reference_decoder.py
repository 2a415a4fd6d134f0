"""Two decoders that share no code agree on every value of every type."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.types import ColumnType
from medallion_assets.lake import duck
from medallion_assets.reconciliation.canonical import as_data
from medallion_assets.reconciliation.reference_decoder import comparable, row_of
from medallion_assets.reconciliation.reference_format import Misfit
from medallion_assets.silver.decode import decode
from medallion_assets_tests.silver.changes import bronze_bytes, contract, record
from medallion_assets_tests.silver.values import anything, fitting, types


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.connect() as opened:
        yield opened


def with_bytes(tagged: dict[str, Any]) -> dict[str, Any]:
    """A value as boto3's client gives it, from one as a stream sends it."""
    ((tag, inside),) = tagged.items()
    match tag:
        case "B":
            return {tag: base64.b64decode(inside)}
        case "BS":
            return {tag: [base64.b64decode(one) for one in inside]}
        case "L":
            return {tag: [with_bytes(one) for one in inside]}
        case "M":
            return {tag: {name: with_bytes(one) for name, one in inside.items()}}
        case _:
            return tagged


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_both_decoders_take_the_same_values_for_the_same_and_refuse_the_same(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    type_: ColumnType = data.draw(types)
    values = data.draw(st.lists(fitting(type_), min_size=1, max_size=10))
    more = data.draw(anything)
    wanted = contract("Things", {"Id": "int", "V": str(type_)}, key="Id", drop=["Gone"])
    images = [{"V": value, "More": more, "Gone": more} for value in values]
    records = [record("Things", at + 1, {"Id": {"N": str(at)}}, image) for at, image in enumerate(images)]
    bronze: pa.Table = pq.read_table(pa.BufferReader(bronze_bytes(*records)))
    stored = {row["id"]: row for row in decode(connection, bronze, wanted).rows.to_pylist()}
    for at, image in enumerate(images):
        item = {name: with_bytes(tagged) for name, tagged in image.items()}
        try:
            row = row_of(wanted, {"Id": {"N": str(at)}, **item})
        except Misfit:
            assert at not in stored
        else:
            assert row["v"] == as_data(type_, stored[at]["v"])
            extra = json.loads(stored[at]["_extra"])
            assert row["_extra"] == {name: comparable(tagged) for name, tagged in extra.items()}
