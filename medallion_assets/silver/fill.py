"""Rows that are in the table already, and what a newer contract makes of the attributes in their `_extra`.

An attribute that no contract declared is in `_extra`. Once it is declared, it belongs in its column; once it is
dropped, it belongs nowhere. The same is true of a struct that has attributes which its type did not declare. So that
nobody has to read Bronze again, the rows that have such an attribute are merged once more, and only these.

The table's property READ_AS says how the attributes of its rows were read. It is written by the commit that completes a
fill, so that a process that dies before leaves the rest to the next run.

A value that does not fit its column's type, or breaks one of its rules, stays in `_extra`: the change is merged, and
there is no older value to go back to. A column's default is not filled in: that would write every row again.

Belongs here: which rows, and their new values. Does not belong here: merging them (batch).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.checks.row_rules import column_rules
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import apart_by_case, identifier, literal
from medallion_assets.silver import source_format
from medallion_assets.silver.attribute_value import MACROS, has_struct, has_undeclared, is_broken, value
from medallion_assets.silver.decode import structure_of
from medallion_assets.silver.json_text import holds_json, plain_column
from medallion_assets.silver.table import EXTRA

READ_AS: Final = "medallion.read-as"
"""The table property: the type of each attribute, by name; null for one that is dropped."""

MAX_ROWS: Final = 250_000
"""Rows that one commit fills. They are in memory with all their columns."""


def read_as(contract: Contract) -> str:
    """Return the value of READ_AS for rows that were read by a contract."""
    types: dict[str, str | None] = {
        attribute: ", ".join(f"{column.name} {column.type} {column.reading}" for column in columns)
        for attribute, columns in contract.attributes.items()
    }
    return json.dumps(types | dict.fromkeys(contract.dropped), sort_keys=True)


def needs_fill(table: Table, contract: Contract) -> bool:
    """Return whether the published rows may have attributes in `_extra` that the contract declares or drops since."""
    return table.metadata.current_snapshot_id is not None and bool(_changed(table, contract))


def rows_to_fill(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, contract: Contract) -> pa.Table:
    """Return rows of the published table with their new values, MAX_ROWS at most: those that get other values.

    They have all columns of the table. Raises LakeUnavailable.
    """
    changed = _changed(table, contract)
    read = {name: contract.attributes[name] for name in changed if name in contract.attributes}
    connection.execute(MACROS)
    connection.execute(source_format.MACROS)
    with lake.reading([table]):
        found = connection.execute(_sql(lake.scan_sql(table, None), contract, changed, read)).to_arrow_table()
    filled: dict[str, str] = {}
    for at, attribute, column in _numbered(read):
        name = _value_name(at)
        if holds_json(column.type):
            found = found.set_column(found.schema.get_field_index(name), name, plain_column(found[name], column.type))
        fits = _fits_name(list(read).index(attribute))
        filled[column.name] = f"CASE WHEN {fits} THEN {name} ELSE {identifier(column.name)} END"
    filled[EXTRA] = "_rest"
    connection.register("found", found)
    try:
        selected = ", ".join(
            f"{filled.get(field.name, identifier(field.name))} AS {identifier(field.name)}"
            for field in table.schema().fields
        )
        return connection.execute(f"SELECT {selected} FROM found").to_arrow_table()
    finally:
        connection.unregister("found")


def _changed(table: Table, contract: Contract) -> list[str]:
    """Return the attributes that the contract reads otherwise than the contract of the table's rows did."""
    before: Mapping[str, str | None] = json.loads(table.properties.get(READ_AS, "{}"))
    now: Mapping[str, str | None] = json.loads(read_as(contract))
    return [name for name in now if name not in before or before[name] != now[name]]


def _numbered(read: Mapping[str, Sequence[Column]]) -> list[tuple[int, str, Column]]:
    pairs = [(attribute, column) for attribute, columns in read.items() for column in columns]
    return [(at, attribute, column) for at, (attribute, column) in enumerate(pairs)]


def _sql(scan: str, contract: Contract, changed: list[str], read: Mapping[str, Sequence[Column]]) -> str:
    """Return a SELECT of the rows that get other values: as they are, with value and fit of each column, and `_rest`.

    `_rest` is what remains of `_extra`. A struct stays there, too, while it has undeclared attributes. `read` has the
    columns of each attribute that is read otherwise; they are filled together or not at all.
    """
    groups = {f"_image_{at}": group for at, group in enumerate(apart_by_case(read))}
    images = [
        f"json_transform({EXTRA}, {literal(json.dumps({name: structure_of(read[name]) for name in group}))}) AS {image}"
        for image, group in groups.items()
    ]
    tagged = {
        name: f"struct_extract_at({image}, {at})"
        for image, group in groups.items()
        for at, name in enumerate(group, start=1)
    }
    parts, values, differs = [], [], []
    misfits: dict[str, list[str]] = {attribute: [] for attribute in read}
    more: dict[str, list[str]] = {attribute: [] for attribute in read}
    fits = {attribute: _fits_name(at) for at, attribute in enumerate(read)}
    for at, attribute, column in _numbered(read):
        new, av, cut = _value_name(at), tagged[attribute], f"_part_{at}" if column.part is not None else None
        if cut is not None:
            parts.append(f"{source_format.part(column, av)} AS {cut}")
        if column.is_usual:
            values.append(f"{value(column.type, av)} AS {new}")
            misfits[attribute].append(is_broken(column.type, av, computed=new))
        else:
            values.append(f"{source_format.value(column, av, removed='FALSE', cut=cut)} AS {new}")
            misfits[attribute].append(source_format.is_broken(column, av, new))
        misfits[attribute] += [rule.breaks for rule in column_rules(column, "block", new)]
        if has_struct(column.type):
            more[attribute].append(f"NOT coalesce({has_undeclared(column.type, av)}, FALSE)")
        # JSON text is in another form until it is made plain; then the attribute leaves `_extra` in any case.
        if not holds_json(column.type):
            differs.append(f"({fits[attribute]} AND {new} IS DISTINCT FROM {identifier(column.name)})")
    fitting = [
        f"{tagged[attribute]} IS NOT NULL AND NOT ({' OR '.join(wrong)}) AS {fits[attribute]}"
        for attribute, wrong in misfits.items()
    ]
    gone = [
        f"({' AND '.join([f'x.key = {literal(attribute)}', fits[attribute], *more[attribute]])})" for attribute in read
    ]
    dropped = [name for name in changed if name in contract.dropped]
    gone += [f"x.key IN ({', '.join(map(literal, dropped))})"] if dropped else []
    entries = f"""map_entries(json_transform({EXTRA}, '"MAP(VARCHAR, JSON)"'))"""
    rest = f"list_sort(list_filter({entries}, lambda x: NOT ({' OR '.join(gone)})))"
    names = ", ".join(map(literal, changed))
    return f"""
WITH candidates AS (
    SELECT {", ".join(["*", *images])} FROM {scan}
    WHERE {EXTRA} IS NOT NULL AND list_has_any(json_keys({EXTRA}), [{names}])),
cut AS (SELECT {", ".join(["*", *parts])} FROM candidates),
typed AS (SELECT {", ".join(["*", *values])} FROM cut),
checked AS (SELECT {", ".join(["*", *fitting])} FROM typed),
remaining AS (SELECT *, {rest} AS _entries FROM checked)
SELECT * EXCLUDE (_entries), CASE WHEN len(_entries) > 0 THEN to_json(map_from_entries(_entries))::VARCHAR END AS _rest
FROM remaining
WHERE {" OR ".join([f"len(_entries) < len(json_keys({EXTRA}))", *differs])}
LIMIT {MAX_ROWS}"""


def _value_name(at: int) -> str:
    return f"_value_{at}"


def _fits_name(at: int) -> str:
    return f"_fits_{at}"
