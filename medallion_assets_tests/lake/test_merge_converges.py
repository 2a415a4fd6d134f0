"""Whatever the order, the batches and the repeats: the table ends as the log's highest sequence number per key says."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.lake.tables import merge, read, rows, sequence

Change = tuple[Any, int, str | None, bool]
"""Key values, sequence number, a value, and whether it is a delete."""

# Few keys, so that changes meet; among them those that differ late, sort oddly or look alike to a float.
TEXTS = st.sampled_from(["", "a", "a\x00", "ORDER#0000000000001", "ORDER#0000000000002", "é", "\U0010ffff" * 20])
WHOLES = st.sampled_from([0, -1, 2**53, 2**53 + 1, -(2**63)])
LARGEST = "9" * 28 + "." + "9" * 10
DECIMALS = st.sampled_from([Decimal(text) for text in ("0", "-1.5", "9007199254740993", LARGEST, "-" + LARGEST)])
BYTES = st.sampled_from([b"", b"\x00", b"\xff" * 20, b"\xff" * 19 + b"\xfe", b"a"])

KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXTS),
    "whole": (pa.int64(), WHOLES),
    "decimal": (pa.decimal128(38, 10), DECIMALS),
    "bytes": (pa.binary(), BYTES),
}

_names = itertools.count()


def schema_of(key: tuple[str, ...]) -> pa.Schema:
    columns = [(name, KEYS[name][0]) for name in key]
    return pa.schema([*columns, ("v", pa.string()), ("_sequence_number", pa.string()), ("_deleted", pa.bool_())])


@st.composite
def logs(draw: st.DrawFn, key: tuple[str, ...]) -> list[Change]:
    """A change log: every sequence number once, as the source gives them; values are the number's own."""
    keys = draw(st.lists(st.tuples(*(KEYS[name][1] for name in key)), min_size=1, max_size=12))
    numbers = draw(st.lists(st.integers(1, 10**21), min_size=len(keys), max_size=len(keys), unique=True))
    deletes = draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    return [
        (values, number, None if deleted else f"v{number}", deleted)
        for values, number, deleted in zip(keys, numbers, deletes, strict=True)
    ]


@st.composite
def deliveries(draw: st.DrawFn, key: tuple[str, ...]) -> tuple[list[Change], list[list[Change]]]:
    """A log, and batches in which every change of it arrives at least once."""
    log = draw(logs(key))
    arriving = draw(st.permutations(log + draw(st.lists(st.sampled_from(log), max_size=6))))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    return log, [list(arriving[a:b]) for a, b in itertools.pairwise([0, *cuts, len(arriving)])]


def latest(changes: list[Change]) -> dict[Any, Change]:
    """The oracle, and what a caller does within one batch."""
    newest: dict[Any, Change] = {}
    for change in sorted(changes, key=lambda change: change[1]):
        newest[change[0]] = change
    return newest


def batch(key: tuple[str, ...], changes: list[Change]) -> pa.Table:
    records = [
        {**dict(zip(key, values, strict=True)), "v": value, "_sequence_number": number, "_deleted": deleted}
        for values, number, value, deleted in latest(changes).values()
    ]
    return rows(schema_of(key), *records)


BY_VALUE = (("v", "bucket[2]"),)


@pytest.mark.parametrize(
    ("key", "partition_by"),
    [
        pytest.param(("text",), (), marks=pytest.mark.slow),
        pytest.param(("whole",), (), marks=pytest.mark.slow),
        pytest.param(("decimal",), (), marks=pytest.mark.slow),
        pytest.param(("bytes",), (), marks=pytest.mark.slow),
        (("text", "decimal"), ()),
        pytest.param(("text",), BY_VALUE, marks=pytest.mark.slow),
        (("bytes", "whole", "text"), BY_VALUE),
    ],
    ids=["text", "whole", "decimal", "bytes", "two columns", "partitioned", "three columns, partitioned"],
)
def test_any_delivery_of_a_log_gives_the_same_table(
    lake: Lake, key: tuple[str, ...], partition_by: tuple[tuple[str, str], ...]
) -> None:
    examples = 12 if lake.settings.catalog == "sqlite" else 3

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(deliveries(key))
    def check(delivery: tuple[list[Change], list[list[Change]]]) -> None:
        log, batches = delivery
        table = lake.ensure("silver", f"t{next(_names)}", schema_of(key), key=key, partition_by=partition_by)
        for changes in batches:
            staged = merge(lake, table, batch(key, changes), key=key)
            assert staged.inserted + staged.updated + staged.superseded + staged.unchanged == len(latest(changes))
        expected = [(*values, value, sequence(number), gone) for values, number, value, gone in latest(log).values()]
        columns = [*key, "v", "_sequence_number", "_deleted"]
        assert read(lake, table, columns) == sorted(expected, key=repr)
        snapshots = len(table.snapshots())
        for changes in reversed(batches):
            assert not merge(lake, table, batch(key, changes), key=key).changed, "a replay changes nothing"
        assert len(table.snapshots()) == snapshots

    check()
