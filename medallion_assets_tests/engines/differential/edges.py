"""The table that the corpus is asked over: a column of every type with the values at its edges, and nulls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from medallion_assets.contracts.types import ColumnType, parse_type

TABLE: Final = "t"
KEYS: Final = {TABLE: ["id"]}

ROW_COUNT: Final = 18


def _times(*texts: str | None) -> list[datetime | None]:
    return [None if one is None else datetime.fromisoformat(one).replace(tzinfo=UTC) for one in texts]


def _days(*texts: str | None) -> list[date | None]:
    return [None if one is None else date.fromisoformat(one) for one in texts]


def _decimals(*texts: str | None) -> list[Decimal | None]:
    return [None if one is None else Decimal(one) for one in texts]


_VALUES: Final[dict[str, tuple[str, Sequence[Any]]]] = {
    "id": ("int", range(1, ROW_COUNT + 1)),
    "g": ("int", [1, 1, 1, 1, 1, 1, 2, None, 4, 2, 2, 3, 3, 3, None, None, 4, 4]),
    "i": ("int", [0, 1, -1, 2, 3, None, 7, -7, 10, 2147483647, -2147483648, 5, 15, -15, 25, 45, 100, None]),
    "n": (
        "bigint",
        [
            0,
            1,
            -1,
            None,
            7,
            -7,
            10,
            9223372036854775807,
            -9223372036854775808,
            1767225600,
            -1,
            15,
            99,
            1774745999,
            3600,
            2,
            1000000007,
            None,
        ],
    ),
    "d": (
        "decimal(12,2)",
        _decimals(
            "0", "0.01", "-0.01", None, "1.00", "2.50", "-2.50", "0.50", "9999999999.99", "-9999999999.99", "10.05"
        )
        + _decimals("3.33", "7.00", "0.99", "-0.50", "1.00", "100.00", None),
    ),
    "e": (
        "decimal(3,3)",
        _decimals("0.125", "-0.125", "0", None, "0.999", "-0.999", "0.001", "-0.001", "0.500", "0.005", "0.050")
        + _decimals("0.100", "0.010", "0.250", "-0.500", "0.333", "0.667", None),
    ),
    "w": (
        "decimal(38,10)",
        _decimals("0", "1", "-1", None, "1234567890123456789012345678.0123456789", "-0.0000000001", "0.5", "2.5", "3")
        + _decimals("99999999999999999999.99", "0.3333333333", "-7.7", "1000000", "10", "-2.5", "42", "0.1", None),
    ),
    "f": (
        "double",
        [
            0.0,
            0.005,
            1.005,
            -2.5,
            2.5,
            None,
            0.1,
            123456789.125,
            1e-07,
            0.30000000000000004,
            -0.005,
            1000000000000000.0,
            4.0,
            2.0,
            1.5,
            3.5,
            -1e-05,
            100.0,
        ],
    ),
    "s": (
        "string",
        [
            "",
            "a",
            " a b ",
            None,
            "äöü Straße",
            "🦆x",
            "a-b--c",
            "12",
            " 12 ",
            "1.50",
            "-0.005",
            "1e2",
            "2026-01-31",
            "2026-02-30",
            "x%_y\\z",
            "line\nline\n",
            "\tTab\u3000",
            "ABC-00123",
        ],
    ),
    "u": (
        "string",
        [
            "b",
            "",
            "x",
            "y",
            None,
            "-",
            "b",
            "+7",
            "-0",
            "0.5",
            ".5",
            "5.",
            "abc",
            "TRUE",
            "f",
            "2026-3-5",
            "9" * 20,
            "1",
        ],
    ),
    "b": (
        "bool",
        [True, False, None, True, False, True, True, False, None, True, True, False, True, False] + [True] * 4,
    ),
    "day": (
        "date",
        _days("0001-01-01", "1969-12-31", "1970-01-01", None, "2024-02-29", "2026-01-31", "2026-03-29", "2026-10-25")
        + _days("2026-12-31", "9999-12-31", "2025-02-28", "2026-02-28", "2026-03-31", "2027-01-01", "2021-01-03")
        + _days("2026-07-01", "1900-02-28", None),
    ),
    "day2": (
        "date",
        _days("2026-01-01", "1970-01-01", "1969-12-31", "2026-01-01", "2025-02-28", "2026-02-28", "2026-10-25", None)
        + _days("2024-02-29", "0001-01-01", "2024-02-29", "2026-01-31", "2026-02-28", "2026-12-31", "2021-01-04")
        + _days("2026-07-31", "2000-02-29", None),
    ),
    "ts": (
        "timestamp",
        _times("1970-01-01T00:00", "1969-12-31T23:59:59.999999", "2026-03-29T00:59:59.500500", None, "2026-03-29T01:00")
        + _times("2026-10-25T00:30", "2026-10-25T01:30", "2026-10-24T22:30:15.1235", "2026-01-31T23:59:59.9995")
        + _times(
            "2024-02-29T12:00", "9999-12-31T10:59:59.999999", "1900-01-01T00:00:00.000001", "2026-06-30T21:59:59.999"
        )
        + _times("2026-12-31T23:00", "2026-03-08T09:59", "2026-11-01T05:30", "2026-01-01T00:00:00.0005", None),
    ),
    "ts2": (
        "timestamp",
        _times(
            "1970-01-01T00:00:01", "1970-01-01T00:00", "2026-03-29T01:00", "2026-01-01T00:00", "2026-10-25T01:00:00.4"
        )
        + _times("2026-10-25T01:30", "2026-10-25T00:30", "2026-10-25T22:30", "2026-02-28T23:59:59.9994", None)
        + _times("2026-01-01T00:00", "1969-12-31T00:00", "2026-07-01T00:00", "2027-01-01T00:00", "2026-03-09T09:59")
        + _times("2026-11-02T05:30", "2025-12-31T23:59:59.9996", None),
    ),
    "l": (
        "list<string>",
        [
            ["a", "b"],
            [],
            None,
            ["b", None],
            ["x"],
            [""],
            [None],
            ["a", "a"],
            ["ä"],
            ["b", "a", "c"],
            ["a"],
            ["c"],
            ["d"],
            ["e"],
            ["a", "", None],
            ["1"],
            ["2"],
            ["3"],
        ],
    ),
    "li": (
        "list<int>",
        [
            [1, 2, 3],
            [],
            None,
            [None],
            [7, None],
            [-1],
            [2147483647],
            [5, 5],
            [10],
            [0],
            [1],
            [2],
            [3],
            [4],
            [5],
            [6],
            [7],
            [8],
        ],
    ),
    "lp": (
        "list<struct<a:int,b:string>>",
        [[{"a": 1, "b": "x"}, {"a": 2, "b": None}], [], None, [{"a": None, "b": None}], [{"a": 3, "b": "y"}]]
        + [[{"a": at, "b": "z"}] for at in range(13)],
    ),
    "m": (
        "map<int>",
        [{"a": 1, "b": 2}, {}, None, {"a": None}, {"": 5}, {"b": 7}, {"x": 1}, {"a": -1}]
        + [{"k": at} for at in range(10)],
    ),
    "r": (
        "struct<a:int,b:string>",
        [{"a": 1, "b": "x"}, {"a": None, "b": None}, None] + [{"a": at, "b": "q"} for at in range(15)],
    ),
    "j": (
        "json",
        [
            '{"a":1.10,"b":"x","c":{"d":[1,2,{"e":"f"}]}}',
            '{"a":1e5,"b":null}',
            "[]",
            None,
            '{"a":12345678901234567890123,"b":true}',
            '{"a":0.12345678901234567891,"b":false,"c":{}}',
            '"text"',
            "12.50",
            '{"b":"1,2:3","a":"say \\"5\\" \\u00e4"}',
            '{"a":-0,"c":{"d":[]}}',
            "[1,[2],3]",
            '{"a b":{"c":1}}',
            "null",
            "true",
            '{"a":1E+30}',
            '{"b":"\\\\","a":3}',
            '{"A":1}',
            '{"a":[1]}',
        ],
    ),
}

COLUMNS: Final[dict[str, ColumnType]] = {name: parse_type(kind) for name, (kind, _) in _VALUES.items()}


def edge_rows() -> pa.Table:
    """Return the rows of the table, with the columns that the lake has."""
    arrays = {
        name: pa.array(
            [list(one.items()) if isinstance(one, dict) and kind.startswith("map") else one for one in values],
            COLUMNS[name].arrow(),
        )
        for name, (kind, values) in _VALUES.items()
    }
    return pa.table(arrays)
