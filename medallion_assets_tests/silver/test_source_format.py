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


BERLIN = {"type": "timestamp", "zone": "Europe/Berlin"}
BOTH = {"type": "timestamp", "from": ["epoch_seconds", "epoch_millis"]}
EDGES: list[tuple[dict[str, Any], list[tuple[str, str, str | None]]]] = [
    (
        BERLIN,
        [
            ("S", "2026-10-25T02:30:00", "2026-10-25T00:30:00+00:00"),  # there twice
            ("S", "2026-10-25T03:00:00", "2026-10-25T02:00:00+00:00"),
            ("S", "2026-03-29T02:30:00", None),  # never there
            ("S", "2026-03-29T03:00:00", "2026-03-29T01:00:00+00:00"),
            ("S", "2026-03-29T02:30:00Z", "2026-03-29T02:30:00+00:00"),
        ],
    ),
    (
        {"type": "timestamp", "zone": "Australia/Lord_Howe", "fraction": "round"},  # a change of half an hour
        [
            ("S", "2026-04-05T01:45:00.9999995", "2026-04-04T14:45:01+00:00"),
            ("S", "2026-10-04T02:15:00", None),
            ("S", "9999-12-31T23:59:59.9999995Z", None),
        ],
    ),
    (
        BOTH,
        [
            ("N", "99999999", None),
            ("N", "100000000", "1973-03-03T09:46:40+00:00"),
            ("S", "4102444799", "2099-12-31T23:59:59+00:00"),
            ("N", "4102444800", None),
            ("N", "99999999999", None),
            ("S", "100000000000", "1973-03-03T09:46:40+00:00"),
        ],
    ),
    (
        {"type": "timestamp", "from": "epoch_seconds", "fraction": "round"},
        [
            ("N", "-0.0000005", "1970-01-01T00:00:00+00:00"),
            ("N", "-0.00000050000001", "1969-12-31T23:59:59.999999+00:00"),
            ("N", "0.0000005", "1970-01-01T00:00:00.000001+00:00"),
        ],
    ),
    (
        {"type": "timestamp", "from": "epoch_millis", "fraction": "cut"},
        [("N", "-0.0000001", "1969-12-31T23:59:59.999999+00:00"), ("S", "1.9999", "1970-01-01T00:00:00.001999+00:00")],
    ),
    ({"type": "double", "from": "text"}, [("S", "1e999", None), ("S", "-1E-999", "-0.0"), ("S", "9" * 101, None)]),
    (
        {"type": "decimal(4,2)", "from": "text", "fraction": "round"},
        [("S", "99.995", None), ("S", "-0.005", "-0.01"), ("S", "1." + "0" * 98, "1.00"), ("S", "1." + "0" * 99, None)],
    ),
    ({"type": "bool", "from": "k/n"}, [("S", "K", "True"), ("S", "\u212a", None)]),  # the sign of the Kelvin
    (
        {"type": "date", "from": ["iso", "d.M.yyyy", "epoch_days"]},
        [("S", "31.2.2026", None), ("S", "01.01.0000", None), ("N", "2932896", "9999-12-31"), ("S", "2932897", None)],
    ),
    (
        {"type": "string", "part": "A#{V}#{rest}"},
        [
            ("S", "A#b#c", "b"),
            ("S", "A#b#c#d", None),
            ("S", "A##c", None),
            ("S", "A#b\n#c", "b\n"),
            ("S", "xA#b#c", None),
        ],
    ),
]


@pytest.mark.parametrize(("said", "cases"), EDGES, ids=lambda one: one.get("type") if isinstance(one, dict) else "")
def test_the_edges_of_each_format(
    connection: duckdb.DuckDBPyConnection, said: dict[str, Any], cases: list[tuple[str, str, str | None]]
) -> None:
    column = contract("Things", {"Id": "int", "V": said}, key="Id").columns["V"]
    values = [{tag: text} for tag, text, _ in cases]
    got = {row["id"]: row["v"] for row in decoded(connection, said, values).rows.to_pylist()}
    for at, (value, (_, _, expected)) in enumerate(zip(values, cases, strict=True)):
        if expected is None:
            assert at not in got, value
            with pytest.raises(Misfit):
                of_column(column, value)
            with pytest.raises(OtherMisfit):
                reference_decoder.column_value(column, value)
        else:
            assert (got[at].isoformat() if hasattr(got[at], "isoformat") else str(got[at])) == expected
            assert of_column(column, value) == reference_decoder.column_value(column, value) == got[at]


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
