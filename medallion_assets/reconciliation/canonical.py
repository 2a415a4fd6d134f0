"""The canonical text of a value: equal values have equal texts, whether DynamoDB sent them or the lake stores them.

The two sides are compared by hashes of these texts. Each side makes the text in its own way: text from the source is
normalized without reading it as a type of the lake; a typed value of the lake is formatted. No code is shared with
`silver.decode`, so a value that the decoder reads wrongly shows as a difference.

Belongs here: one value. Does not belong here: rows and hashes (fingerprints). SQL makes the texts of scalars, and of
lists and sets of scalars. What it has no canonical form for (nested values, numbers with exponents, times with offsets,
wrong type tags) becomes the mark ODD and the raw value; `canonical_format.source_text` and `lake_text` make these texts
in Python.

If equal values had different texts, that would only cost time: the comparison row by row then finds no difference. If
different values had equal texts, a difference would stay hidden: that must never happen.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, Final

import orjson

from medallion_assets.contracts.types import TAGS, ColumnType

ODD: Final = "\x01"
"""The mark before a raw value that Python still has to turn into text."""

MISFIT: Final = "\x02"
"""The mark before a raw value that is none of its type."""

_EXACT: Final = Context(prec=300)
_PLAIN_NUMBER: Final = r"0(\.0+)?|-?(0\.0*[1-9][0-9]*|[1-9][0-9]*(\.[0-9]+)?)"
"""A number without an exponent; not `-0`, which is 0."""
_UTC_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%f"
"""The text of a time in UTC."""


def in_sql(type_: ColumnType) -> bool:
    """Return whether SQL makes the texts of nearly all values of the type, on both sides."""
    if type_.element is not None:
        return type_.kind in {"list", "set"} and type_.element.kind in TAGS
    return type_.kind in TAGS


def shape(type_: ColumnType) -> object:
    """Return the structure, as JSON data, with which `json_transform` reads an AttributeValue for `source_sql`."""
    tags: dict[str, object] = {"NULL": "BOOLEAN"}
    if not in_sql(type_):
        return "JSON"
    if type_.element is None:
        tags |= dict.fromkeys(TAGS[type_.kind], "VARCHAR")
    elif type_.kind == "list":
        tags["L"] = [shape(type_.element)]
    else:
        tags |= {f"{tag}S": ["VARCHAR"] for tag in TAGS[type_.element.kind]}
    return tags


def source_sql(type_: ColumnType, tagged: str, raw: str) -> str:
    """Return SQL of the text of a value read with `shape`: null for a missing value and for NULL.

    A value that Python has to convert becomes ODD and `raw`. `raw` is SQL of the AttributeValue as JSON text; it is
    computed for such values only.
    """
    if not in_sql(type_):
        there = f"{tagged} IS NOT NULL AND NOT json_exists({tagged}, '$.NULL')"
        return f"CASE WHEN {there} THEN chr(1) || {tagged}::VARCHAR END"
    there = f'{tagged} IS NOT NULL AND {tagged}."NULL" IS NULL'
    return f"CASE WHEN {there} THEN coalesce({_source_text(type_, tagged)}, chr(1) || {raw}) END"


def lake_sql(type_: ColumnType, column: str) -> str:
    """Return SQL of the text of a stored value, for types that are `in_sql` and json; null for null."""
    if type_.kind == "json":
        return column
    if type_.element is None:
        return _lake_scalar(type_, column)
    texts = f"list_transform({column}, lambda e: {_lake_scalar(type_.element, 'e')})"
    return f"CASE WHEN {column} IS NOT NULL THEN to_json({_listed(type_, texts)})::VARCHAR END"


def typed_sql(type_: ColumnType, text: str) -> str:
    """Return SQL of the value, as the lake stores it, of a text that is not ODD; null if the text is no such value.

    For types that are `in_sql`, and json.
    """
    if type_.element is None:
        made = _typed_scalar(type_, text)
    else:
        listed = f"""from_json({text}, '["VARCHAR"]')"""
        made = f"list_transform({listed}, lambda e: {_typed_scalar(type_.element, 'e')})"
    return f"CASE WHEN NOT starts_with({text}, chr(2)) THEN {made} END"


def lake_text(type_: ColumnType, data: Any) -> str | None:
    """Return the text of a value of `reference_decoder`; the same text as `lake_sql` makes of the stored value."""
    if data is None:
        return None
    if type_.kind == "json":
        return str(data)
    if in_sql(type_):
        if type_.element is None:
            return str(_leaf(data))
        texts = [None if one is None else str(_leaf(one)) for one in data]
        data = sorted(texts, key=lambda text: (text is None, text)) if type_.kind == "set" else texts
    return _json(data)


def extra_text(extra: Mapping[str, Any] | None) -> str | None:
    """Return the text of an `_extra` with `reference_decoder.comparable` values."""
    return None if extra is None else _json(extra)


def as_data(type_: ColumnType, stored: Any) -> Any:
    """Return a value from Arrow in the form of `reference_decoder`: maps as dicts, sets sorted."""
    if stored is None:
        return None
    if type_.kind == "struct":
        return {name: as_data(inside, stored[name]) for _, name, inside in type_.fields}
    if type_.element is None:
        return stored
    if type_.kind == "map":
        return {name: as_data(type_.element, one) for name, one in stored}
    return (sorted if type_.kind == "set" else list)(as_data(type_.element, one) for one in stored)


def as_stored(type_: ColumnType, data: Any) -> Any:
    """Return data as Arrow takes it: the reverse of `as_data`."""
    if data is not None and type_.kind == "decimal":
        # Arrow refuses 0E11 for a decimal(12, 2): it counts the exponent as digits.
        return data.quantize(Decimal(1).scaleb(-(type_.scale or 0)), context=_EXACT)
    if data is None or (type_.element is None and type_.kind != "struct"):
        return data
    if type_.kind == "struct":
        return {name: as_stored(inside, data[name]) for _, name, inside in type_.fields}
    if type_.element is None:
        return data
    if type_.kind == "map":
        return [(name, as_stored(type_.element, one)) for name, one in data.items()]
    return [as_stored(type_.element, one) for one in data]


def with_bytes(tagged: Mapping[str, Any]) -> dict[str, Any]:
    """Return an AttributeValue of an answer's JSON in the form of boto3's client: binary as bytes."""
    ((tag, inside),) = tagged.items()
    match tag:
        case "B":
            return {tag: b64decode(inside)}
        case "BS":
            return {tag: [b64decode(one) for one in inside]}
        case "L":
            return {tag: [with_bytes(one) for one in inside]}
        case "M":
            return {tag: {name: with_bytes(one) for name, one in inside.items()}}
        case _:
            return dict(tagged)


def _source_text(type_: ColumnType, tagged: str) -> str:
    if type_.element is None:
        return source_scalar(type_, [f"{tagged}.{tag}" for tag in TAGS[type_.kind]])
    if type_.kind == "list":
        element = source_scalar(type_.element, [f"e.{tag}" for tag in TAGS[type_.element.kind]])
        texts = f"list_transform({tagged}.L, lambda e: {element})"
    else:
        members = "coalesce(" + ", ".join(f"{tagged}.{tag}S" for tag in TAGS[type_.element.kind]) + ")"
        texts = f"list_transform({members}, lambda e: {source_scalar(type_.element, ['e'])})"
    # A null element is NULL or odd: Python finds out which.
    text = f"CASE WHEN list_count(t) = len(t) THEN to_json({_listed(type_, 't')})::VARCHAR END"
    return f"list_transform([{texts}], lambda t: {text})[1]"


def source_scalar(type_: ColumnType, raws: list[str]) -> str:
    """Return SQL of the text of a scalar, of the texts of its tags, the usual one first; null if Python has to."""
    raw = raws[0]
    match type_.kind:
        case "string":
            return f"coalesce({', '.join(raws)})"
        case "int" | "bigint" | "decimal":
            trimmed = f"CASE WHEN contains({raw}, '.') THEN rtrim(rtrim({raw}, '0'), '.') ELSE {raw} END"
            return f"CASE WHEN regexp_full_match({raw}, '{_PLAIN_NUMBER}') THEN {trimmed} END"
        case "double":
            return f"(TRY_CAST({raw} AS DOUBLE) + 0)::VARCHAR"
        case "timestamp":
            part = f"CASE WHEN length({raw}) > 20 THEN substr({raw}, 21, length({raw}) - 21) ELSE '' END"
            padded = f"left({raw}, 19) || '.' || rpad({part}, 6, '0')"
            return f"CASE WHEN regexp_full_match({raw}, '{_UTC_TIME}') THEN {padded} END"
        case _:
            return raw


def _lake_scalar(type_: ColumnType, column: str) -> str:  # noqa: PLR0911 - one for each kind
    match type_.kind:
        case "string":
            return column
        case "decimal" if type_.scale:
            text = f"rtrim(rtrim({column}::VARCHAR, '0'), '.')"
            if type_.precision > type_.scale:
                return text
            # Without digits before the point DuckDB writes none, and nothing at all for zero.
            return f"CASE WHEN {column} = 0 THEN '0' ELSE regexp_replace({text}, '^(-?)\\.', '\\10.') END"
        case "double":
            return f"({column} + 0)::VARCHAR"
        case "binary":
            return f"to_base64({column})"
        case "timestamp":
            return f"strftime({column}, '{TIME_FORMAT}')"
        case _:
            return f"{column}::VARCHAR"


def _typed_scalar(type_: ColumnType, text: str) -> str:
    match type_.kind:
        case "string" | "json":
            return text
        case "decimal":
            return f"TRY_CAST({text} AS DECIMAL({type_.precision}, {type_.scale}))"
        case "binary":
            return f"TRY(from_base64({text}))"
        case "timestamp":
            return f"TRY_CAST({text} || 'Z' AS TIMESTAMPTZ)"
        case kind:
            return f"TRY_CAST({text} AS {kind})"


def _listed(type_: ColumnType, texts: str) -> str:
    return f"list_sort({texts})" if type_.kind == "set" else texts


def _json(data: Any) -> str:
    return orjson.dumps(_leaves(data), option=orjson.OPT_SORT_KEYS).decode()


def _leaves(data: Any) -> Any:
    match data:
        case dict():
            return {name: _leaves(one) for name, one in data.items()}
        case list() | tuple():
            return [_leaves(one) for one in data]
        case None | bool():
            return data
        case _:
            return _leaf(data)


def _leaf(data: Any) -> Any:  # noqa: PLR0911 - one for each kind
    match data:
        case bool():
            return str(data).lower()
        case datetime():
            return data.astimezone(UTC).strftime(TIME_FORMAT).rjust(26, "0")
        case int():
            return str(data)
        case Decimal():
            return _number(data)
        case bytes():
            return b64encode(data).decode()
        case float():
            return data
        case _:
            return str(data)


def _number(number: Decimal) -> str:
    if not number:
        return "0"
    return f"{number.normalize(_EXACT):f}"
