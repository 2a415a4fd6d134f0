"""The canonical text of a value whose contract says how it is written at the source.

SQL makes the texts of the usual values of each format; what is left becomes ODD and the raw value, as in `canonical`,
and `reference_format` reads it. No code is shared with `silver.source_format`.

Belongs here: a value as it is written. Does not belong here: the text of a stored value (canonical).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from medallion_assets.contracts.model import Column
from medallion_assets.contracts.source_format import MAX_NUMBER_CHARACTERS, truth_words
from medallion_assets.contracts.time_pattern import parse_pattern
from medallion_assets.lake.duck import literal
from medallion_assets.reconciliation import canonical
from medallion_assets.reconciliation.canonical import MISFIT, TIME_FORMAT, lake_text, source_scalar, with_bytes
from medallion_assets.reconciliation.reference_decoder import column_value
from medallion_assets.reconciliation.reference_format import Misfit

_UNITS: Final = {"epoch_seconds": (1_000_000, "[0-9]{1,11}"), "epoch_millis": (1_000, "[0-9]{1,14}")}
_TOLD_APART: Final = {"epoch_seconds": "[1-3][0-9]{9}", "epoch_millis": "[1-3][0-9]{12}"}
_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$")


def shape(column: Column) -> object:
    """Return the structure, as JSON data, with which `json_transform` reads the column's attribute for `source_sql`."""
    if column.is_usual:
        return canonical.shape(column.type)
    return dict.fromkeys(("NULL", "S", "N", "BOOL"), "VARCHAR")


def source_sql(column: Column, tagged: str, raw: str) -> str:
    """Return SQL of the text of a value read with `shape`, like `canonical.source_sql`."""
    if column.is_usual:
        return canonical.source_sql(column.type, tagged, raw)
    missing = f'{tagged} IS NULL OR {tagged}."NULL" IS NOT NULL'
    if column.empty_as_null:
        missing += f" OR coalesce({tagged}.S = '', FALSE)"
    default = lake_text(column.type, column.default_value)
    none = "NULL" if default is None else literal(default)
    return f"CASE WHEN {missing} THEN {none} ELSE coalesce({_text(column, tagged)}, chr(1) || {raw}) END"


def source_text(column: Column, raw: str) -> tuple[str | None, Any]:
    """Return (canonical text, value) of an AttributeValue given as JSON.

    If it does not fit the column, return a text that no valid value has, and None.
    """
    try:
        data = column_value(column, with_bytes(orjson.loads(raw)))
    except Misfit:
        return MISFIT + raw, None
    return lake_text(column.type, data), data


def _text(column: Column, tagged: str) -> str:
    text, number = (f"{tagged}.S", f"{tagged}.N") if column.part is None else (_part(column, tagged), "NULL::VARCHAR")
    short = f"CASE WHEN strlen({text}) <= {MAX_NUMBER_CHARACTERS} THEN {text} END"
    match column.type.kind:
        case "string":
            return f"coalesce({text}, {number})"
        case "bool":
            return _first([_truth(tagged, text, one) for one in column.formats])
        case "date":
            return _first([_day(text, f"coalesce({number}, {short})", one) for one in column.formats])
        case "timestamp":
            return _first(_times(column, text, f"coalesce({number}, {short})"))
        case _:
            digits = _first([number if one == "number" else short for one in column.formats])
            plain = source_scalar(column.type, [digits])
            return plain if column.fraction == "refuse" else f"CASE WHEN NOT contains({digits}, '.') THEN {plain} END"


def _first(texts: list[str]) -> str:
    return f"coalesce({', '.join([*texts, 'NULL::VARCHAR'])})"


def _part(column: Column, tagged: str) -> str:
    """Return SQL of the part of a text, by a pattern that has a group for each placeholder."""
    template = column.template
    if template is None:
        raise TypeError(f"{column.name} is no part of a text")
    piece = f"([^{_escaped(template.ends)}]+)" if template.ends else "((?s:.)+)"
    pattern = piece.join(_escaped(one) for one in template.texts)
    names = ", ".join(literal(f"p{at}") for at in range(len(template.names)))
    at = next(at for at, name in enumerate(template.names) if name in {column.label, column.name})
    fits = f"regexp_full_match({tagged}.S, {literal(pattern)})"
    return f"CASE WHEN {fits} THEN regexp_extract({tagged}.S, {literal(f'^{pattern}$')}, [{names}]).p{at} END"


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in _SPECIAL or one == "-" else one for one in text)


def _truth(tagged: str, text: str, format_: str) -> str:
    if format_ == "bool":
        return f"{tagged}.BOOL"
    if format_ == "number":
        return f"CASE {tagged}.N WHEN '1' THEN 'true' WHEN '0' THEN 'false' END"
    true, false = truth_words(format_)
    cases = [(word, truth) for words, truth in ((true, "true"), (false, "false")) for word in sorted(words)]
    whens = " ".join(f"WHEN {literal(word)} THEN '{truth}'" for word, truth in cases)
    return f"CASE WHEN regexp_full_match({text}, '[A-Za-z0-9_-]+') THEN CASE lower({text}) {whens} END END"


def _day(text: str, digits: str, format_: str) -> str:
    if format_ == "epoch_days":
        day = f"(DATE '1970-01-01' + {digits}::INTEGER)::VARCHAR"
        return f"CASE WHEN regexp_full_match({digits}, '[0-9]{{1,6}}') THEN {day} END"
    if format_ == "iso":
        return f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN {text} END"
    at, places, form = 1, {}, ""
    for token in parse_pattern(format_).tokens:
        width = token.digits[0] if token.digits else 1
        if len(token.digits) > 1:
            return "NULL::VARCHAR"
        places[token.field] = f"substr({text}, {at}, {width})"
        form += f"[0-9]{{{width}}}" if token.field else _escaped(token.text)
        at += width
    day = f"{places['year']} || '-' || {places['month']} || '-' || {places['day']}"
    return f"CASE WHEN regexp_full_match({text}, {literal(form)}) THEN {day} END"


def _times(column: Column, text: str, digits: str) -> list[str]:
    """Return SQL of the texts of times in UTC, and of whole numbers; Python reads all others."""
    made = [source_scalar(column.type, [text])] if "iso" in column.formats else []
    both = set(_UNITS) <= set(column.formats)
    for format_ in _UNITS.keys() & set(column.formats):
        unit, form = _UNITS[format_]
        form = _TOLD_APART[format_] if both else form
        time = f"strftime(make_timestamp({digits}::BIGINT * {unit}), '{TIME_FORMAT}')"
        made.append(f"CASE WHEN regexp_full_match({digits}, '{form}') THEN {time} END")
    return made
