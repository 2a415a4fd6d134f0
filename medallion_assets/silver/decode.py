"""Bronze rows to typed Silver rows, by contract, in bulk.

Belongs here: which rows can be merged, with their exact values, and which cannot, with the first reason why. Does not
belong here: how one value is read (tagged), reading Bronze objects (bronze), which row of a key wins (latest).

A row can be merged when its key is there and fits; when it is no deletion, its other columns must fit too and break no
blocking row rule. A deletion becomes a tombstone: key and meta columns, everything else null.

`_extra` keeps, as DynamoDB JSON, what the contract neither names nor drops; null when there is nothing. An attribute
that is a struct column with attributes its type does not declare is kept there whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.capture.sequence import AMENDED_SEQUENCE, SEQUENCE_DIGITS
from medallion_assets.checks.row_rules import row_rules
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.lake.duck import apart_by_case, literal
from medallion_assets.silver.attribute_value import MACROS, broken, has_struct, structure, undeclared, value
from medallion_assets.silver.json_text import holds_json, plain_column
from medallion_assets.silver.table import META_COLUMNS, SEQUENCE

# Enough of a value to see what is wrong with it; the quarantine row holds the whole image.
_SHOWN_CHARACTERS = 200

_ROW = "_row"


@dataclass(frozen=True)
class Decoded:
    """`rows` have the contract's columns and META_COLUMNS.

    `rejected` have Bronze's columns, `_sequence_number` as in META_COLUMNS, `column_name` and `reason`.
    """

    rows: pa.Table
    rejected: pa.Table


def decode(connection: duckdb.DuckDBPyConnection, bronze: pa.Table, contract: Contract) -> Decoded:
    """Decode the rows of `bronze` (Bronze's columns, and possibly others).

    Raises duckdb.InvalidInputException when an image is no JSON, and ContractError for a rule that cannot be.
    """
    connection.execute(MACROS)
    # DuckDB gives rows back in any order; the number leads from a rejected row to its Bronze row.
    connection.register("bronze", bronze.append_column(_ROW, pa.arange(0, bronze.num_rows)))
    try:
        # A relation's threads make Arrow of what each has; `execute` would have one thread do it at the end.
        typed = connection.sql(decode_sql(contract)).to_arrow_table()
    finally:
        connection.unregister("bronze")
    told = (SEQUENCE, "column_name", "reason")
    rows, problems = typed.drop_columns(["column_name", "reason", _ROW]), typed.select([_ROW, *told])
    if typed["reason"].null_count == typed.num_rows:
        problems, rejected = problems.slice(0, 0), bronze.slice(0, 0)
    else:
        valid = pc.is_null(typed["reason"])
        rows, problems = rows.filter(valid), problems.filter(pc.invert(valid))
        rejected = bronze.take(problems[_ROW])
    for column in contract.columns.values():
        if holds_json(column.type):
            at = rows.schema.get_field_index(column.name)
            rows = rows.set_column(at, column.name, plain_column(rows[column.name], column.type))
    for name in told:
        rejected = rejected.append_column(name, problems[name])
    return Decoded(rows.cast(_schema(contract)), rejected)


def decode_sql(contract: Contract) -> str:
    """The SELECT over `bronze` that types every row: contract columns, META_COLUMNS, `column_name` and `reason`.

    A deletion's image is its keys: the other columns are then null, as they should be. What one step computes the
    next refers to by name, for DuckDB computes an expression inside CASE or AND again each time it stands there.
    """
    structures = {column.attribute: structure(column.type) for column in contract.columns.values()}
    structures |= {attribute: {"NULL": "BOOLEAN"} for attribute in contract.drop}
    images = {f"image_{at}": group for at, group in enumerate(apart_by_case(structures))}
    transformed = ",\n    ".join(
        f"json_transform(image, {literal(json.dumps({name: structures[name] for name in group}))}) AS {image}"
        for image, group in images.items()
    )
    tagged = {
        attribute: f"struct_extract_at({image}, {at})"
        for image, group in images.items()
        for at, attribute in enumerate(group, start=1)
    }
    values = ",\n    ".join(
        f'{value(column.type, tagged[attribute])} AS "{column.name}"' for attribute, column in contract.columns.items()
    )
    wrong = ",\n    ".join(
        f"{broken(column.type, tagged[attribute], known=_quoted(column))} AS {_broken_name(at)}"
        for at, (attribute, column) in enumerate(contract.columns.items())
    )
    names = ", ".join(_quoted(column) for column in contract.columns.values())
    return f"""
WITH imaged AS (SELECT *, event_name = 'REMOVE' AS removed, CASE WHEN removed THEN keys ELSE new_image END AS image
    FROM bronze),
tagged AS (SELECT *,
    {transformed} FROM imaged),
typed AS (SELECT *,
    {values} FROM tagged),
checked AS (SELECT *,
    {wrong},
    {_extra(contract, tagged)} AS _extra,
    substr('{"0" * SEQUENCE_DIGITS}', length(sequence_number) + 1) || sequence_number AS _sequence_number,
    removed AS _deleted,
    event_id AS _event_id,
    approximate_creation_time AS _changed_at,
    captured_at AS _captured_at FROM typed),
judged AS (SELECT *, {_problem(contract)} AS problem FROM checked)
SELECT {names}, {", ".join(META_COLUMNS.names)}, problem.column_name AS column_name, problem.reason AS reason, {_ROW}
FROM judged"""


def _problem(contract: Contract) -> str:
    """SQL: a struct of column_name and reason, for the first thing that keeps a row out, or null."""
    cases = [
        _case("event_name NOT IN ('INSERT', 'MODIFY', 'REMOVE')", None, "'unknown event ' || event_name"),
        _case(
            f"length(sequence_number) > {SEQUENCE_DIGITS} "
            f"AND NOT regexp_full_match(sequence_number, {literal(AMENDED_SEQUENCE)})",
            None,
            f"'sequence number has over {SEQUENCE_DIGITS} digits'",
        ),
        _case(
            "image IS NULL",
            None,
            "'no new image; expected the stream view type NEW_AND_OLD_IMAGES'",
        ),
    ]
    for at, column in enumerate(contract.columns.values()):
        found = f"""json_transform(image, '"MAP(VARCHAR, JSON)"')[{literal(column.attribute)}]"""
        shown = f"'expected {column.type}, saw ' || coalesce(left({found}::VARCHAR, {_SHOWN_CHARACTERS}), 'nothing')"
        missing = f" OR {_quoted(column)} IS NULL" if column in contract.key_columns else ""
        cases.append(_case(f"{_broken_name(at)}{missing}", column.name, shown))
    cases += [
        _case(f"NOT removed AND {rule.breaks}", rule.column, literal(f"breaks the rule {rule.name}"))
        for rule in row_rules(contract, "block")
    ]
    return f"CASE {' '.join(cases)} END"


def _case(condition: str, column: str | None, reason: str) -> str:
    name = literal(column) if column else "NULL::VARCHAR"
    return f"WHEN {condition} THEN {{'column_name': {name}, 'reason': {reason}}}\n   "


def _extra(contract: Contract, tagged: dict[str, str]) -> str:
    """SQL: what of `image` the contract neither names nor drops. Most rows have nothing: counting names tells."""
    known = ", ".join(literal(name) for name in tagged)
    present = " + ".join(f"({name} IS NOT NULL)::INTEGER" for name in tagged.values())
    partly = {
        attribute: undeclared(column.type, tagged[attribute])
        for attribute, column in contract.columns.items()
        if has_struct(column.type)
    }
    some = " OR ".join([f"len(json_keys(image)) > {present}", *partly.values()])
    kept = " OR ".join(
        [f"x.key NOT IN ({known})", *(f"(x.key = {literal(name)} AND {more})" for name, more in partly.items())]
    )
    entries = """map_entries(json_transform(image, '"MAP(VARCHAR, JSON)"'))"""
    rest = f"map_from_entries(list_sort(list_filter({entries}, lambda x: {kept})))"
    return f"CASE WHEN {some} THEN to_json({rest})::VARCHAR END"


def _quoted(column: Column) -> str:
    return f'"{column.name}"'


def _broken_name(at: int) -> str:
    return f"_broken_{at}"


def _schema(contract: Contract) -> pa.Schema:
    columns = [pa.field(column.name, column.type.arrow()) for column in contract.columns.values()]
    return pa.schema([*columns, *META_COLUMNS])
