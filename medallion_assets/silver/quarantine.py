"""The quarantine table: the changes that break their table's contract, with the reason and the raw images.

A change has one row, under its event id, however often it is delivered; the row is never removed. It is `open` until
one of three things happens: `resolved` (it is valid after all, and in Silver), `superseded` (Silver has a newer change
of its key, which may be a tombstone) or `dropped` (somebody gave it up with a reason; no rerun merges it). Published
Silver decides between them. So if a process dies between publishing and closing rows, the next `close_rows` finishes
the work.

Belongs here: reading and writing that table. Does not belong here: what is valid (decode), how many rejected changes
are too many (audit), merging open changes again (replay).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.bronze.chunks import OBJECT
from medallion_assets.capture.naming import ObjectName
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.condition import Condition, read_condition
from medallion_assets.errors import CommitConflict, MartError
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.decode import decode
from medallion_assets.silver.table import (
    DROPPED,
    EVENT_ID,
    OPEN,
    QUARANTINE,
    QUARANTINE_SCHEMA,
    RESOLVED,
    RUN_ID,
    SEQUENCE,
    SUPERSEDED,
    version_sql,
)
from medallion_assets.silver.tombstones import newest_changes_sql

_UTC: Final = pa.timestamp("us", tz="UTC")
_BATCH_ROWS: Final = 2048

# The columns of a Bronze row that `decode` reads and a quarantine row keeps.
_BRONZE_COLUMNS: Final = (
    "event_id",
    "event_name",
    "stream_arn",
    "sequence_number",
    "approximate_creation_time",
    "keys",
    "new_image",
    "old_image",
    "user_identity",
    OBJECT,
)


@dataclass(frozen=True)
class ClosedRows:
    """How many changes are no longer open, by their new status."""

    resolved: int
    superseded: int


@dataclass(frozen=True)
class Dropped:
    """The result of `drop`, in changes.

    - dropped: no longer open
    - superseded: Silver already had a newer change, so there was nothing left to drop
    - others: not open, so left as they were, by status
    """

    dropped: int
    superseded: int
    others: Mapping[str, int]


@translate_outages()
def quarantine_rows(lake: Lake, contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> None:
    """Add the changes that `decode` rejected, as open.

    A change that is open already gets its new reason; one that is superseded or dropped stays as it is. Raises
    LakeUnavailable, CommitConflict.
    """
    if rejected.num_rows == 0:
        return
    lake.ensure(QUARANTINE, contract.lake_name, QUARANTINE_SCHEMA, key=["event_id"])
    rows = _as_open(contract, rejected, run_id=run_id, now=now)

    def new_or_changed(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
        connection.register("rejected", rows)
        return connection.execute(f"""
            WITH incoming AS (SELECT DISTINCT ON (event_id) * FROM rejected ORDER BY event_id, "object"),
            known AS (SELECT * FROM {quarantine} WHERE event_id IN (SELECT event_id FROM incoming))
            SELECT i.* FROM incoming i ANTI JOIN (FROM known WHERE status <> '{RESOLVED}') k USING (event_id)
            UNION ALL BY NAME
            SELECT k.* REPLACE (i.column_name AS column_name, i.reason AS reason)
            FROM known k JOIN incoming i USING (event_id)
            WHERE k.status = '{OPEN}' AND (k.column_name, k.reason) IS DISTINCT FROM (i.column_name, i.reason)
        """).to_arrow_table()

    _write(lake, contract, new_or_changed, run_id)


@translate_outages()
def check_quarantine(lake: Lake, contract: Contract) -> CheckResult:
    """Return whether no change is open in quarantine, with their number and the time of the oldest one.

    Raises LakeUnavailable.
    """
    table, count, since = _published(lake, QUARANTINE, contract), 0, None
    if table is not None:
        with lake.duckdb() as connection:
            ((count, since),) = connection.execute(
                f"SELECT count(*), min(quarantined_at) FROM {table} WHERE status = '{OPEN}'"
            ).fetchall()
    return CheckResult(
        "quarantine",
        count == 0,
        "warn",
        f"No change of {contract.lake_name} is open in quarantine. `medallion quarantine list --table "
        f"{contract.lake_name}` shows those that are.",
        {"open": count, "since": "none" if since is None else since.isoformat()},
    )


@translate_outages()
def read_statuses(lake: Lake, contract: Contract, event_ids: pa.ChunkedArray) -> pa.Table:
    """Return `event_id`, `status` and `object` of those of these changes that are in quarantine.

    Raises LakeUnavailable.
    """
    columns = ["event_id", "status", "object"]
    table = _published(lake, QUARANTINE, contract)
    if table is None:
        return QUARANTINE_SCHEMA.empty_table().select(columns)
    with lake.duckdb() as connection:
        connection.register("changes", pa.table({"event_id": event_ids}))
        return connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE event_id IN (SELECT event_id FROM changes)"
        ).to_arrow_table()


def open_rows(lake: Lake, contract: Contract, where: str | None) -> Iterator[pa.Table]:
    """Yield the open changes for which `where` is true (None: all), a few thousand rows at a time.

    If the condition names `status`, dropped changes are included, so that they can be taken back. Raises MartError for
    a condition that is not allowed or cannot be run, and LakeUnavailable.
    """
    condition = None if where is None else _condition(where)
    table = _published(lake, QUARANTINE, contract)
    if table is None:
        return
    statuses = (OPEN, DROPPED) if condition is not None and "status" in condition.columns else (OPEN,)
    with lake.duckdb() as connection, _translate_condition_errors(where):
        yield from (
            pa.Table.from_batches([batch])
            for batch in connection.execute(
                f"SELECT * FROM {table} WHERE status IN ({_literals(statuses)}) AND {_sql(condition)}"
            ).to_arrow_reader(_BATCH_ROWS)
        )


def carry_dropped(lake: Lake, contract: Contract, into: Contract, *, run_id: str) -> None:
    """Copy the changes that somebody dropped to the quarantine of another contract's table.

    Raises LakeUnavailable, CommitConflict.
    """
    published = _published(lake, QUARANTINE, contract)
    if published is None:
        return
    lake.ensure(QUARANTINE, into.lake_name, QUARANTINE_SCHEMA, key=["event_id"])
    selected = f"SELECT * FROM {published} WHERE status = '{DROPPED}'"
    _write(lake, into, lambda connection, _: connection.execute(selected).to_arrow_table(), run_id)


def carry_open(lake: Lake, contract: Contract, into: Contract, *, run_id: str, now: datetime) -> None:
    """Add the open changes to the quarantine of another contract's table. Raises as quarantine_rows does."""
    for rows in open_rows(lake, contract, None):
        quarantine_rows(lake, into, rows.append_column(SEQUENCE, rows["sequence_number"]), run_id=run_id, now=now)


def bronze_rows(rows: pa.Table) -> pa.Table:
    """Return rows of the quarantine table, or rows that `decode` rejected, as Bronze rows that `decode` takes."""
    captured = pa.array(_captured_at(rows[OBJECT]), _UTC)
    return rows.select(_BRONZE_COLUMNS).append_column(pa.field("captured_at", _UTC), captured)


@translate_outages()
def compare_with_silver(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, bronze: pa.Table
) -> pa.Table:
    """Return `event_id` and `newer` of the Bronze rows for whose key this change or a newer one is merged.

    `newer` is false if it is exactly this change. A deletion counts as merged, too. Only the key of a row is decoded,
    so its other values may break the contract; a row whose key breaks it cannot be merged. Raises LakeUnavailable.
    """
    merged = newest_changes_sql(lake, contract)
    if merged is None or bronze.num_rows == 0:
        return pa.table({"event_id": pa.array([], pa.string()), "newer": pa.array([], pa.bool_())})
    removals = bronze
    for name, text in (("event_name", "REMOVE"), ("old_image", None), ("user_identity", None)):
        same = pa.repeat(pa.scalar(text, pa.string()), bronze.num_rows)
        removals = removals.set_column(removals.schema.get_field_index(name), name, same)
    connection.register("keyed", decode(connection, removals, contract).rows)
    same_key = " AND ".join(f"m.{identifier(name)} = k.{identifier(name)}" for name in contract.key_names)
    try:
        return connection.execute(f"""
            SELECT k.{EVENT_ID} AS event_id, bool_or({version_sql("m")} > {version_sql("k")}) AS newer
            FROM keyed k JOIN {merged} m ON {same_key} WHERE {version_sql("m")} >= {version_sql("k")}
            GROUP BY k.{EVENT_ID}
        """).to_arrow_table()
    finally:
        connection.unregister("keyed")


@translate_outages()
def close_rows(
    lake: Lake,
    contract: Contract,
    *,
    valid: pa.ChunkedArray,
    rejected: pa.Table,
    statuses: Collection[str] = (OPEN,),
    run_id: str,
    now: datetime,
) -> ClosedRows:
    """Update the status of changes that were just decoded, by comparing them with published Silver.

    `valid` are the event ids of valid changes. `rejected` are the others, as `decode` returned them; of these, rows
    with one of `statuses` become superseded if Silver is newer, and open with the new reason if it is not. Changes that
    are not in quarantine are ignored. Raises LakeUnavailable, CommitConflict.
    """

    def updated(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
        connection.register("valid", pa.table({"event_id": valid}))
        connection.register("rejected", rejected.select(["event_id", "column_name", "reason"]))
        rows = connection.execute(f"""
            SELECT * FROM {quarantine}
            WHERE status IN ('{OPEN}', '{DROPPED}') AND event_id IN (SELECT event_id FROM valid)
               OR status IN ({_literals(statuses)}) AND event_id IN (SELECT event_id FROM rejected)
        """).to_arrow_table()
        connection.register("rows", rows)
        connection.register("in_silver", compare_with_silver(connection, lake, contract, bronze_rows(rows)))
        return connection.execute(
            f"""
            WITH reasons AS (SELECT DISTINCT ON (event_id) * FROM rejected ORDER BY event_id),
            compared AS (
                SELECT q.* REPLACE (
                    CASE WHEN s.newer THEN '{SUPERSEDED}' WHEN r.event_id IS NOT NULL THEN '{OPEN}'
                         WHEN NOT s.newer THEN '{RESOLVED}' ELSE q.status END AS status,
                    CASE WHEN s.newer OR r.event_id IS NULL THEN q.column_name ELSE r.column_name END AS column_name,
                    CASE WHEN s.newer OR r.event_id IS NULL THEN q.reason ELSE r.reason END AS reason),
                    (q.status, q.column_name, q.reason) AS before
                FROM rows q LEFT JOIN reasons r USING (event_id) LEFT JOIN in_silver s USING (event_id))
            SELECT * EXCLUDE (before) REPLACE (CASE WHEN status <> '{OPEN}' THEN $now END AS resolved_at)
            FROM compared WHERE (status, column_name, reason) IS DISTINCT FROM before
        """,
            {"now": now},
        ).to_arrow_table()

    written = _write(lake, contract, updated, run_id)["status"].to_pylist()
    return ClosedRows(written.count(RESOLVED), written.count(SUPERSEDED))


@translate_outages()
def drop(lake: Lake, contract: Contract, *, where: str, reason: str, run_id: str, now: datetime) -> Dropped:
    """Give up the open changes for which `where` is true: they are never merged, even if the contract changes.

    Raises MartError for a condition that is not allowed or cannot be run, LakeUnavailable, CommitConflict.
    """
    condition = _condition(where)
    others: dict[str, int] = {}

    def dropped(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
        with _translate_condition_errors(where):
            selected = f"SELECT * FROM {quarantine} WHERE {_sql(condition)}"
            counts = connection.execute(f"SELECT status, count(*) FROM ({selected}) GROUP BY status").fetchall()
            rows = connection.execute(f"SELECT * FROM ({selected}) WHERE status = '{OPEN}'").to_arrow_table()
        others.clear()
        others.update({status: count for status, count in counts if status != OPEN})
        connection.register("rows", rows)
        connection.register("in_silver", compare_with_silver(connection, lake, contract, bronze_rows(rows)))
        return connection.execute(
            f"""
            SELECT q.* REPLACE (
                CASE WHEN s.newer THEN '{SUPERSEDED}' ELSE '{DROPPED}' END AS status,
                CASE WHEN s.newer THEN q.note ELSE $reason END AS note,
                $now AS resolved_at)
            FROM rows q LEFT JOIN in_silver s USING (event_id)
        """,
            {"reason": reason, "now": now},
        ).to_arrow_table()

    written = _write(lake, contract, dropped, run_id)["status"].to_pylist()
    return Dropped(written.count(DROPPED), written.count(SUPERSEDED), others)


def _as_open(contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> pa.Table:
    """Return rejected rows as open rows of the quarantine table."""
    constant = {
        "table_name": contract.table,
        "run_id": run_id,
        "status": OPEN,
        "quarantined_at": now,
        "resolved_at": None,
        "note": None,
    }
    columns = {
        "sequence_number": rejected[SEQUENCE],
        "capture_day": pa.array([at.date() for at in _captured_at(rejected[OBJECT])], pa.date32()),
    }
    columns |= {name: pa.array([value] * rejected.num_rows) for name, value in constant.items()}
    arrays = [columns[name] if name in columns else rejected[name] for name in QUARANTINE_SCHEMA.names]
    return pa.table(arrays, names=QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)


def _captured_at(objects: pa.ChunkedArray) -> list[datetime]:
    """Return when each of these objects was captured, by its name."""
    times = {name: ObjectName.parse(name).captured_at for name in pc.unique(objects).to_pylist()}
    return [times[name] for name in objects.to_pylist()]


def _published(lake: Lake, namespace: str, contract: Contract) -> str | None:
    """Return SQL that reads the table as it is published; None if it does not exist."""
    table = lake.find(namespace, contract.lake_name)
    return None if table is None else lake.scan_sql(table, None)


def _write(
    lake: Lake,
    contract: Contract,
    rows_of: Callable[[duckdb.DuckDBPyConnection, str], pa.Table],
    run_id: str,
) -> pa.Table:
    """Publish the rows that `rows_of` computes from the current table, and return them.

    If another writer was faster, they are computed again. There is no audit: rows in quarantine break rules by nature.
    """

    def write_once() -> pa.Table:
        table = lake.find(QUARANTINE, contract.lake_name)
        if table is None:
            return QUARANTINE_SCHEMA.empty_table()
        read = table.metadata.current_snapshot_id
        with lake.duckdb() as connection:
            rows = rows_of(connection, lake.scan_sql(table, None))
        if rows.num_rows == 0:
            return rows
        staged = stage_merge(
            lake,
            table,
            rows,
            key=["event_id"],
            properties={RUN_ID: run_id},
            rewrite_equal=True,
            order_by=["sequence_number"],
        )
        if staged.base_snapshot_id != read:
            discard(lake, table, staged)
            raise CommitConflict(f"{staged.table_id} moved while it was read")
        publish(lake, table, staged)
        return rows

    return retry_on_conflict(write_once, what=f"quarantine.{contract.lake_name}")


def _condition(where: str) -> Condition:
    return read_condition(where, QUARANTINE_SCHEMA.names)


@contextmanager
def _translate_condition_errors(where: str | None) -> Iterator[None]:
    """Raise MartError that names the condition if DuckDB cannot run it, LakeUnavailable if the lake did not answer."""
    try:
        with translate_outages():
            yield
    except duckdb.Error as refused:
        if where is None:
            raise
        raise MartError(f"{where!r} cannot be run: {str(refused).strip().splitlines()[0]}") from refused


def _sql(condition: Condition | None) -> str:
    return "TRUE" if condition is None else f"({condition.sql})"


def _literals(texts: Collection[str]) -> str:
    return ", ".join(literal(text) for text in texts)
