"""The table of a key's versions: one row for every valid change of a key, in the order of the source.

A row is a function of the set of changes that the table has of its key. So changes may come in any order, twice, or
again after a crash: the change is looked up by key and version, its neighbours are computed again, and only rows that
come out differently are written, as position deletes and new files. No data file is rewritten.

It is written after the audit of a batch and before the commit that publishes it. If a process dies between the two, the
table is ahead of Silver, whose Position has not moved: the next run records the same changes, which changes nothing.

Closed rows are partitioned by the month in which they ended, and rows that are valid now are a partition of their own.

Belongs here: reading and writing that table. Does not belong here: which changes there are (changes), for how long rows
stay (maintenance.history).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.contracts.model import HISTORY_COLUMNS, Contract
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
    CHANGED_AT,
    DELETED,
    DELETED_BY,
    EXPIRED_AT,
    HISTORY,
    IS_DELETION,
    RUN_ID,
    VERSION,
    meta_columns,
)

VALID_FROM, VALID_TO, OPERATION = HISTORY_COLUMNS
_PARTITION: Final = ((VALID_TO, "month"),)

_UTC: Final = pa.timestamp("us", tz="UTC")
_REMOVALS: Final = {"user": "remove", "repair": "remove", "ttl": "expired"}
"""The operation of a deletion by `_deleted_by`, where it has another name."""

_EXPIRED_ROWS: Final = 500_000


def history_schema(contract: Contract) -> pa.Schema:
    """Return the Arrow schema of a contract's history.

    - the contract's columns, without enriched ones: as the change left them; of a deletion, only the key
    - `meta_columns`, of the change
    - DELETED_BY: as in the table of deleted keys; null if the change is no deletion
    - VALID_FROM: when the change was made. Clocks are not exact: a later change of the key that says an earlier time
      counts for the changes before it, too, so the times of a key never go backwards in the order of its changes
    - VALID_TO: VALID_FROM of the key's next change, or null; of a deletion, its own VALID_FROM, so that it is never
      valid
    - OPERATION: 'insert', 'modify', 'remove', 'expired' (time to live), 'soft_delete' or 'moved'
    """
    fields = [
        pa.field(name, column.type.arrow(), nullable=name not in contract.key_names, metadata={"doc": str(column.type)})
        for name, column in contract.by_name.items()
    ]
    return pa.schema(
        [
            *fields,
            *meta_columns(contract),
            pa.field(DELETED_BY, pa.string()),
            pa.field(VALID_FROM, _UTC, nullable=False),
            pa.field(VALID_TO, _UTC),
            pa.field(OPERATION, pa.string(), nullable=False),
        ]
    )


def ensure_history(lake: Lake, contract: Contract) -> Table:
    """Return the contract's history to a writer: create it, or change its columns to those of the contract.

    Raises SchemaMismatch if it has other types or another key, LakeUnavailable.
    """
    return lake.ensure(
        HISTORY,
        contract.lake_name,
        history_schema(contract),
        key=[*contract.key_names, *VERSION],
        partition_by=_PARTITION,
        renamed={name: column.renamed_from for name, column in contract.by_name.items() if column.renamed_from},
        retired=[column.name for column in contract.retired.values()],
    )


@translate_outages()
def record_history(
    lake: Lake, contract: Contract, connection: duckdb.DuckDBPyConnection, changes: pa.Table, *, run_id: str
) -> None:
    """Record changes, as `decode` returns them, in the contract's history. Changes that it has may be among them.

    Of two deliveries of a change, the one counts that was captured first; of two that were captured at the same time,
    the one that is recorded later, because the contract may have been corrected. Raises SchemaMismatch if the table has
    other types or another key than the contract, LakeUnavailable, CommitConflict.
    """
    if not changes.num_rows:
        return
    schema = history_schema(contract)

    def record_once() -> None:
        table = ensure_history(lake, contract)
        stored = rows_of_keys(
            connection,
            table,
            _distinct(connection, changes, contract.key_names),
            key=contract.key_names,
            columns=table.schema().column_names,
        )
        rows = _versions(connection, contract, changes, stored).cast(schema)
        if not rows.num_rows:
            return
        staged = stage_merge(
            lake,
            table,
            rows,
            key=[*contract.key_names, *VERSION],
            order_by=(),
            properties={RUN_ID: run_id},
            rewrite_equal=True,
        )
        publish(lake, table, staged)
        compact(lake, table)

    retry_on_conflict(record_once, what=f"{HISTORY}.{contract.lake_name}")


@translate_outages()
def expire_history(lake: Lake, contract: Contract, *, ended_before: datetime, run_id: str) -> int:
    """Remove the rows that ended before a time, and return how many. Raises LakeUnavailable, CommitConflict.

    A deletion stays while rows that it ends may still come: until the key's next change is as old, or, if there is
    none, while the table of deleted keys has the key.
    """
    return retry_on_conflict(
        lambda: _expire(lake, contract, ended_before, run_id), what=f"{HISTORY}.{contract.lake_name}"
    )


def _expire(lake: Lake, contract: Contract, ended_before: datetime, run_id: str) -> int:
    table = lake.find(HISTORY, contract.lake_name)
    if table is None:
        return 0
    table.refresh()
    key = [*contract.key_names, *VERSION]
    keys, version = _list(contract.key_names), ", ".join(VERSION)
    with lake.duckdb() as connection:
        rows = lake.scan_sql(table, table.metadata.current_snapshot_id)
        deleted = lake.find(DELETED, contract.lake_name)
        still = "FALSE"
        if deleted is not None and (snapshot := deleted.metadata.current_snapshot_id) is not None:
            still = f"({keys}) IN (SELECT ({keys}) FROM {lake.scan_sql(deleted, snapshot)})"
        old = connection.execute(
            f"""
            WITH old AS (SELECT {_list(key)}, {VALID_TO}, {DELETED_BY} FROM {rows} WHERE {VALID_TO} < $ended_before),
            followed AS (SELECT {_list(key)}, lead({VALID_FROM}) OVER (PARTITION BY {keys} ORDER BY {version}) AS _next
                FROM {rows} SEMI JOIN (SELECT {keys} FROM old WHERE {DELETED_BY} IS NOT NULL) USING ({keys}))
            SELECT {_list(key)} FROM old LEFT JOIN followed USING ({_list(key)})
            WHERE {DELETED_BY} IS NULL OR coalesce(_next < $ended_before, NOT {still})
            ORDER BY {VALID_TO} LIMIT {_EXPIRED_ROWS}""",
            {"ended_before": ended_before},
        ).to_arrow_table()
    if old.num_rows:
        none = history_schema(contract).empty_table()
        staged = stage_merge(
            lake, table, none, removals=old, key=key, order_by=(), properties={RUN_ID: run_id}, rewrite_equal=True
        )
        publish(lake, table, staged)
    return int(old.num_rows)


def _distinct(connection: duckdb.DuckDBPyConnection, changes: pa.Table, key: Iterable[str]) -> pa.Table:
    connection.register("changes", changes.select(list(key)))
    try:
        return connection.execute("SELECT DISTINCT * FROM changes").to_arrow_table().cast(changes.select(key).schema)
    finally:
        connection.unregister("changes")


def _versions(
    connection: duckdb.DuckDBPyConnection, contract: Contract, changes: pa.Table, stored: pa.Table
) -> pa.Table:
    """Return the rows of these changes and of the `stored` rows of their keys that are not stored as they should be."""
    columns = [*contract.by_name, *meta_columns(contract).names, DELETED_BY]
    keys, version = _list(contract.key_names), ", ".join(VERSION)
    known = f"{VALID_FROM}, {VALID_TO}, {OPERATION}"
    expired = f"WHEN {EXPIRED_AT} IS NOT NULL THEN 'expired'" if EXPIRED_AT in columns else ""
    removals = " ".join(f"WHEN '{by}' THEN '{operation}'" for by, operation in _REMOVALS.items())
    connection.register("changes", changes.select([*columns, IS_DELETION]))
    connection.register("stored", stored)
    try:
        return connection.execute(f"""
            WITH every AS (
                SELECT {_list(columns)}, FALSE AS _is_stored FROM changes
                UNION ALL SELECT {_list(columns)}, TRUE FROM stored),
            once AS (SELECT * FROM every QUALIFY row_number() OVER (
                PARTITION BY {keys}, {version} ORDER BY {CAPTURED_AT}, _is_stored, _event_id) = 1),
            timed AS (SELECT *, min(coalesce({CHANGED_AT}, {CAPTURED_AT})) OVER (PARTITION BY {keys}
                ORDER BY {version} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS _from FROM once),
            ended AS (SELECT *,
                CASE WHEN {DELETED_BY} IS NULL THEN lead(_from) OVER following ELSE _from END AS _to,
                row_number() OVER following = 1 AS _is_first,
                coalesce(lag({DELETED_BY} IS NULL) OVER following, FALSE) AS _follows_row
                FROM timed WINDOW following AS (PARTITION BY {keys} ORDER BY {version})),
            before AS (SELECT {keys}, {version}, {known} FROM stored),
            named AS (SELECT e.*, b.{VALID_FROM} AS _old_from, b.{VALID_TO} AS _old_to, b.{OPERATION} AS _old_operation,
                CASE WHEN {DELETED_BY} IS NOT NULL THEN CASE {DELETED_BY} {removals} ELSE {DELETED_BY} END
                    {expired} WHEN _follows_row THEN 'modify'
                    -- What was before the oldest row that is stored may have been removed.
                    WHEN _is_first AND b.{OPERATION} IN ('insert', 'modify') THEN b.{OPERATION}
                    ELSE 'insert' END AS _operation
                FROM ended e LEFT JOIN before b USING ({keys}, {version}))
            SELECT {_list(columns)}, _from AS {VALID_FROM}, _to AS {VALID_TO}, _operation AS {OPERATION} FROM named
            WHERE NOT _is_stored OR _from <> _old_from OR _to IS DISTINCT FROM _old_to OR _operation <> _old_operation
        """).to_arrow_table()
    finally:
        connection.unregister("changes")
        connection.unregister("stored")


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(identifier, names))
