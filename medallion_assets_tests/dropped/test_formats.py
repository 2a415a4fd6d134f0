"""Rows of random tables come back equal in Silver, whichever format they are written in.

Writers are Python's csv and json, and pyarrow: what a person's tools have. The row that is expected is the value that
was written, not what any of our decoders makes of it.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets_tests.dropped.folder import folder_on_files
from medallion_assets_tests.silver.changes import contract

_TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
_TYPES: Final = {
    "string": _TEXTS,
    "bool": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "decimal(38,9)": st.decimals(-(10**28), 10**28, places=9).map(lambda one: one + 0),
    "double": st.floats(allow_nan=False, allow_infinity=False, min_value=-1e120, max_value=1e120).map(
        lambda one: one if abs(one) > 1e-120 else 0.0
    ),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    "binary": st.binary(min_size=1, max_size=6),
    "list<bigint>": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    "set<string>": st.lists(_TEXTS, min_size=1, max_size=3, unique=True).map(sorted),
    "map<decimal(38,9)>": st.dictionaries(_TEXTS, st.decimals(-9, 9, places=9).map(lambda one: one + 0), max_size=2),
    "struct<A:string,B:list<int>>": st.fixed_dictionaries({"a": _TEXTS, "b": st.lists(st.integers(-9, 9), max_size=2)}),
}

Table = tuple[dict[str, str], list[dict[str, Any]]]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Return columns, and rows by lake name; a value may be missing."""
    types = draw(st.lists(st.sampled_from(sorted(_TYPES)), min_size=1, max_size=6))
    columns = {"Id": "string"} | {f"Column {number}": type_ for number, type_ in enumerate(types)}
    keys = draw(st.lists(_TEXTS.filter(bool), max_size=5, unique=True))
    rows = [
        {"id": key} | {f"column_{number}": draw(st.none() | _TYPES[type_]) for number, type_ in enumerate(types)}
        for key in keys
    ]
    return columns, rows


def attribute(name: str) -> str:
    return {"id": "Id"}.get(name, name.replace("column_", "Column "))


def plain(value: Any, type_: ColumnType) -> Any:
    """Return a value as JSON has it; a decimal is a text that json_text unquotes."""
    match value:
        case Decimal():
            return f"<{value:f}>"
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case dict() if type_.kind == "struct":
            return {"A": value["a"], "B": value["b"]}
        case dict():
            return {name: plain(one, type_) for name, one in value.items()}
        case _:
            return value


def json_text(value: Any, type_: ColumnType) -> str:
    """Return JSON whose decimals have all their digits. Texts are escaped, so that none of them looks like one."""
    text = json.dumps(_escaped(plain(value, type_)))
    return text.replace('"<', "").replace('>"', "").replace("\\\\u003c", "\\u003c").replace("\\\\u003e", "\\u003e")


def _escaped(value: Any) -> Any:
    """Return a value whose texts have no < or >, but for those around decimals."""
    if isinstance(value, str):
        decimal = value[:1] == "<" and value[-1:] == ">" and value[1:-1].replace("-", "").replace(".", "").isdecimal()
        return value if decimal else value.replace("<", "(").replace(">", ")")
    if isinstance(value, dict):
        return {_escaped(name): _escaped(one) for name, one in value.items()}
    return [_escaped(one) for one in value] if isinstance(value, list) else value


def to_csv(columns: dict[str, str], rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NOTNULL) if hasattr(csv, "QUOTE_NOTNULL") else csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value, parse_type(columns[attribute(name)])) for name, value in row.items()])
    return out.getvalue().encode()


def _cell(value: Any, type_: ColumnType) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value)
        case float():
            return repr(value)
        case list() | dict():
            return json_text(value, type_)
        case Decimal():
            return f"{value:f}"
        case _:
            return str(plain(value, type_))


def to_json(columns: dict[str, str], rows: list[dict[str, Any]]) -> bytes:
    lines = []
    for row in rows:
        parts = [
            f"{json.dumps(attribute(name))}: {json_text(value, parse_type(columns[attribute(name)]))}"
            for name, value in row.items()
        ]
        lines.append("{" + ", ".join(parts) + "}\n")
    return "".join(lines).encode()


def to_parquet(columns: dict[str, str], rows: list[dict[str, Any]]) -> bytes:
    arrays = {}
    for name, text in columns.items():
        type_ = parse_type(text)
        values = [row[key] for row in rows for key in row if attribute(key) == name]
        if type_.kind == "struct":
            made = pa.struct([("A", pa.string()), ("B", pa.list_(pa.int32()))])
            arrays[name] = pa.array([one and {"A": one["a"], "B": one["b"]} for one in values], made)
        else:
            made = type_.arrow()
            given = [list(one.items()) if isinstance(one, dict) else one for one in values]
            arrays[name] = pa.array(given, made)
    out = io.BytesIO()
    pq.write_table(pa.table(arrays), out)
    return out.getvalue()


def expected(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the rows by key as Silver returns them: maps as pairs that are sorted by name."""
    return {
        row["id"]: {
            name: sorted(value.items()) if isinstance(value, dict) and set(value) != {"a", "b"} else value
            for name, value in row.items()
        }
        for row in rows
    }


@pytest.mark.slow  # each example has a lake of its own
@pytest.mark.parametrize("ending", ["csv", "json.gz", "parquet"])
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(table=tables())
def test_rows_come_back_equal(ending: str, table: Table) -> None:
    columns, rows = table
    rows = [
        {name: _escaped(value) if not isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]
    rows = list({row["id"]: row for row in rows}.values())
    if ending == "csv":  # before Python 3.12, csv writes nothing and an empty text alike
        rows = [{name: None if value == "" else value for name, value in row.items()} for row in rows]
    written = {"csv": to_csv, "json.gz": to_json, "parquet": to_parquet}[ending](columns, rows)
    given_columns = contract("Anything", columns, key="Id", files="older")
    with tempfile.TemporaryDirectory() as name, folder_on_files(Path(name), given_columns) as folder:
        content = gzip.compress(written) if ending == "json.gz" and written else written
        if not content:
            return
        taken = folder.load(f"a.{ending}", content)
        assert taken.first_fault is None, folder.report()
        assert {key: _sorted(row) for key, row in folder.rows().items()} == expected(rows)


def _sorted(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value
        for name, value in row.items()
    }
