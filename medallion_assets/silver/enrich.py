"""Columns copied from the row that a row refers to: always that row's current values, null when there is none.

Belongs here: giving incoming rows those columns, and finding the rows already in the table whose values have changed in
the referenced table since. Does not belong here: committing either of them (batch).

Why current values, and not those of the day of the order:
docs/adr/0002-an-order-counts-for-its-customers-current-region.md
"""

from __future__ import annotations

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
from medallion_assets.silver.table import DELETED, ENRICHED_FROM, SILVER, silver_schema


@dataclass(frozen=True)
class Source:
    """A table that rows refer to.

    `table` is None until its first batch, and may lack columns of the contract until the next one; `declared` has them
    all. `snapshot_id` is what is published now, `since` what was published when our table was last enriched.
    """

    part: Enrichment
    key: str
    table: Table | None
    declared: pa.Schema
    snapshot_id: int | None
    since: int | None

    @property
    def moved(self) -> bool:
        """Whether the referenced table was published since our table was last enriched."""
        return self.snapshot_id is not None and self.snapshot_id != self.since


def sources(lake: Lake, table: Table, contract: Contract, domain: Domain) -> tuple[Source, ...]:
    """Return the tables that `contract` copies columns from, as they are published now."""
    found = []
    for part in contract.enrich:
        referenced = domain.by_name[part.table]
        there = lake.find(SILVER, referenced.lake_name)
        since = table.properties.get(f"{ENRICHED_FROM}{part.table}")
        found.append(
            Source(
                part=part,
                key=referenced.key_names[0],
                table=there,
                declared=silver_schema(referenced, domain),
                snapshot_id=there.metadata.current_snapshot_id if there is not None else None,
                since=int(since) if since else None,
            )
        )
    return tuple(found)


def enrich(connection: duckdb.DuckDBPyConnection, lake: Lake, rows: pa.Table, found: Sequence[Source]) -> pa.Table:
    """`rows` with the enriched columns added at the end; null for a deleted row."""
    if not found:
        return rows
    connection.register("incoming", rows)
    try:
        return connection.execute(
            f"SELECT r.*, {_columns(found)} {_joins(connection, lake, 'incoming', found)}"
        ).to_arrow_table()
    finally:
        connection.unregister("incoming")


def outdated(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, found: Sequence[Source]
) -> pa.Table | None:
    """The rows of the published table whose enriched columns differ from the current values, with those values.

    None when no referenced table was published since. The cost follows the keys that changed there, unless `since` is
    not known or its snapshot has expired: then every row is compared.
    """
    if table.metadata.current_snapshot_id is None or not any(source.moved for source in found):
        return None
    touched = [_touched(connection, lake, at, source) for at, source in enumerate(found) if source.moved]
    existing = (
        f"SELECT * FROM {lake.scan_sql(table, table.metadata.current_snapshot_id)} "
        f"WHERE NOT {DELETED} AND ({' OR '.join(touched)})"
    )
    names = ", ".join(identifier(name) for source in found for name in source.part.columns)
    differs = " OR ".join(
        f"r.{identifier(name)} IS DISTINCT FROM s{at}.{identifier(column)}"
        for at, source in enumerate(found)
        for name, column in source.part.columns.items()
    )
    return connection.execute(f"""
        WITH existing AS MATERIALIZED ({existing})
        SELECT r.* EXCLUDE ({names}), {_columns(found)} {_joins(connection, lake, "existing", found)} WHERE {differs}
    """).to_arrow_table()


def _touched(connection: duckdb.DuckDBPyConnection, lake: Lake, at: int, source: Source) -> str:
    """SQL: whether an existing row refers to a row that changed in the referenced table; registers those changes."""
    if source.table is None or source.snapshot_id is None:
        return "FALSE"
    copied = [
        name for name in dict.fromkeys(source.part.columns.values()) if name in source.table.schema().column_names
    ]
    columns = [source.key, DELETED, *copied]
    changes = changed_rows(lake, source.table, since=source.since, until=source.snapshot_id, columns=columns)
    if changes is None:
        return "TRUE"
    connection.register(f"changes_{at}", changes)
    old, new = (f"SELECT * EXCLUDE _side FROM changes_{at} WHERE _side = '{side}'" for side in ("old", "new"))
    # ALL: a row that was added, and changed after a compaction, is here as it came and as it is.
    differing = f"(({old}) EXCEPT ALL ({new})) UNION ALL (({new}) EXCEPT ALL ({old}))"
    return f"{identifier(source.part.on)} IN (SELECT {identifier(source.key)} FROM ({differing}))"


def _columns(found: Sequence[Source]) -> str:
    return ", ".join(
        f"s{at}.{identifier(column)} AS {identifier(name)}"
        for at, source in enumerate(found)
        for name, column in source.part.columns.items()
    )


def _joins(connection: duckdb.DuckDBPyConnection, lake: Lake, rows: str, found: Sequence[Source]) -> str:
    """Return SQL: FROM the relation `rows` as r, joined with the rows s0, s1, ... of the tables that they refer to."""
    joins = []
    for at, source in enumerate(found):
        on, key = identifier(source.part.on), identifier(source.key)
        scan = _scan(connection, lake, at, source)
        needed = f"SELECT * FROM {scan} WHERE NOT {DELETED} AND {key} IN (SELECT {on} FROM {rows})"
        joins.append(f"LEFT JOIN ({needed}) s{at} ON r.{on} = s{at}.{key} AND NOT r.{DELETED}")
    return f"FROM {rows} r {' '.join(joins)}"


def _scan(connection: duckdb.DuckDBPyConnection, lake: Lake, at: int, source: Source) -> str:
    """Return SQL of the referenced table's rows; columns that it does not have yet are null."""
    connection.register(f"declared_{at}", source.declared.empty_table())
    if source.table is None:
        return f"declared_{at}"
    scan = lake.scan_sql(source.table, source.snapshot_id)
    if set(source.part.columns.values()) <= set(source.table.schema().column_names):
        return scan
    return f"(FROM declared_{at} UNION ALL BY NAME FROM {scan})"
