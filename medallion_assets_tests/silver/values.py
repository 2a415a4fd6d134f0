"""Hypothesis strategies: DynamoDB values as streams send them, column types, and values that fit a type or nearly."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from medallion_assets.contracts.types import ColumnType, parse_type

Tagged = dict[str, Any]

texts = st.text(max_size=8)
blobs = st.binary(min_size=1, max_size=6).map(lambda raw: base64.b64encode(raw).decode())


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number's text: up to 38 digits, exponents from -130 to 125, plain or with an exponent, zeros left in or not."""
    if draw(st.booleans()):
        return str(draw(st.sampled_from([0, 1, -1, 2**31, 2**31 - 1, -(2**31), 2**63, 2**63 - 1, -(2**63), 10**37])))
    digits = (
        draw(st.text("0123456789", min_size=1, max_size=draw(st.sampled_from([1, 2, 4, 12, 38])))).lstrip("0") or "0"
    )
    sign = draw(st.sampled_from(["", "-"]))
    power = draw(st.one_of(st.integers(-6, 6), st.integers(-130, 125 - len(digits))))
    if draw(st.booleans()):
        mantissa = digits[0] + ("." + digits[1:] if digits[1:] else "")
        exponent = power + len(digits) - 1
        return f"{sign}{mantissa}{draw(st.sampled_from('Ee'))}{exponent:{draw(st.sampled_from(['', '+']))}}"
    if power >= 0:
        return sign + (digits + "0" * power if digits != "0" else "0")
    padded = digits.rjust(1 - power, "0")
    return f"{sign}{padded[:power]}.{padded[power:]}"


moments = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
    st.datetimes(
        min_value=datetime.fromisoformat("1970-01-01"),
        max_value=datetime.fromisoformat("2100-01-01"),
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    ).map(lambda at: at.isoformat()),
    st.sampled_from(
        [
            "2026-01-26T10:30:00Z",
            "2026-01-26T10:30:00.123456Z",
            "2026-01-26T10:30:00.1234567Z",
            "2026-01-26T10:30:00.1234560Z",
            "2026-01-26T10:30:00.5+0530",
            "2026-01-26T10:30:00",
            "2026-01-26 10:30:00Z",
            "2026-01-26T10:30Z",
            "2026-01-26T24:00:00Z",
            "2026-01-26T10:60:00Z",
            "2026-01-26T10:30:60Z",
            "2026-02-30T10:30:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00Z",
            "2026-01-26T10:30:00z",
            "2026-01-26",
        ]
    ),
)
days = st.one_of(
    st.dates(max_value=date(9999, 12, 31)).map(date.isoformat),
    st.sampled_from(
        ["2024-02-30", "2024-2-3", "0000-01-01", "24-01-01", "2024-02-29", "2024-01-01T00:00:00Z", "", " 2024-01-01"]
    ),
)

_LEAVES = st.one_of(
    texts.map(lambda value: {"S": value}),
    numbers().map(lambda value: {"N": value}),
    st.booleans().map(lambda value: {"BOOL": value}),
    blobs.map(lambda value: {"B": value}),
    st.just({"NULL": True}),
    st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda value: {"SS": value}),
    st.lists(numbers(), min_size=1, max_size=3, unique=True).map(lambda value: {"NS": value}),
    st.lists(blobs, min_size=1, max_size=3, unique=True).map(lambda value: {"BS": value}),
)

anything: st.SearchStrategy[Tagged] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda value: {"L": value}),
        st.dictionaries(texts, inner, max_size=3).map(lambda value: {"M": value}),
    ),
    max_leaves=5,
)

_SCALARS = [
    *("string", "bool", "int", "bigint", "decimal(12,2)", "decimal(38,0)", "decimal(38,37)", "decimal(38,19)"),
    *("double", "date", "timestamp", "binary", "json"),
]
_SETS = ["string", "int", "bigint", "decimal(12,2)", "decimal(38,0)", "double", "binary"]

types: st.SearchStrategy[ColumnType] = st.recursive(
    st.one_of(st.sampled_from(_SCALARS), st.sampled_from(_SETS).map("set<{}>".format)),
    lambda inner: st.one_of(
        inner.map("list<{}>".format),
        inner.map("map<{}>".format),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: "struct<" + ",".join(f"{'ABC'[at]}x:{part}" for at, part in enumerate(parts)) + ">"
        ),
    ),
    max_leaves=3,
).map(parse_type)


def fitting(type_: ColumnType) -> st.SearchStrategy[Tagged]:
    """Values with the tags of the type, numbers and texts that often fit it; now and then any value at all."""
    return st.one_of(_with_tags(type_), _with_tags(type_), _with_tags(type_), st.just({"NULL": True}), anything)


def _with_tags(type_: ColumnType) -> st.SearchStrategy[Tagged]:
    number = st.one_of(st.integers(-1000, 1000).map(str), st.decimals(-999, 999, places=2).map(str), numbers())
    if type_.element is not None:
        element = type_.element
        if type_.kind == "list":
            return st.lists(fitting(element), max_size=3).map(lambda value: {"L": value})
        if type_.kind == "map":
            return st.dictionaries(texts, fitting(element), max_size=3).map(lambda value: {"M": value})
        members = {"string": (texts, "SS"), "binary": (blobs, "BS")}.get(element.kind, (number, "NS"))
        return st.lists(members[0], min_size=1, max_size=3, unique=True).map(lambda value: {members[1]: value})
    match type_.kind:
        case "struct":
            parts = {attribute: fitting(field) for attribute, _, field in type_.fields}
            return st.fixed_dictionaries({}, optional=parts).map(lambda value: {"M": value})
        case "json":
            return anything
        case "string":
            return st.one_of(texts.map(lambda value: {"S": value}), numbers().map(lambda value: {"N": value}))
        case "bool":
            return st.booleans().map(lambda value: {"BOOL": value})
        case "binary":
            return blobs.map(lambda value: {"B": value})
        case "date":
            return days.map(lambda value: {"S": value})
        case "timestamp":
            return moments.map(lambda value: {"S": value})
        case _:
            return number.map(lambda value: {"N": value})
