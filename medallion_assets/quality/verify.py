"""Whether the lake equals the source: Silver row by row, and Gold as its SQL gives it over the source's own rows.

Everything is computed again from a scan of DynamoDB, by means of its own (source), and compared value by value.
Changes that are still on their way show as differences: verify when traffic has stopped, or allow for them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import TableMissing
from medallion_assets.gold.news import Basis
from medallion_assets.gold.refresh import GOLD
from medallion_assets.gold.spec import Mart, silver_columns
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.quality.results import MAX_EXAMPLES
from medallion_assets.quality.source import Item, Key, Misfit, comparable, key_of, row_of, scan
from medallion_assets.silver.table import DELETED, DROPPED, EXTRA, HELD, QUARANTINE, SEQUENCE, SILVER

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Row = dict[str, Any]


@dataclass
class Comparison:
    """One table or mart of the lake beside the source, in rows.

    `missing` rows are in the source only, `extra` ones in the lake only. `held` are keys whose newest change is in
    quarantine, held or dropped: they are not compared. `differences` describes the first few.
    """

    name: str
    source: int = 0
    lake: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    held: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.extra or self.different)

    def count(self, key: Key, source: Row | None, lake: Row | None) -> None:
        """Compare one row of each side; None for a side without it."""
        if source == lake:
            self.equal += 1
            return
        if lake is None:
            self.missing += 1
            seen = "in the source, not in the lake"
        elif source is None:
            self.extra += 1
            seen = "in the lake, not in the source"
        else:
            self.different += 1
            seen = "; ".join(
                f"{name}: source {source.get(name)!r}, lake {lake.get(name)!r}"
                for name in source
                if source.get(name) != lake.get(name)
            )
        if len(self.differences) < MAX_EXAMPLES:
            self.differences.append(f"{', '.join(map(str, key))}: {seen}")


@dataclass(frozen=True)
class Verification:
    """The comparisons of all Silver tables and all marts."""

    tables: tuple[Comparison, ...]
    marts: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs anywhere."""
        return all(comparison.agrees for comparison in (*self.tables, *self.marts))


def verify(lake: Lake, domain: Domain, marts: Iterable[Mart], *, client: DynamoDBClient, today: date) -> Verification:
    """Scan every table of the domain and compare Silver and Gold with it.

    A mart that looks at the current day is computed for the day its published rows are of; `today` stands in for one
    that was never published. Takes about 15 s and 700 MB for 100,000 items, half of it the scan.
    """
    tables = []
    effective: dict[str, dict[Key, Row]] = {}
    for contract in domain.tables:
        comparison, effective[contract.lake_name] = _table(
            lake, domain, contract, scan(client, contract.table), effective
        )
        tables.append(comparison)
    with Embedded(lake) as session:
        for table, rows in effective.items():
            session.show_rows(SILVER, table, _arrow(rows.values(), silver_columns(table, domain)))
        return Verification(tuple(tables), tuple(_mart(lake, session, mart, today) for mart in marts))


def _table(
    lake: Lake, domain: Domain, contract: Contract, items: Iterable[Item], others: Mapping[str, Mapping[Key, Row]]
) -> tuple[Comparison, dict[Key, Row]]:
    """One Silver table beside its source, and the rows the marts should have seen: the source's, Silver's where held.

    `others` are such rows of the tables that enrichment looks at.
    """
    silver, sequences = _silver(lake, domain, contract)
    held = _held(lake, contract, sequences)
    comparison = Comparison(f"{SILVER}/{contract.lake_name}", held=len(held), lake=len(silver))
    rows: dict[Key, Row] = {}
    for item in items:
        comparison.source += 1
        key = key_of(contract, item)
        if key in held:
            continue
        try:
            rows[key] = _enriched(row_of(contract, item), contract, others)
        except Misfit as misfit:
            rows[key] = {"does not fit and is not in quarantine": str(misfit)}
    for key in rows.keys() | silver.keys():
        if key not in held:
            comparison.count(key, rows.get(key), silver.get(key))
    kept = {key: _enriched(silver[key], contract, others) for key in held if key in silver}
    return comparison, {**rows, **kept}


def _enriched(row: Row, contract: Contract, others: Mapping[str, Mapping[Key, Row]]) -> Row:
    for part in contract.enrich:
        there = others[part.table].get((row[part.on],), {})
        row |= {name: there.get(source) for name, source in part.columns.items()}
    return row


def _silver(lake: Lake, domain: Domain, contract: Contract) -> tuple[dict[Key, Row], dict[Key, str]]:
    """The table's rows by key, and the sequence number of every key, deleted ones too."""
    columns = silver_columns(contract.lake_name, domain)
    rows: dict[Key, Row] = {}
    sequences: dict[Key, str] = {}
    for stored in _read(lake, SILVER, contract.lake_name, [*columns, EXTRA, SEQUENCE, DELETED]):
        key = tuple(stored[name] for name in contract.key_names)
        sequences[key] = stored[SEQUENCE]
        if not stored[DELETED]:
            rows[key] = {name: _data(type_, stored[name]) for name, type_ in columns.items()}
            extra = json.loads(stored[EXTRA]) if stored[EXTRA] else None
            rows[key][EXTRA] = {name: comparable(tagged) for name, tagged in extra.items()} if extra else None
    return rows, sequences


def _held(lake: Lake, contract: Contract, sequences: Mapping[Key, str]) -> set[Key]:
    """The keys whose newest change is in quarantine: held, or dropped, which leaves Silver behind for good."""
    found = set()
    for row in _read(lake, QUARANTINE, contract.lake_name, ["keys", "sequence_number", "status"]):
        key = key_of(contract, _with_bytes(json.loads(row["keys"])))
        if row["status"] in {HELD, DROPPED} and row["sequence_number"] > sequences.get(key, ""):
            found.add(key)
    return found


def _with_bytes(keys: Mapping[str, Mapping[str, str]]) -> Item:
    """A key as Bronze writes it, with binary as boto3 gives it."""
    return {
        name: {tag: base64.b64decode(text) if tag == "B" else text for tag, text in tagged.items()}
        for name, tagged in keys.items()
    }


def _mart(lake: Lake, session: Embedded, mart: Mart, today: date) -> Comparison:
    """A mart's published rows beside its SQL over the rows of the session."""
    try:
        basis = Basis.recorded(lake.table(GOLD, mart.name))
    except TableMissing:
        basis = None
    as_of = basis.as_of if basis and basis.as_of else today
    expected = {_grain(mart, row): row for row in session.compute(mart.query, today=as_of).to_pylist()}
    stored = {_grain(mart, row): row for row in _read(lake, GOLD, mart.name, list(mart.columns))}
    comparison = Comparison(f"{GOLD}/{mart.name}", source=len(expected), lake=len(stored))
    for key in expected.keys() | stored.keys():
        comparison.count(key, expected.get(key), stored.get(key))
    return comparison


def _grain(mart: Mart, row: Row) -> Key:
    return tuple(row[name] for name in mart.spec.grain)


def _read(lake: Lake, namespace: str, name: str, columns: Sequence[str]) -> list[Row]:
    """The table's published rows; none when there is no such table yet."""
    try:
        table = lake.table(namespace, name)
    except TableMissing:
        return []
    names = ", ".join(map(identifier, columns))
    with lake.duckdb() as connection:
        rows: list[Row] = (
            connection.execute(f"SELECT {names} FROM {lake.scan_sql(table, None)}").to_arrow_table().to_pylist()
        )
    return rows


def _data(type_: ColumnType, stored: Any) -> Any:
    """A value as Arrow gives it, in the form source decodes to: maps as dicts, sets in order."""
    if stored is None:
        return None
    if type_.kind == "struct":
        return {name: _data(inside, stored[name]) for _, name, inside in type_.fields}
    if type_.element is None:
        return stored
    if type_.kind == "map":
        return {name: _data(type_.element, one) for name, one in stored}
    return (sorted if type_.kind == "set" else list)(_data(type_.element, one) for one in stored)


def _arrow(rows: Iterable[Row], columns: Mapping[str, ColumnType]) -> pa.Table:
    found = list(rows)
    return pa.table(
        {
            name: pa.array([_stored(type_, row.get(name)) for row in found], type_.arrow())
            for name, type_ in columns.items()
        }
    )


def _stored(type_: ColumnType, data: Any) -> Any:
    """The reverse of _data."""
    if data is None or (type_.element is None and type_.kind != "struct"):
        return data
    if type_.kind == "struct":
        return {name: _stored(inside, data[name]) for _, name, inside in type_.fields}
    if type_.element is None:
        return data
    if type_.kind == "map":
        return [(name, _stored(type_.element, one)) for name, one in data.items()]
    return [_stored(type_.element, one) for one in data]
