"""The table of deleted keys: one row, a tombstone, for every key that the source has deleted and not written again.

A deletion must win over an older update of its key, however much later that update arrives. Silver has no row of the
key then, so this table remembers the version of the deletion.

It is written before the commit that removes the rows from Silver. If a process dies between the two, Silver still shows
the row, as before; its Position has not moved, so the next run removes it. An older update meanwhile loses to the
tombstone. A key that is written again loses its tombstone after Silver has published the new row; if a process dies
between those two, the tombstone is older than Silver's row and changes nothing; `tidy_tombstones` removes it.

A writer reads Silver's snapshot first and this table afterwards. So it sees the tombstone of every deletion that its
snapshot contains; a deletion that is published later makes its commit a conflict.

Belongs here: reading and writing that table. Does not belong here: which deletions there are (changes), removing rows
from Silver (batch).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa

from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.lookup import rows_of_keys
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.table import (
    CAPTURED_AT,
    DELETED,
    DROPPED,
    OPEN,
    QUARANTINE,
    RUN_ID,
    SILVER,
    VERSION,
    deleted_schema,
    version_sql,
)

_CARRIED_ROWS: Final = 500_000


@translate_outages()
def find_tombstones(lake: Lake, contract: Contract, connection: duckdb.DuckDBPyConnection, keys: pa.Table) -> pa.Table:
    """Return the key and version of the tombstones of these keys. Raises LakeUnavailable."""
    columns = [*contract.key_names, *VERSION]
    table = lake.find(DELETED, contract.lake_name)
    if table is None:
        return deleted_schema(contract).empty_table().select(columns)
    return rows_of_keys(connection, table, keys, key=contract.key_names, columns=columns)


@translate_outages()
def record_tombstones(lake: Lake, contract: Contract, deletions: pa.Table, *, run_id: str) -> None:
    """Publish deletions, decoded by `decode`, as tombstones; an older one of the same key is replaced.

    Raises LakeUnavailable, CommitConflict.
    """
    if deletions.num_rows:
        schema = deleted_schema(contract)
        _write(lake, contract, deletions.select(schema.names).cast(schema), None, run_id)


@translate_outages()
def forget_tombstones(lake: Lake, contract: Contract, written: pa.Table, *, run_id: str) -> None:
    """Remove the tombstones that are not newer than these keys and versions. Raises LakeUnavailable, CommitConflict."""
    if written.num_rows and lake.find(DELETED, contract.lake_name) is not None:
        _write(lake, contract, deleted_schema(contract).empty_table(), written, run_id)


@translate_outages()
def carry_tombstones(lake: Lake, contract: Contract, into: Contract, *, run_id: str) -> None:
    """Record the tombstones of a contract's table in that of another contract, which has the same key, too.

    Raises LakeUnavailable, CommitConflict.
    """
    table = lake.find(DELETED, contract.lake_name)
    if table is None:
        return
    with lake.duckdb() as connection:
        reader = connection.execute(f"SELECT * FROM {lake.scan_sql(table, None)}").to_arrow_reader(_CARRIED_ROWS)
        for batch in reader:
            record_tombstones(lake, into, pa.Table.from_batches([batch]), run_id=run_id)


def newest_changes_sql(lake: Lake, contract: Contract) -> str | None:
    """Return SQL of key and version of every key in published Silver and of every deleted key; None if there is none.

    A key may stand in both: its greatest version counts.
    """
    columns = ", ".join([*map(identifier, contract.key_names), *VERSION])
    tables = [lake.find(namespace, contract.lake_name) for namespace in (SILVER, DELETED)]
    parts = [f"SELECT {columns} FROM {lake.scan_sql(table, None)}" for table in tables if table is not None]
    return f"({' UNION ALL '.join(parts)})" if parts else None


@translate_outages()
def tidy_tombstones(lake: Lake, contract: Contract, *, oldest_change: datetime | None, run_id: str) -> int:
    """Remove the tombstones that nothing needs any more, and return how many.

    These are the tombstones that are not newer than Silver's row of their key, and those that were captured before
    `oldest_change`: no change that was captured earlier than that can be merged any more. None if that is not known.
    The latter stay while a change of the table is open or dropped in quarantine, because that one may be merged, too.
    Raises LakeUnavailable, CommitConflict.
    """
    silver, table = (lake.find(namespace, contract.lake_name) for namespace in (SILVER, DELETED))
    if silver is None or table is None:
        return 0
    same_key = " AND ".join(f"s.{identifier(name)} = d.{identifier(name)}" for name in contract.key_names)
    names = ", ".join(f"d.{identifier(name)}" for name in [*contract.key_names, *VERSION])
    parameters: dict[str, datetime] = {}
    with lake.duckdb() as connection:
        deleted = lake.scan_sql(table, None)
        selects = [
            f"SELECT {names} FROM {deleted} d JOIN {lake.scan_sql(silver, None)} s ON {same_key} "
            f"WHERE {version_sql('s')} >= {version_sql('d')}"
        ]
        if oldest_change is not None and not _any_may_return(lake, contract, connection):
            selects.append(f"SELECT {names} FROM {deleted} d WHERE {CAPTURED_AT} < $oldest_change")
            parameters["oldest_change"] = oldest_change
        unneeded = connection.execute(" UNION ".join(selects), parameters).to_arrow_table()
    if unneeded.num_rows:
        _write(lake, contract, deleted_schema(contract).empty_table(), unneeded, run_id)
    return int(unneeded.num_rows)


def _any_may_return(lake: Lake, contract: Contract, connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether quarantine has a change that a replay may merge."""
    table = lake.find(QUARANTINE, contract.lake_name)
    if table is None:
        return False
    ((waiting,),) = connection.execute(
        f"SELECT count(*) FROM {lake.scan_sql(table, None)} WHERE status IN ('{OPEN}', '{DROPPED}')"
    ).fetchall()
    return bool(waiting)


def _write(lake: Lake, contract: Contract, rows: pa.Table, removals: pa.Table | None, run_id: str) -> None:
    """Publish rows and removals. There is no audit: a deletion breaks no rule of a contract."""

    def write_once() -> None:
        table = lake.ensure(DELETED, contract.lake_name, deleted_schema(contract), key=contract.key_names)
        staged = stage_merge(
            lake,
            table,
            rows,
            removals=removals,
            key=contract.key_names,
            order_by=VERSION,
            properties={RUN_ID: run_id},
        )
        if staged.changed:
            publish(lake, table, staged)
            compact(lake, table)

    retry_on_conflict(write_once, what=f"{DELETED}.{contract.lake_name}")
