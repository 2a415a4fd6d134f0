"""Columns copied from the row that a row refers to: always that row's current values, and null if there is no such row.

Belongs here: adding these columns to incoming rows, and finding the rows of the table whose values have changed in the
referenced table since. Does not belong here: committing either of them (batch).

Why current values, and not those of the day of the order:
docs/adr/0002-an-order-counts-for-its-customers-current-region.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Enrichment
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.history import changed_rows
from medallion_assets.silver.table import ENRICHED_COLUMNS, ENRICHED_FROM, SILVER


@dataclass(frozen=True)
class ReferencedTable:
    """A Silver table that another table copies columns from.

    - part: what the contract says about it
    - key: the name of its key column
    - columns: its key and the copied columns, as its contract declares them
    - table: None until its first batch is merged; until the next batch, it may lack columns that its contract has got
    - snapshot_id: the published snapshot
    - since: the snapshot that the other table was enriched from last; None also if the contract copied other columns
    """

    part: Enrichment
    key: str
    columns: pa.Schema
    table: Table | None
    snapshot_id: int | None
    since: int | None

    @property
    def changed(self) -> bool:
        """Whether it was published since the other table was enriched from it."""
        return self.snapshot_id is not None and self.snapshot_id != self.since

    @property
    def existing_columns(self) -> list[str]:
        """Those of `columns` that the table has already."""
        existing = self.table.schema().column_names if self.table is not None else ()
        return [name for name in self.columns.names if name in existing]


def read_referenced(lake: Lake, table: Table, contract: Contract, domain: Domain) -> tuple[ReferencedTable, ...]:
    """Return the tables that `contract` copies columns from, as they are published. Raises LakeUnavailable."""
    referenced = []
    for part in contract.enrich:
        source = domain.by_name[part.table]
        (key,) = source.key_names
        copied = [source.by_name[name] for name in dict.fromkeys([key, *part.columns.values()])]
        since = _enriched_from(table, part)
        published = lake.find_since(SILVER, source.lake_name, since)
        referenced.append(
            ReferencedTable(
                part=part,
                key=key,
                columns=pa.schema([(column.name, column.type.arrow()) for column in copied]),
                table=published,
                snapshot_id=published.metadata.current_snapshot_id if published is not None else None,
                since=since,
            )
        )
    return tuple(referenced)


def enriched_from(referenced: Sequence[ReferencedTable]) -> dict[str, str]:
    """Return the table properties that say what the enriched columns were copied from."""
    found = {}
    for one in referenced:
        if one.snapshot_id is not None:
            found[f"{ENRICHED_FROM}{one.part.table}"] = str(one.snapshot_id)
            found[f"{ENRICHED_COLUMNS}{one.part.table}"] = json.dumps(one.part.columns, sort_keys=True)
    return found


def _enriched_from(table: Table, part: Enrichment) -> int | None:
    columns = table.properties.get(f"{ENRICHED_COLUMNS}{part.table}")
    snapshot = table.properties.get(f"{ENRICHED_FROM}{part.table}")
    return int(snapshot) if snapshot and columns == json.dumps(part.columns, sort_keys=True) else None


def enrich(
    connection: duckdb.DuckDBPyConnection, lake: Lake, rows: pa.Table, referenced: Sequence[ReferencedTable]
) -> pa.Table:
    """Return `rows` with the enriched columns added at the end."""
    if not referenced:
        return rows
    refers = dict.fromkeys(one.part.on for one in referenced)
    numbered = rows.select(list(refers)).append_column("_row", pa.arange(0, rows.num_rows))
    connection.register("incoming", numbered)
    try:
        found = connection.execute(
            f"SELECT r._row, {_enriched(referenced)} {_joins(connection, lake, 'incoming', referenced)}"
        ).to_arrow_table()
    finally:
        connection.unregister("incoming")
    found = found.sort_by("_row")
    if found.num_rows > rows.num_rows:  # another writer left two rows of one key in a referenced table
        rows = rows.take(found["_row"].combine_chunks())
    for name in found.column_names[1:]:
        rows = rows.append_column(name, found[name])
    return rows


def find_outdated(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, referenced: Sequence[ReferencedTable]
) -> pa.Table | None:
    """Return the rows of the published table whose enriched columns are no longer current, with the current values.

    None if no referenced table was published since. The cost follows the keys that changed there; if the snapshot of
    the last enrichment is unknown or has expired, every row is compared.
    """
    if table.metadata.current_snapshot_id is None or not any(one.changed for one in referenced):
        return None
    affected = [_affected(connection, lake, at, one) for at, one in enumerate(referenced) if one.changed]
    existing = f"SELECT * FROM {lake.scan_sql(table, table.metadata.current_snapshot_id)} WHERE {' OR '.join(affected)}"
    names = ", ".join(identifier(name) for one in referenced for name in one.part.columns)
    differs = " OR ".join(
        f"r.{identifier(name)} IS DISTINCT FROM s{at}.{identifier(column)}"
        for at, one in enumerate(referenced)
        for name, column in one.part.columns.items()
    )
    return connection.execute(f"""
        WITH existing AS MATERIALIZED ({existing})
        SELECT r.* EXCLUDE ({names}), {_enriched(referenced)} {_joins(connection, lake, "existing", referenced)}
        WHERE {differs}
    """).to_arrow_table()


def _affected(connection: duckdb.DuckDBPyConnection, lake: Lake, at: int, one: ReferencedTable) -> str:
    """Return SQL of whether a row refers to a row that changed in the referenced table; register these changes."""
    if one.table is None or one.snapshot_id is None:
        return "FALSE"
    changes = changed_rows(lake, one.table, since=one.since, until=one.snapshot_id, columns=one.existing_columns)
    if changes is None:
        return "TRUE"
    connection.register(f"changes_{at}", changes)
    old, new = (f"SELECT * EXCLUDE _side FROM changes_{at} WHERE _side = '{side}'" for side in ("old", "new"))
    # ALL: a row that was added, and changed after a compaction, occurs twice among the new rows.
    differing = f"(({old}) EXCEPT ALL ({new})) UNION ALL (({new}) EXCEPT ALL ({old}))"
    return f"{identifier(one.part.on)} IN (SELECT {identifier(one.key)} FROM ({differing}))"


def _enriched(referenced: Sequence[ReferencedTable]) -> str:
    return ", ".join(
        f"s{at}.{identifier(column)} AS {identifier(name)}"
        for at, one in enumerate(referenced)
        for name, column in one.part.columns.items()
    )


def _joins(connection: duckdb.DuckDBPyConnection, lake: Lake, rows: str, referenced: Sequence[ReferencedTable]) -> str:
    """Return SQL: FROM the relation `rows` as r, joined with the rows s0, s1, ... of the tables that they refer to."""
    joins = []
    for at, one in enumerate(referenced):
        on, key = identifier(one.part.on), identifier(one.key)
        scan = _scan(connection, lake, at, one)
        needed = f"SELECT * FROM {scan} WHERE {key} IN (SELECT {on} FROM {rows})"
        joins.append(f"LEFT JOIN ({needed}) s{at} ON r.{on} = s{at}.{key}")
    return f"FROM {rows} r {' '.join(joins)}"


def _scan(connection: duckdb.DuckDBPyConnection, lake: Lake, at: int, one: ReferencedTable) -> str:
    """Return SQL of the referenced table's rows, in which the columns that it does not have yet are null."""
    if one.table is not None and one.existing_columns == one.columns.names:
        return lake.scan_sql(one.table, one.snapshot_id)
    connection.register(f"declared_{at}", one.columns.empty_table())
    if one.table is None:
        return f"declared_{at}"
    return f"(FROM declared_{at} UNION ALL BY NAME FROM {lake.scan_sql(one.table, one.snapshot_id)})"
