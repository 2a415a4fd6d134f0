"""Compare the lake with the source: every Silver table, and every mart computed again from the source's own rows.

Each table is scanned once. Silver is compared with the scan (reconcile). A mart is computed from the scanned items and
compared row by row, at the Silver snapshots that it was computed from: a row that changed between the scan and that
snapshot, or that is in quarantine, is taken from the snapshot. A row that is wrong in Silver is taken from the source.
A mart over another one is computed from that one's SQL over the source's rows, not from its published rows.

Belongs here: comparing all tables, and comparing marts. Does not belong here: comparing one table (reconcile).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.changes import InputVersions, affected_partitions, find_inputs
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.reconciliation.catch_up import CatchUp, silver_now
from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.reconciliation.expected import of_file, unexpired
from medallion_assets.reconciliation.fingerprints import differing, of_silver, select, silver_key_hash
from medallion_assets.reconciliation.reconcile import Reconciliation, reconcile
from medallion_assets.reconciliation.scan import SourceTable
from medallion_assets.silver.table import EXPIRED_AT, SILVER

Row = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """The comparisons of all Silver tables and all marts, and the read capacity units that they used."""

    tables: tuple[Comparison, ...]
    marts: tuple[Comparison, ...]
    read_units: float

    @property
    def agrees(self) -> bool:
        """Whether nothing differs anywhere, and no mart is behind the Silver tables that were compared."""
        compared = (*self.tables, *self.marts)
        return all(comparison.agrees and comparison.behind is None for comparison in compared)


def verify(
    lake: Lake,
    domain: Domain,
    marts: Iterable[Mart],
    *,
    source: Callable[[Contract], SourceTable],
    store: BronzeStore,
    today: date,
    catch_up: CatchUp,
    note: Callable[[Reconciliation], object] | None = None,
) -> Verification:
    """Scan every table of the domain and compare Silver and Gold with the scans; call `note` after each table.

    A mart that uses the current date is computed for the date of its published rows, or for `today` if it was never
    published. Waits only where something differs, and no longer than the limit of `catch_up` for all tables and marts
    together. Raises what `source` raises, LakeUnavailable, SettingsError.
    """
    marts = list(marts)
    read_by_marts = {table for mart in marts for table in mart.tables}
    with tempfile.TemporaryDirectory(prefix="medallion-verify-") as name:
        folder = Path(name)
        found: dict[str, Reconciliation] = {}
        for contract in domain.tables:
            table = contract.lake_name
            found[table] = reconcile(
                lake,
                domain,
                contract,
                source=source(contract),
                store=store,
                folder=folder / table,
                catch_up=catch_up,
                typed=list(contract.by_name) if table in read_by_marts | _enriching(domain) else [],
            )
            if note is not None:
                note(found[table])
        comparer = _Marts(lake, domain, found, folder, today, catch_up)
        return Verification(
            tuple(one.comparison for one in found.values()),
            tuple(comparer.compare(mart) for mart in marts),
            sum(one.units for one in found.values()),
        )


def _enriching(domain: Domain) -> set[str]:
    return {part.table for contract in domain.tables for part in contract.enrich}


@dataclass(frozen=True)
class _Marts:
    lake: Lake
    domain: Domain
    found: Mapping[str, Reconciliation]
    folder: Path
    today: date
    catch_up: CatchUp
    _shown: dict[tuple[str, int | None], str] = field(default_factory=dict)

    def compare(self, mart: Mart) -> Comparison:
        """Compare the published rows of a mart with its SQL over the source's rows."""
        behind = self._wait_for(mart)
        versions = _input_versions(self.lake, mart)
        expected = {_grain(mart, row): row for row in self._compute(mart, versions).to_pylist()}
        published = {_grain(mart, row): row for row in _published(self.lake, mart)}
        comparison = Comparison(f"{GOLD}/{mart.name}", source=len(expected), lake=len(published), behind=behind)
        for key in expected.keys() | published.keys():
            comparison.count(key, expected.get(key), published.get(key))
        return comparison

    def _compute(self, mart: Mart, versions: InputVersions | None) -> pa.Table:
        """Return the rows of a mart by its SQL over the source's rows, at the snapshots that these versions name."""
        with Embedded(self.lake) as session:
            for table in self._read(mart):
                snapshot = versions.snapshots.get(table) if versions else self.found[table].snapshot_id
                session.show_select(SILVER, table, self._rows(table, snapshot))
            for name, upstream in mart.upstream.items():
                table_read = self.lake.find(GOLD, upstream.name)
                read = versions.snapshots.get(name) if versions else None
                then = InputVersions.of_snapshot(table_read, read) if table_read is not None else None
                session.show_rows(GOLD, upstream.name, self._compute(upstream, then))
            day = versions.current_date if versions and versions.current_date else self.today
            return session.compute(mart.query, today=day)

    def _wait_for(self, mart: Mart) -> str | None:
        """Wait until the mart contains what the compared Silver tables contain. Return None, or what it lacks."""
        while (behind := self._behind(mart)) is not None and self.catch_up.pause():
            pass
        return behind

    def _behind(self, mart: Mart) -> str | None:
        for name, upstream in mart.upstream.items():
            if (lack := self._behind(upstream)) is not None:
                return f"{name} is behind: {lack}"
        versions = _input_versions(self.lake, mart)
        tables = find_inputs(self.lake, mart)
        compared = {
            name: self.found[name].snapshot_id if name in self.found else _published_snapshot(table)
            for name, table in tables.items()
        }
        if versions is None:
            return None if not any(compared.values()) else "it was never computed"
        older = {
            name: snapshot
            for name, snapshot in compared.items()
            if (table := tables[name]) is not None
            and snapshot is not None
            and not _descends(table, versions.snapshots.get(name), snapshot)
        }
        now = InputVersions({**versions.snapshots, **older}, versions.current_date, versions.code_version)
        if not older:
            return None
        affected = affected_partitions(self.lake, mart, tables, before=versions, now=now)
        if affected is None or len(affected):
            return f"it lacks what {', '.join(older)} got before the comparison"
        return None

    def _read(self, mart: Mart) -> list[str]:
        """Return the Silver tables that its SQL and their enrichment read; each comes after those that enrich it."""
        read = set(mart.inputs) - mart.upstream.keys()
        for contract in reversed(self.domain.tables):
            if contract.lake_name in read:
                read |= {part.table for part in contract.enrich}
        return [contract.lake_name for contract in self.domain.tables if contract.lake_name in read]

    def _rows(self, name: str, snapshot_id: int | None) -> str:
        """Return SQL of a table's rows: as scanned, but rows that were changing as Silver had them at the snapshot."""
        if (name, snapshot_id) not in self._shown:
            self._shown[name, snapshot_id] = self._effective(name, snapshot_id)
        contract = self.domain.by_name[name]
        columns, joins = ["r.*"], []
        for at, part in enumerate(contract.enrich):
            key = self.domain.by_name[part.table].key_names[0]
            columns += [f"s{at}.{identifier(of)} AS {identifier(name)}" for name, of in part.columns.items()]
            there = f"{SILVER}.{identifier(part.table)}"
            joins.append(f"LEFT JOIN {there} s{at} ON r.{identifier(part.on)} = s{at}.{identifier(key)}")
        return f"SELECT {', '.join(columns)} FROM ({self._shown[name, snapshot_id]}) r {' '.join(joins)}"

    def _effective(self, name: str, snapshot_id: int | None) -> str:
        found, contract = self.found[name], self.domain.by_name[name]
        columns = ", ".join(map(identifier, contract.by_name))
        scanned = f"SELECT {columns} FROM {found.scanned.sql}"
        table = silver_now(self.lake, contract)
        if table is None or snapshot_id is None or table.snapshot_by_id(snapshot_id) is None:
            return scanned
        scan = self.lake.scan_sql(table, snapshot_id)
        keeps_expired = contract.on_expiry == "keep" and _has_column(table, snapshot_id, EXPIRED_AT)
        folder = self.folder / f"{name}-{snapshot_id}"
        folder.mkdir()
        if snapshot_id == found.snapshot_id:
            differs = found.suspects
        else:
            rows = unexpired(scan) if keeps_expired else scan
            then = of_silver(self.lake, contract, rows, folder / "published")
            differs = differing(self.lake, found.scanned, then, folder / "differs").keys
        changing = f"FROM {differs.sql}"
        if found.confirmed.rows:
            changing += f" WHERE _key_hash NOT IN (SELECT _key_hash FROM {found.confirmed.sql})"
        moving = select(self.lake, changing, folder / "moving")
        keys = f"(SELECT _key_hash FROM {moving.sql})"
        key = silver_key_hash(contract)
        taken = f"{key} IN {keys}"
        itemless = [f"{EXPIRED_AT} IS NOT NULL"] if keeps_expired else []
        itemless += [of_file()] if contract.files is not None else []
        if itemless:
            known = f"SELECT _key_hash FROM {found.scanned.sql}"
            taken += f" OR (({' OR '.join(itemless)}) AND {key} NOT IN ({known}))"
        return f"{scanned} WHERE _key_hash NOT IN {keys} UNION ALL SELECT {columns} FROM {scan} WHERE {taken}"


def _input_versions(lake: Lake, mart: Mart) -> InputVersions | None:
    table = lake.find(GOLD, mart.name)
    return InputVersions.recorded(table) if table is not None else None


def _published_snapshot(table: Table | None) -> int | None:
    return table.metadata.current_snapshot_id if table is not None else None


def _has_column(table: Table, snapshot_id: int, name: str) -> bool:
    """Return whether a snapshot of a table has a column."""
    snapshot = table.snapshot_by_id(snapshot_id)
    schemas = table.schemas()
    return snapshot is not None and snapshot.schema_id is not None and name in schemas[snapshot.schema_id].column_names


def _descends(table: Table, newer: int | None, older: int | None) -> bool:
    """Return whether the snapshot `newer` is `older` or descends from it."""
    if older is None or newer == older:
        return True
    snapshot = table.snapshot_by_id(newer) if newer is not None else None
    return snapshot is not None and any(one.snapshot_id == older for one in ancestors_of(snapshot, table.metadata))


def _grain(mart: Mart, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in mart.spec.grain)


def _published(lake: Lake, mart: Mart) -> list[Row]:
    """Return the mart's published rows; none if there is no such table yet."""
    table = lake.find(GOLD, mart.name)
    if table is None:
        return []
    names = ", ".join(map(identifier, mart.columns))
    with lake.duckdb() as connection:
        rows: list[Row] = (
            connection.execute(f"SELECT {names} FROM {lake.scan_sql(table, None)}").to_arrow_table().to_pylist()
        )
    return rows
