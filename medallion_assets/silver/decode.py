"""Decode Bronze rows into typed Silver rows, by contract, in bulk.

Belongs here: which rows can be merged, with their exact values, and which cannot, with the first reason. Does not
belong here: how one value is read (attribute_value), reading Bronze objects (bronze), which row of a key wins (latest).

A row can be merged if it has a key that fits its types. Unless it is a deletion, its other columns must fit as well,
and it must break no blocking row rule. Of a deletion, only the key and the meta columns are not null. A change after
which an item is soft-deleted is a deletion, too.

If the contract is of one entity of its DynamoDB table (`where`), only changes count whose item is of the entity, or was
until that change. A change after which it is not any more is a deletion. Where the item before a change is not known
(an amendment has none), its key decides whether it may have been of the entity.

If the contract keeps expired rows, an expiry by DynamoDB's time to live is not a deletion but the item as it was last,
with EXPIRED_AT. So it is ordered like every other change of its key.

`_extra` keeps, as DynamoDB JSON, the attributes that the contract neither names nor drops; it is null if there are
none. It also keeps the whole attribute of a struct column that has attributes which its type does not declare.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.capture.sequence import AMENDED_SEQUENCE, SEQUENCE_DIGITS, STREAM_LABEL, UNLABELLED_STREAM
from medallion_assets.checks.row_rules import row_rules
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.lake.duck import apart_by_case, identifier, literal
from medallion_assets.silver import source_format
from medallion_assets.silver.attribute_value import MACROS, has_struct, has_undeclared, is_broken, structure, value
from medallion_assets.silver.json_text import holds_json, plain_column
from medallion_assets.silver.membership import has_key_of_entity, is_of_entity, is_soft_deleted
from medallion_assets.silver.table import DELETED_BY, EXPIRED_AT, IS_DELETION, VERSION, meta_columns

# How much of a value a reason quotes; the quarantine row has the whole image.
_QUOTED_CHARACTERS = 200

_ROW, _CREATED = "_row", "_created"

_STREAM_CREATED_AT = (
    f"coalesce(TRY_CAST(regexp_extract(stream_arn, {literal(STREAM_LABEL)}, 1) AS TIMESTAMPTZ), "
    f"TIMESTAMPTZ {literal(UNLABELLED_STREAM.isoformat())})"
)
_SEQUENCE_NUMBER = f"substr('{'0' * SEQUENCE_DIGITS}', length(sequence_number) + 1) || sequence_number"

# A deletion by DynamoDB's time to live has this identity (Amazon DynamoDB Developer Guide, "DynamoDB Streams and Time
# to Live").
_BY_TTL = """(coalesce(json_extract_string(user_identity, '$.principalId') = 'dynamodb.amazonaws.com'
        AND json_extract_string(user_identity, '$.type') = 'Service', FALSE))"""

# Who deleted an item. Only an amendment has a plus sign in its number (capture.sequence).
_DELETED_BY = f"""CASE WHEN event_name <> 'REMOVE' THEN if(moved, 'moved', 'soft_delete') WHEN {_BY_TTL} THEN 'ttl'
        WHEN contains(sequence_number, '+') THEN 'repair' ELSE 'user' END"""


_UNDECLARED = f"left(array_to_string(json_keys(_extra), ', '), {_QUOTED_CHARACTERS})"


@dataclass(frozen=True)
class Decoded:
    """The rows of a Bronze table, split in two, without those of other entities.

    - rows: those that can be merged, with the contract's columns, `meta_columns`, `_is_deletion` and `_deleted_by`,
      which is null for a change that is no deletion
    - rejected: the others, with the columns of the input, VERSION as in META_COLUMNS (parts of it may be null),
      `column_name` (null if the reason is not about one column) and `reason`
    """

    rows: pa.Table
    rejected: pa.Table


def decode(connection: duckdb.DuckDBPyConnection, bronze: pa.Table, contract: Contract) -> Decoded:
    """Decode the rows of `bronze`, which has Bronze's columns and possibly others.

    Raises duckdb.InvalidInputException if an image is not JSON, and ContractError for a rule whose value does not fit
    its column.
    """
    connection.execute(MACROS)
    if not all(column.is_usual for column in contract.columns.values()):
        connection.execute(source_format.MACROS)
    # DuckDB returns rows in any order; the number connects a rejected row with its Bronze row.
    numbered = bronze.append_column(_ROW, pa.arange(0, bronze.num_rows))
    connection.register("bronze", numbered.append_column(_CREATED, _stream_times(connection, bronze["stream_arn"])))
    try:
        # A relation converts to Arrow in every thread; `execute` would leave all of it to one thread at the end.
        typed = connection.sql(decode_sql(contract)).to_arrow_table()
    finally:
        connection.unregister("bronze")
    verdict = (*VERSION, "_column_name", "_reason")
    rows, problems = typed.drop_columns(["_column_name", "_reason", _ROW]), typed.select([_ROW, *verdict])
    if typed["_reason"].null_count == typed.num_rows:
        problems, rejected = problems.slice(0, 0), bronze.slice(0, 0)
    else:
        valid = pc.is_null(typed["_reason"])
        rows, problems = rows.filter(valid), problems.filter(pc.invert(valid))
        rejected = bronze.take(problems[_ROW])
    for column in contract.columns.values():
        if holds_json(column.type):
            at = rows.schema.get_field_index(column.name)
            rows = rows.set_column(at, column.name, plain_column(rows[column.name], column.type))
    names = (*VERSION, "column_name", "reason")
    for name, found in zip(names, verdict, strict=True):
        rejected = rejected.append_column(name, problems[found])
    return Decoded(rows.cast(_schema(contract)), rejected)


def decode_sql(contract: Contract) -> str:
    """Return the SELECT that types every row of `bronze`: the columns of Decoded.rows, `_column_name` and `_reason`.

    `bronze` has Bronze's columns, `_row` and `_created`, the time when the stream was created.

    The image of a deletion is its keys, so that all other columns are null. Each step refers by name to what an earlier
    step computed, because DuckDB evaluates an expression inside CASE or AND again at each place where it is written.
    The contract's columns are `_value_0`, ... until the last step, so that they may have any name.
    """
    structures = {attribute: structure_of(columns) for attribute, columns in contract.attributes.items()}
    structures |= {attribute: {"NULL": "BOOLEAN"} for attribute in contract.dropped}
    images = {f"image_{at}": group for at, group in enumerate(apart_by_case(structures))}
    transformed = ",\n    ".join(
        f"json_transform(image, {literal(json.dumps({name: structures[name] for name in group}))}) AS {image}"
        for image, group in images.items()
    )
    attribute_values = {
        attribute: f"struct_extract_at({image}, {at})"
        for image, group in images.items()
        for at, attribute in enumerate(group, start=1)
    }
    key = contract.key_columns
    of_key = {column.attribute for column in key}
    numbered = [
        # Of a deletion, what else is read from its key is null like all other columns.
        (at, column, f"CASE WHEN NOT removed THEN {av} END" if column not in key and column.attribute in of_key else av)
        for at, column in enumerate(contract.columns.values())
        for av in [attribute_values[column.attribute]]
    ]
    parts = ",\n    ".join(
        f"{source_format.part(column, av)} AS {_part_name(at)}" for at, column, av in numbered if column.part
    )
    cut = f"cut AS (SELECT *,\n    {parts} FROM transformed)," if parts else ""
    values = ",\n    ".join(f"{_value(at, column, av)} AS {_value_name(at)}" for at, column, av in numbered)
    wrong = ",\n    ".join(f"{_is_broken(at, column, av)} AS {_broken_name(at)}" for at, column, av in numbered)
    names = ", ".join(
        f"{_value_name(at)} AS {identifier(column.name)}" for at, column in enumerate(contract.columns.values())
    )
    expired_at = ""
    if contract.on_expiry == "keep":
        expired_at = f"CASE WHEN expired THEN coalesce(_changed_at, _captured_at) END AS {EXPIRED_AT},\n    "
    return f"""
WITH items AS ({_items(contract)}),
images AS (SELECT *, item_removed OR moved OR {is_soft_deleted(contract, "item")} AS removed,
    CASE WHEN removed THEN keys ELSE item END AS image FROM ({_of_entity(contract)})),
transformed AS (SELECT *,
    {transformed} FROM images),
{cut}
typed AS (SELECT *,
    {values} FROM {"cut" if parts else "transformed"}),
checked AS (SELECT *,
    {wrong},
    {_extra(contract, attribute_values)} AS _extra,
    {_CREATED} AS _stream_created_at,
    {_SEQUENCE_NUMBER} AS _sequence_number,
    event_id AS _event_id,
    approximate_creation_time AS _changed_at,
    captured_at AS _captured_at,
    {expired_at}removed AS {IS_DELETION},
    CASE WHEN removed THEN {_DELETED_BY} END AS {DELETED_BY} FROM typed),
verdicts AS (SELECT *, {_problem(contract)} AS problem FROM checked)
SELECT {names}, {", ".join(meta_columns(contract).names)}, {IS_DELETION}, {DELETED_BY},
    problem.column_name AS _column_name, problem.reason AS _reason, {_ROW}
FROM verdicts"""


def _items(contract: Contract) -> str:
    """Return a SELECT of `bronze` with `item`, as the change left it, and `item_removed`.

    For a contract that keeps expired rows, an expiry leaves the item as it was before, and `expired` is true for it.
    """
    if contract.on_expiry == "delete":
        return "SELECT *, event_name = 'REMOVE' AS item_removed, new_image AS item FROM bronze"
    return f"""SELECT *, event_name = 'REMOVE' AND {_BY_TTL} AS expired,
    event_name = 'REMOVE' AND NOT expired AS item_removed,
    CASE WHEN expired THEN old_image ELSE new_image END AS item FROM bronze"""


def _of_entity(contract: Contract) -> str:
    """Return a SELECT of the `items` that concern the contract's entity; `moved`: the item is of another one now."""
    if contract.where is None:
        return "SELECT *, FALSE AS moved FROM items"
    return f"""SELECT *, item IS NOT NULL AND NOT ({is_of_entity(contract, "item")}) AS moved FROM items
    WHERE ({has_key_of_entity(contract, "keys")}) AND (NOT moved AND NOT item_removed
        OR old_image IS NULL AND (event_name <> 'INSERT' OR item IS NULL)
        OR old_image IS NOT NULL AND ({is_of_entity(contract, "old_image")}))"""


def _stream_times(connection: duckdb.DuckDBPyConnection, stream_arns: pa.ChunkedArray) -> pa.Array:
    """Return the time when each stream was created, read once from each ARN and not in every row."""
    encoded = pc.dictionary_encode(stream_arns).combine_chunks()
    numbers = pa.arange(0, len(encoded.dictionary))
    connection.register("streams", pa.table({"stream_arn": encoded.dictionary, "number": numbers}))
    try:
        times = connection.execute(f"SELECT {_STREAM_CREATED_AT} AS created FROM streams ORDER BY number")
        return times.to_arrow_table()["created"].combine_chunks().take(encoded.indices)
    finally:
        connection.unregister("streams")


def bronze_version_sql() -> str:
    """Return SQL of the version of a Bronze row, as `version_sql` of the row that it becomes."""
    return f"{{'created': {_STREAM_CREATED_AT}, 'number': {_SEQUENCE_NUMBER}}}"


def _problem(contract: Contract) -> str:
    """Return SQL of a struct of column_name and reason for the first problem of a row; null if it has none."""
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
            "'no image; expected the stream view type NEW_AND_OLD_IMAGES'",
        ),
    ]
    for at, column in enumerate(contract.columns.values()):
        found = f"""json_transform(image, '"MAP(VARCHAR, JSON)"')[{literal(column.attribute)}]"""
        shown = f"coalesce(left({found}::VARCHAR, {_QUOTED_CHARACTERS}), 'nothing')"
        shown = f"{literal(f'expected {column.expected}, saw ')} || {shown}"
        missing = f" OR {_value_name(at)} IS NULL" if column in contract.key_columns else ""
        cases.append(_case(f"{_broken_name(at)}{missing}", column.name, shown))
    if contract.shape == "freeze":
        cases.append(
            _case("_extra IS NOT NULL", None, f"'attributes that the contract does not declare: ' || {_UNDECLARED}")
        )
    names = {column.name: _value_name(at) for at, column in enumerate(contract.columns.values())}
    cases += [
        _case(f"NOT removed AND {rule.breaks}", rule.column, literal(f"breaks the rule {rule.name}"))
        for rule in row_rules(contract, "block", names)
    ]
    return f"CASE {' '.join(cases)} END"


def _case(condition: str, column: str | None, reason: str) -> str:
    name = literal(column) if column else "NULL::VARCHAR"
    return f"WHEN {condition} THEN {{'column_name': {name}, 'reason': {reason}}}\n   "


def _extra(contract: Contract, attribute_values: dict[str, str]) -> str:
    """Return SQL of `_extra`. Most rows have none, which the number of their attributes shows."""
    known = ", ".join(literal(name) for name in attribute_values)
    present = " + ".join(f"({name} IS NOT NULL)::INTEGER" for name in attribute_values.values())
    partly = {
        column.attribute: has_undeclared(column.type, attribute_values[column.attribute])
        for column in contract.columns.values()
        if has_struct(column.type)
    }
    some = " OR ".join([f"len(json_keys(image)) > {present}", *partly.values()])
    kept = " OR ".join(
        [f"x.key NOT IN ({known})", *(f"(x.key = {literal(name)} AND {more})" for name, more in partly.items())]
    )
    entries = """map_entries(json_transform(image, '"MAP(VARCHAR, JSON)"'))"""
    rest = f"map_from_entries(list_sort(list_filter({entries}, lambda x: {kept})))"
    return f"CASE WHEN {some} THEN to_json({rest})::VARCHAR END"


def structure_of(columns: Sequence[Column]) -> object:
    """Return the structure with which an attribute is read for all columns that come from it."""
    of_each = [structure(one.type) if one.is_usual else source_format.structure(one) for one in columns]
    if len(of_each) == 1:
        return of_each[0]
    return {tag: kind for one in of_each if isinstance(one, dict) for tag, kind in one.items()}


def _value(at: int, column: Column, av: str) -> str:
    if column.is_usual:
        return value(column.type, av)
    cut = _part_name(at) if column.part is not None else None
    return source_format.value(column, av, removed="removed", cut=cut)


def _is_broken(at: int, column: Column, av: str) -> str:
    if column.is_usual:
        return is_broken(column.type, av, computed=_value_name(at))
    return source_format.is_broken(column, av, _value_name(at))


def _part_name(at: int) -> str:
    return f"_part_{at}"


def _value_name(at: int) -> str:
    return f"_value_{at}"


def _broken_name(at: int) -> str:
    return f"_broken_{at}"


def _schema(contract: Contract) -> pa.Schema:
    columns = [pa.field(column.name, column.type.arrow()) for column in contract.columns.values()]
    return pa.schema([*columns, *meta_columns(contract), (IS_DELETION, pa.bool_()), (DELETED_BY, pa.string())])
