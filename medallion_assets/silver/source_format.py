"""DuckDB SQL that reads the value of a column whose contract says how it is written at the source.

Each format is brought into DynamoDB's own writing of the type or straight to a value, and what is not exactly of the
format is null. The formats of one column exclude each other (contracts.source_format), so their values are coalesced.

Belongs here: one value in a format, and the part of a composite text. Does not belong here: values that are written in
DynamoDB's own types (attribute_value), rows (decode).

- A number written as text has at most MAX_NUMBER_CHARACTERS characters, and the form of DynamoDB's own numbers.
- `fraction: cut` drops the digits of a number that its type does not have, and those of a time after the microsecond,
  so that a time becomes the earlier one. `round` goes to the nearest; of two that are equally near to the number away
  from zero, and to the later time.
- A local time that a change of the clock repeats is the first of the two; one that it leaves out does not fit.
- Of a column in epoch_seconds and epoch_millis, the number shows which: both are read for times from
  1973-03-03T09:46:40Z, before 2100 only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from medallion_assets.contracts.model import Column
from medallion_assets.contracts.rule_value import TypedValue
from medallion_assets.contracts.source_format import MAX_NUMBER_CHARACTERS, truth_words
from medallion_assets.contracts.time_pattern import TimePattern, Token, parse_pattern
from medallion_assets.contracts.time_zone import UTC
from medallion_assets.contracts.types import ColumnType
from medallion_assets.lake.duck import literal, timestamp_literal
from medallion_assets.silver.attribute_value import scalar, sql_number, surely_fits

# Scalar macros beside those of attribute_value. A lambda over a list with one element binds it once.
MACROS: Final = rf"""
CREATE OR REPLACE TEMP MACRO written_number(s) AS CASE WHEN strlen(s) <= {MAX_NUMBER_CHARACTERS} THEN s END;
CREATE OR REPLACE TEMP MACRO number_cut(n, digits) AS
    CASE WHEN number_scale(n) > digits THEN left(n, instr(n, '.') + digits - (digits = 0)::INTEGER) ELSE n END;
CREATE OR REPLACE TEMP MACRO number_rest(n, digits) AS
    CASE WHEN contains(n, '.') THEN rtrim(substr(n, instr(n, '.') + digits + 1), '0') ELSE '' END;
CREATE OR REPLACE TEMP MACRO epoch_time(us) AS
    CASE WHEN us BETWEEN -62135596800000000 AND 253402300799999999 THEN make_timestamptz(us) END;
CREATE OR REPLACE TEMP MACRO told_apart(t) AS
    CASE WHEN t >= TIMESTAMPTZ '1973-03-03T09:46:40Z' AND t < TIMESTAMPTZ '2100-01-01T00:00:00Z' THEN t END;
CREATE OR REPLACE TEMP MACRO day_before(t) AS make_timestamptz(epoch_us(t) - 90000000000);
CREATE OR REPLACE TEMP MACRO local_time(naive, zone) AS list_transform([naive],
    lambda t: list_transform([timezone(zone, t)],
    lambda c: CASE WHEN timezone(zone, c) <> t THEN NULL
        WHEN timezone(zone, day_before(c)) = t - INTERVAL 25 HOUR THEN within_years(c)
        ELSE list_transform([timezone('UTC', t - (timezone(zone, day_before(c)) - timezone('UTC', day_before(c))))],
            lambda e: within_years(CASE WHEN e < c AND timezone(zone, e) = t THEN e ELSE c END))[1] END)[1])[1];
CREATE OR REPLACE TEMP MACRO time_cut(s) AS regexp_replace(s, '(\.[0-9]{{6}})[0-9]+', '\1');
CREATE OR REPLACE TEMP MACRO time_rest(s) AS regexp_extract(s, '\.[0-9]{{6}}([0-9])', 1);
"""

_STRPTIME: Final = {
    "year": "%Y",
    "month": "%m",
    "day": "%d",
    "hour": "%H",
    "minute": "%M",
    "second": "%S",
    "fraction": "%f",
}


def structure(column: Column) -> dict[str, object]:
    """Return the structure, as JSON data, with which `json_transform` reads the column's attribute."""
    more = {"BOOL": "BOOLEAN"} if column.type.kind == "bool" else {}
    return {"NULL": "BOOLEAN", "S": "VARCHAR", "N": "VARCHAR", **more}


def part(column: Column, av: str) -> str:
    """Return SQL of the text of a column that is a part of one; null if the whole text does not fit the template."""
    template = column.template
    if template is None:
        raise TypeError(f"{column.name} is no part of a text")
    at = next(at for at, name in enumerate(template.names, start=1) if name in {column.label, column.name})
    character = f"[^{re.escape(template.ends)}]" if template.ends else "."
    pattern = f"({character}+)".join(map(re.escape, template.texts))
    return f"nullif(regexp_extract({av}.S, {literal(f'(?s)^{pattern}$')}, {at}), '')"


def value(column: Column, av: str, *, removed: str, cut: str | None = None) -> str:
    """Return SQL of the column's value: null if there is none and no default, and if there is one that does not fit.

    `removed` is SQL of whether the row is a deletion, which has no default. `cut` is SQL of the result of `part`, for a
    column that is a part of a text.
    """
    decoded = _decoded(column, _Written(av, f"{av}.S", f"{av}.N") if cut is None else _Written(av, cut, None))
    if not column.empty_as_null and column.default is None:
        return decoded
    default = "NULL" if column.default is None else f"CASE WHEN NOT {removed} THEN {_literal(column)} END"
    return f"CASE WHEN {_is_missing(column, av)} THEN {default} ELSE {decoded} END"


def is_broken(column: Column, av: str, computed: str) -> str:
    """Return SQL of whether `av` has a value that does not fit; `computed` is SQL of the result of `value`."""
    return f"(NOT {_is_missing(column, av)} AND {computed} IS NULL)"


def _is_missing(column: Column, av: str) -> str:
    empty = f" OR coalesce({av}.S = '', FALSE)" if column.empty_as_null else ""
    return f'({av} IS NULL OR {av}."NULL" IS NOT NULL{empty})'


@dataclass(frozen=True)
class _Written:
    """SQL of a value as it is written: the AttributeValue, its text, and its number; None if it cannot be a number."""

    av: str
    text: str
    number: str | None

    @property
    def digits(self) -> str:
        """The number, or a text that may be one."""
        text = f"written_number({self.text})"
        return text if self.number is None else f"coalesce({self.number}, {text})"


def _decoded(column: Column, written: _Written) -> str:
    type_, formats = column.type, column.formats
    match type_.kind:
        case "string":
            return written.text if written.number is None else f"coalesce({written.text}, {written.number})"
        case "bool":
            return _first([_truth(written, one) for one in formats])
        case "date":
            return _first([_day(written, one) for one in formats])
        case "timestamp":
            return _first([_time(column, written, one) for one in formats])
        case _:
            raws = {"number": written.number, "text": f"written_number({written.text})"}
            return _number(type_, _first([str(raws[one]) for one in formats]), column.fraction)


def _first(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _number(type_: ColumnType, raw: str, fraction: str) -> str:
    if type_.kind == "double":
        return f"list_transform([{scalar(type_, raw)}], lambda d: CASE WHEN isfinite(d) THEN d END)[1]"
    if fraction == "refuse":
        return scalar(type_, raw)
    cast = sql_number(type_)
    # DuckDB's cast rounds, of two that are equally near to the one away from zero.
    kept = f"number_cut(n, {type_.scale})" if fraction == "cut" else f"TRY_CAST(n AS DECIMAL(38, {type_.scale}))"
    slow = f"list_transform([number_text({raw})], lambda n: TRY_CAST({kept} AS {cast}))[1]"
    return f"CASE WHEN {surely_fits(type_, raw)} THEN {raw}::{cast} ELSE {slow} END"


def _truth(written: _Written, format_: str) -> str:
    if format_ == "bool":
        return f"{written.av}.BOOL"
    if format_ == "number":
        return f"CASE {scalar(ColumnType(kind='int'), str(written.number))} WHEN 1 THEN TRUE WHEN 0 THEN FALSE END"
    true, false = (", ".join(map(literal, sorted(words))) for words in truth_words(format_))
    word = f"lower({written.text})"
    truth = f"CASE WHEN {word} IN ({true}) THEN TRUE WHEN {word} IN ({false}) THEN FALSE END"
    # Some characters outside of ASCII have an ASCII letter as their lower case.
    return f"CASE WHEN strlen({written.text}) = length({written.text}) THEN {truth} END"


def _day(written: _Written, format_: str) -> str:
    if format_ == "iso":
        return scalar(ColumnType(kind="date"), written.text)
    if format_ == "epoch_days":
        day = "CASE WHEN d BETWEEN -719162 AND 2932896 THEN DATE '1970-01-01' + d END"
        return f"list_transform([{scalar(ColumnType(kind='int'), written.digits)}], lambda d: {day})[1]"
    return f"{_parsed(parse_pattern(format_), written.text)}::DATE"


def _time(column: Column, written: _Written, format_: str) -> str:
    if format_ == "iso":
        return _iso(column, written.text)
    if format_ not in {"epoch_seconds", "epoch_millis"}:
        return f"local_time({_parsed(parse_pattern(format_), written.text)}, {literal(column.zone or UTC)})"
    time = _epoch(written.digits, 6 if format_ == "epoch_seconds" else 3, column.fraction)
    return f"told_apart({time})" if {"epoch_seconds", "epoch_millis"} <= set(column.formats) else time


def _epoch(raw: str, digits: int, fraction: str) -> str:
    """Return SQL of the time that a number of units since 1970 is; `digits` after the point are microseconds."""
    unit = 10**digits
    whole = f"regexp_full_match({raw}, '-?[0-9]{{1,{17 - digits}}}')"
    # Negative numbers go to the earlier time, too, so what is cut off may take away one more.
    more = {
        "refuse": "0",
        "cut": f"-(starts_with(n, '-') AND number_rest(n, {digits}) <> '')::BIGINT",
        "round": f"CASE WHEN starts_with(n, '-') THEN -(number_rest(n, {digits}) > '5')::BIGINT "
        f"ELSE (number_rest(n, {digits}) >= '5')::BIGINT END",
    }[fraction]
    micros = f"TRY_CAST(TRY_CAST(number_cut(n, {digits}) AS DECIMAL(20, {digits})) * {unit} AS BIGINT) + {more}"
    time = f"list_transform([{micros}], lambda us: epoch_time(us))[1]"
    if fraction == "refuse":
        time = f"CASE WHEN number_scale(n) <= {digits} THEN {time} END"
    slow = f"list_transform([number_text({raw})], lambda n: {time})[1]"
    return f"CASE WHEN {whole} THEN epoch_time({raw}::BIGINT * {unit}) ELSE {slow} END"


def _iso(column: Column, text: str) -> str:
    if column.fraction == "refuse":
        return _iso_time(column.zone, text)
    later = "(time_rest(s) >= '5')::INTEGER" if column.fraction == "round" else "0"
    longer = f"within_years({_iso_time(column.zone, 'time_cut(s)')} + to_microseconds({later}))"
    slow = f"list_transform([{text}], lambda s: {longer})[1]"
    return f"CASE WHEN time_rest({text}) = '' THEN {_iso_time(column.zone, text)} ELSE {slow} END"


def _iso_time(zone: str | None, text: str) -> str:
    if zone is None:
        return f"exact_timestamp({text})"
    local = f"local_time(make_timestamp(epoch_us(exact_timestamp({text} || 'Z'))), {literal(zone)})"
    return f"coalesce(exact_timestamp({text}), {local})"


def _parsed(pattern: TimePattern, text: str) -> str:
    """Return SQL of the local TIMESTAMP that a text is by a pattern."""
    shape = "".join(_shape(token) for token in pattern.tokens)
    format_ = "".join(_STRPTIME[token.field] if token.field else token.text for token in pattern.tokens)
    time = f"try_strptime({text}, {literal(format_)})"
    there = f"list_transform([{time}], lambda p: CASE WHEN p >= TIMESTAMP '0001-01-01' THEN p END)[1]"
    return f"CASE WHEN regexp_full_match({text}, {literal(shape)}) THEN {there} END"


def _shape(token: Token) -> str:
    return f"[0-9]{{{token.digits[0]},{token.digits[-1]}}}" if token.field else re.escape(token.text)


def _literal(column: Column) -> str:
    """Return a column's default as SQL."""
    default: TypedValue | None = column.default_value
    match default:
        case str():
            return literal(default)
        case datetime():
            return f"{timestamp_literal(default)}::TIMESTAMPTZ"
        case date():
            return f"DATE '{default.isoformat()}'"
        case Decimal():
            return f"'{default:f}'::{sql_number(column.type)}"
        case bool():
            return str(default).upper()
        case _:
            return f"'{default!r}'::{column.type}"
