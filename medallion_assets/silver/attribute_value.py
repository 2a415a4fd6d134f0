"""DuckDB SQL that turns a DynamoDB AttributeValue into a value of a column type.

DynamoDB JSON writes an AttributeValue as an object with one key, its type: `{"N": "79.99"}`. `json_transform` reads it
as a struct with one field per type. The functions here return SQL over such a struct, which is named `av` below. A
value that does not fit *exactly* is null, and `is_broken` is true for it: DuckDB's own casts round, and they read
`1E-2` as a DECIMAL(12,2) wrongly.

Belongs here: one value. Does not belong here: rows, an item's attribute names, rules (decode).

The AttributeValue types that each column type accepts. `NULL` is null for every column type; all others are broken.

- string [S, N]: the text; of a number, its text as DynamoDB sends it, digit for digit.
- int, bigint, decimal [N]: if the number fits without rounding. double [N]: the nearest double.
- bool [BOOL]; binary [B].
- date [S]: YYYY-MM-DD. timestamp [S]: YYYY-MM-DDThh:mm:ss, up to microseconds, with Z or an offset; years 1 to 9999.
- list [L], map [M], struct [M]: element by element; one broken element breaks the value. Attributes that a struct does
  not declare do not break it; `has_undeclared` is true for them, and `_extra` then keeps the whole attribute.
- set [SS, NS, BS]: a sorted list, because sets have no order.
- json [any]: the DynamoDB JSON itself; `silver.json_text` turns it into plain JSON.
"""

from __future__ import annotations

import json
from typing import Final

from medallion_assets.contracts.types import TAGS, ColumnType
from medallion_assets.lake.duck import literal

# Scalar macros that a connection needs before it runs the SQL from here. An exponent has at most three digits in
# DynamoDB (1E-130 to 9.99E+125), so an expanded number stays short. DuckDB pastes a macro's argument wherever the macro
# uses it, and planning takes longer the longer the text is; a lambda over a list with one element binds the argument
# once.
MACROS: Final = r"""
CREATE OR REPLACE TEMP MACRO number_pointed(digits, point) AS list_transform(
    [repeat('0', 1 - point) || digits || repeat('0', point - length(digits))],
    lambda d: left(d, greatest(point, 1)) || '.' || substr(d, greatest(point, 1) + 1))[1];
CREATE OR REPLACE TEMP MACRO number_text(n) AS CASE
    WHEN regexp_full_match(n, '-?[0-9]+(\.[0-9]+)?') THEN n
    WHEN regexp_full_match(n, '-?[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,3}') THEN list_transform(
        [regexp_extract(n, '(-?)([0-9]+)\.?([0-9]*)[eE]\+?(-?[0-9]+)', ['sign', 'whole', 'part', 'exponent'])],
        lambda p: p.sign || number_pointed(p.whole || p.part, length(p.whole) + p.exponent::INTEGER))[1] END;
CREATE OR REPLACE TEMP MACRO number_scale(n) AS
    CASE WHEN contains(n, '.') THEN length(rtrim(n, '0')) - instr(n, '.') ELSE 0 END;
CREATE OR REPLACE TEMP MACRO exact_date(s) AS
    CASE WHEN regexp_full_match(s, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND s >= '0001' THEN TRY_CAST(s AS DATE) END;
CREATE OR REPLACE TEMP MACRO within_years(t) AS
    CASE WHEN t >= TIMESTAMPTZ '0001-01-01T00:00:00Z' AND t <= TIMESTAMPTZ '9999-12-31T23:59:59.999999Z' THEN t END;
CREATE OR REPLACE TEMP MACRO exact_timestamp(s) AS CASE
    WHEN NOT regexp_full_match(s, '[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
        '(\.[0-9]{1,6}0*)?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])') THEN NULL
    WHEN s >= '0002' AND s < '9999' THEN TRY_CAST(s AS TIMESTAMPTZ)
    ELSE within_years(TRY_CAST(s AS TIMESTAMPTZ)) END;
"""


def structure(type_: ColumnType) -> object:
    """Return the structure, as JSON data, with which `json_transform` reads an AttributeValue for this column type."""
    if type_.kind == "json":
        return "JSON"
    types: dict[str, object] = {"NULL": "BOOLEAN"}
    if type_.kind == "list":
        types["L"] = [structure(_element(type_))]
    elif type_.kind == "set":
        types |= {f"{name}S": ["VARCHAR"] for name in TAGS[_element(type_).kind]}
    elif type_.kind == "map":
        types["M"] = "MAP(VARCHAR, JSON)"
    elif type_.kind == "struct":
        types["M"] = "JSON"
    else:
        types |= {name: "BOOLEAN" if name == "BOOL" else "VARCHAR" for name in TAGS[type_.kind]}
    return types


def value(type_: ColumnType, av: str, depth: int = 0) -> str:  # noqa: PLR0911 - one for each kind
    """Return SQL of the value; it is null if `av` is null, has the type NULL, or is broken."""
    match type_.kind:
        case "json":
            return f"CASE WHEN NOT json_exists({av}, '$.NULL') THEN {av}::VARCHAR END"
        case "string":
            return f"coalesce({av}.S, {av}.N)"
        case "list":
            item = f"item_{depth}"
            return f"list_transform({av}.L, lambda {item}: {value(_element(type_), item, depth + 1)})"
        case "set":
            return f"list_sort(list_transform({_members(type_, av)}, lambda m: {scalar(_element(type_), 'm')}))"
        case "map":
            entry, item = f"entry_{depth}", f"item_{depth}"
            of_entry = _read(
                f"{entry}.value", structure(_element(type_)), item, value(_element(type_), item, depth + 1)
            )
            pairs = f"lambda {entry}: struct_pack(k := {entry}.key, v := {of_entry})"
            made = f"map_from_entries(list_transform(list_sort(map_entries({av}.M)), {pairs}))"
            return f"CASE WHEN {av}.M IS NOT NULL THEN {made} END"
        case "struct":
            parts = f"parts_{depth}"
            fields = ", ".join(
                f'"{name}" := ' + value(field, f"struct_extract_at({parts}, {at})", depth + 1)
                for at, (_, name, field) in enumerate(type_.fields, start=1)
            )
            made = _read(f"{av}.M", _parts(type_), parts, f"struct_pack({fields})")
            return f"CASE WHEN {av}.M IS NOT NULL THEN {made} END"
        case kind:
            return scalar(type_, f"{av}.{TAGS[kind][0]}")


def is_broken(type_: ColumnType, av: str, depth: int = 0, *, computed: str | None = None) -> str:
    """Return SQL of whether `av` is something that is not exactly a value of the type; never null.

    `computed` is SQL of the result of `value`, if an earlier step has computed it.
    """
    match type_.kind:
        case "json":
            return "FALSE"
        case "list":
            item = f"item_{depth}"
            inside = f"{av}.L IS NULL OR {_any(f'{av}.L', item, is_broken(_element(type_), item, depth + 1))}"
        case "set":
            members = _members(type_, av)
            misfit = f"({scalar(_element(type_), 'm')}) IS NULL"
            inside = f"{members} IS NULL OR {_any(members, 'm', misfit)}"
        case "map":
            entry, item = f"entry_{depth}", f"item_{depth}"
            of_entry = _read(entry, structure(_element(type_)), item, is_broken(_element(type_), item, depth + 1))
            inside = f"{av}.M IS NULL OR {_any(f'map_values({av}.M)', entry, of_entry)}"
        case "struct":
            parts = f"parts_{depth}"
            fields = " OR ".join(
                is_broken(field, f"struct_extract_at({parts}, {at})", depth + 1)
                for at, (_, _, field) in enumerate(type_.fields, start=1)
            )
            inside = f"{av}.M IS NULL OR {_read(f'{av}.M', _parts(type_), parts, fields)}"
        case _:
            inside = f"{computed or f'({value(type_, av)})'} IS NULL"
    return f'({av} IS NOT NULL AND {av}."NULL" IS NULL AND ({inside}))'


def has_undeclared(type_: ColumnType, av: str, depth: int = 0) -> str:
    """Return SQL of whether a struct in `av` has attributes that its type does not declare; never null."""
    match type_.kind:
        case "list" if has_struct(type_):
            item = f"item_{depth}"
            return _any(f"{av}.L", item, has_undeclared(_element(type_), item, depth + 1))
        case "map" if has_struct(type_):
            entry, item = f"entry_{depth}", f"item_{depth}"
            of_entry = _read(entry, structure(_element(type_)), item, has_undeclared(_element(type_), item, depth + 1))
            return _any(f"map_values({av}.M)", entry, of_entry)
        case "struct":
            parts = f"parts_{depth}"
            names = ", ".join(literal(attribute) for attribute, _, _ in type_.fields)
            inside = " OR ".join(
                has_undeclared(field, f"struct_extract_at({parts}, {at})", depth + 1)
                for at, (_, _, field) in enumerate(type_.fields, start=1)
            )
            more = f"coalesce(NOT list_has_all([{names}], json_keys({av}.M)), FALSE)"
            return f"({more} OR {_read(f'{av}.M', _parts(type_), parts, inside)})"
        case _:
            return "FALSE"


def has_struct(type_: ColumnType) -> bool:
    """Return whether the type is a struct or contains one."""
    return type_.kind == "struct" or (type_.element is not None and has_struct(type_.element))


def scalar(type_: ColumnType, raw: str) -> str:
    """Return SQL of the value of a scalar type that the text `raw` is; null if it does not fit exactly."""
    match type_.kind:
        case "decimal" | "int" | "bigint":
            exact = f"CASE WHEN number_scale(n) <= {type_.scale} THEN TRY_CAST(n AS {sql_number(type_)}) END"
            slow = f"list_transform([number_text({raw})], lambda n: {exact})[1]"
            return f"CASE WHEN {surely_fits(type_, raw)} THEN {raw}::{sql_number(type_)} ELSE {slow} END"
        case "double":
            return f"TRY_CAST(number_text({raw}) AS DOUBLE)"
        case "date":
            return f"exact_date({raw})"
        case "timestamp":
            return f"exact_timestamp({raw})"
        case "binary":
            return f"TRY(from_base64({raw}))"
        case _:
            return raw


def sql_number(type_: ColumnType) -> str:
    """Return a number's type in DuckDB."""
    return f"DECIMAL({type_.precision}, {type_.scale})" if type_.kind == "decimal" else type_.kind


def surely_fits(type_: ColumnType, raw: str) -> str:
    """Return SQL of whether DuckDB casts a number's text exactly: nearly always; the other way takes longer."""
    whole = {"int": 9, "bigint": 18, "decimal": type_.precision - type_.scale}[type_.kind]
    digits = f"[0-9]{{1,{whole}}}" if whole else "0"
    part = f"(\\.[0-9]{{1,{type_.scale}}}0*)?" if type_.scale else ""
    return f"regexp_full_match({raw}, '-?{digits}{part}')"


def _element(type_: ColumnType) -> ColumnType:
    if type_.element is None:
        raise TypeError(f"{type_} has no element")
    return type_.element


def _members(type_: ColumnType, av: str) -> str:
    return "coalesce(" + ", ".join(f"{av}.{name}S" for name in TAGS[_element(type_).kind]) + ")"


def _parts(type_: ColumnType) -> dict[str, object]:
    return {attribute: structure(field) for attribute, _, field in type_.fields}


def _read(json_: str, shape: object, name: str, body: str) -> str:
    """Return SQL of `body`, where `name` is `json_` read with the structure `shape`; a lambda binds it once."""
    return f"list_transform([json_transform({json_}, {literal(json.dumps(shape))})], lambda {name}: {body})[1]"


def _any(members: str, name: str, predicate: str) -> str:
    return f"coalesce(list_bool_or(list_transform({members}, lambda {name}: {predicate})), FALSE)"
