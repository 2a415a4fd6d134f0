"""Values that are written otherwise, compared one by one with the judge's reader and with that of verification."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.lake import duck
from medallion_assets.reconciliation import reference_decoder
from medallion_assets.reconciliation.reference_format import Misfit as OtherMisfit
from medallion_assets.silver.decode import Decoded, decode
from medallion_assets.simulation.judge.reference_decoder import Misfit, of_column
from medallion_assets_tests.silver.changes import bronze_bytes, contract, record
from medallion_assets_tests.silver.formats import columns, written


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.connect() as opened:
        yield opened


def decoded(connection: duckdb.DuckDBPyConnection, said: dict[str, Any], values: list[Any]) -> Decoded:
    """Decode rows with `values` (None: absent) in the attribute V, numbered by their key."""
    wanted = contract("Things", {"Id": "int", "V": said}, key="Id")
    rows = [
        record("Things", at + 1, {"Id": {"N": str(at)}}, {} if value is None else {"V": value})
        for at, value in enumerate(values)
    ]
    bronze: pa.Table = pq.read_table(pa.BufferReader(bronze_bytes(*rows)))
    return decode(connection, bronze, wanted)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_three_readers_take_the_same_values_for_the_same_and_refuse_the_same(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    said = data.draw(columns())
    values = data.draw(st.lists(st.one_of(st.none(), written(said)), min_size=1, max_size=20))
    column = contract("Things", {"Id": "int", "V": said}, key="Id").columns["V"]
    found = decoded(connection, said, values)
    got = {row["id"]: row["v"] for row in found.rows.to_pylist()}
    rejected = {int(json.loads(row["keys"])["Id"]["N"]): row for row in found.rejected.to_pylist()}
    for at, value in enumerate(values):
        try:
            expected = of_column(column, value)
        except Misfit:
            assert rejected[at]["column_name"] == "v", (value, got.get(at))
            assert rejected[at]["reason"].startswith(f"expected {column.expected}, saw ")
            with pytest.raises(OtherMisfit):
                reference_decoder.column_value(column, value)
        else:
            assert at in got, value
            assert got[at] == expected, value
            assert reference_decoder.column_value(column, value) == expected, value
    assert len(got) + len(rejected) == len(values)


def test_a_deletion_has_no_defaults_and_no_parts_of_its_key(connection: duckdb.DuckDBPyConnection) -> None:
    columns = {
        "Id": "string",
        "kind": {"type": "string", "source": "Id", "part": "{kind}#{n}"},
        "n": {"type": "int", "source": "Id", "part": "{kind}#{n}", "default": 7},
        "V": {"type": "int", "default": 1},
        "copy": {"type": "bigint", "source": "Id", "from": "text"},
    }
    wanted = contract("Things", columns, key="Id")
    bronze = pq.read_table(pa.BufferReader(bronze_bytes(record("Things", 1, {"Id": {"S": "a"}}, None))))
    (row,) = decode(connection, bronze, wanted).rows.to_pylist()
    assert [row[name] for name in ("id", "kind", "n", "v", "copy", "_is_deletion")] == [
        "a",
        None,
        None,
        None,
        None,
        True,
    ]
