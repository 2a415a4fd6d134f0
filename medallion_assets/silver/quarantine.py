"""The quarantine table: changes that break their table's contract, with the reason and the raw images.

A change is held under its event id, however often it is delivered, and its row is never removed. It stays the truth of
its key until it is no longer held: `resolved` (valid after all, and in Silver), `superseded` (Silver has a newer change
of its key, a tombstone counts too) or `dropped` (somebody gave it up and said why; no rerun merges it then). What is in
Silver decides, as published, so a crash between a publish and the mark is made good by whoever marks next.

Belongs here: keeping that table. Does not belong here: deciding what is valid (decode), how many are too many
(quality), merging what is held (replay).
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

from medallion_assets.capture.naming import ObjectName
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.condition import Condition, read_condition
from medallion_assets.errors import CommitConflict, MartError
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH
from medallion_assets.lake.duck import identifier, literal
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.bronze import OBJECT
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
    SILVER,
    SUPERSEDED,
)

_UTC: Final = pa.timestamp("us", tz="UTC")
_BATCH_ROWS: Final = 2048


@dataclass(frozen=True)
class ClosedRows:
    """How many changes are held no longer, by what became of them."""

    resolved: int
    superseded: int


@dataclass(frozen=True)
class Dropped:
    """What `drop` did, in changes. `superseded` ones had been overtaken in Silver: there was nothing left to drop.

    `others` are those it was told to drop that were not held, by status; they are as they were.
    """

    dropped: int
    superseded: int
    others: Mapping[str, int]


@translate_outages()
def quarantine_rows(lake: Lake, contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> None:
    """Keep what `decode` rejected.

    A change that is held already only gets its new reason; one that was superseded or dropped stays so.
    """
    if rejected.num_rows == 0:
        return
    lake.ensure(QUARANTINE, contract.lake_name, QUARANTINE_SCHEMA, key=["event_id"])
    rows = _new_rows(contract, rejected, run_id=run_id, now=now)

    def news(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
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

    _write(lake, contract, news, run_id)


@translate_outages()
def check_quarantine(lake: Lake, contract: Contract) -> CheckResult:
    """Whether no change waits in quarantine, with how many there are and since when."""
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
        f"No change of {contract.lake_name} is held in quarantine. `medallion quarantine list --table "
        f"{contract.lake_name}` shows those that are.",
        {"open": count, "since": "none" if since is None else since.isoformat()},
    )


@translate_outages()
def unmerged_statuses(lake: Lake, contract: Contract) -> pa.Table:
    """The `event_id` and `status` of every change that is held or dropped."""
    table = _published(lake, QUARANTINE, contract)
    if table is None:
        return QUARANTINE_SCHEMA.empty_table().select(["event_id", "status"])
    with lake.duckdb() as connection:
        return connection.execute(
            f"SELECT event_id, status FROM {table} WHERE status IN ('{OPEN}', '{DROPPED}')"
        ).to_arrow_table()


def open_rows(lake: Lake, contract: Contract, where: str | None) -> Iterator[pa.Table]:
    """The held changes for which `where` is true, all of them without it, a few thousand rows at a time.

    A condition on `status` chooses among the dropped ones, too: so they can be taken back. Raises MartError for a
    condition that cannot be.
    """
    condition = None if where is None else _condition(where)
    table = _published(lake, QUARANTINE, contract)
    if table is None:
        return
    statuses = (OPEN, DROPPED) if condition is not None and "status" in condition.columns else (OPEN,)
    with lake.duckdb() as connection, _telling(where):
        yield from (
            pa.Table.from_batches([batch])
            for batch in connection.execute(
                f"SELECT * FROM {table} WHERE status IN ({_texts(statuses)}) AND {_sql(condition)}"
            ).to_arrow_reader(_BATCH_ROWS)
        )


def bronze_rows(quarantined: pa.Table) -> pa.Table:
    """Rows of the quarantine table as the Bronze rows they were, as far as `decode` reads them."""
    columns = ["event_id", "event_name", "sequence_number", "approximate_creation_time", "keys", "new_image"]
    return quarantined.select([*columns, "old_image", OBJECT]).append_column(
        pa.field("captured_at", _UTC), pa.array(_captured(quarantined[OBJECT]), _UTC)
    )


@translate_outages()
def close_rows(
    lake: Lake,
    contract: Contract,
    *,
    valid: pa.ChunkedArray,
    rejected: pa.Table,
    taken: Collection[str] = (OPEN,),
    run_id: str,
    now: datetime,
) -> ClosedRows:
    """Give changes that were just decoded the status that follows from Silver as published.

    `valid` are event ids, `rejected` is what `decode` says of the others; of these only the ones that are `taken` now
    are looked at: superseded if Silver is newer, otherwise held for the new reason. Changes that never were in the
    table do not come in.
    """

    def marked(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
        connection.register("valid", pa.table({"event_id": valid}))
        connection.register("rejected", rejected.select(["event_id", "column_name", "reason"]))
        rows = connection.execute(f"""
            SELECT * FROM {quarantine}
            WHERE status IN ('{OPEN}', '{DROPPED}') AND event_id IN (SELECT event_id FROM valid)
               OR status IN ({_texts(taken)}) AND event_id IN (SELECT event_id FROM rejected)
        """).to_arrow_table()
        connection.register("rows", rows)
        connection.register("there", _in_silver(connection, lake, contract, rows))
        return connection.execute(
            f"""
            WITH said AS (SELECT DISTINCT ON (event_id) * FROM rejected ORDER BY event_id),
            judged AS (
                SELECT q.* REPLACE (
                    CASE WHEN t.newer THEN '{SUPERSEDED}' WHEN s.event_id IS NOT NULL THEN '{OPEN}'
                         WHEN NOT t.newer THEN '{RESOLVED}' ELSE q.status END AS status,
                    CASE WHEN t.newer OR s.event_id IS NULL THEN q.column_name ELSE s.column_name END AS column_name,
                    CASE WHEN t.newer OR s.event_id IS NULL THEN q.reason ELSE s.reason END AS reason),
                    (q.status, q.column_name, q.reason) AS known
                FROM rows q LEFT JOIN said s USING (event_id) LEFT JOIN there t USING (event_id))
            SELECT * EXCLUDE (known) REPLACE (CASE WHEN status <> '{OPEN}' THEN $now END AS resolved_at)
            FROM judged WHERE (status, column_name, reason) IS DISTINCT FROM known
        """,
            {"now": now},
        ).to_arrow_table()

    statuses = _write(lake, contract, marked, run_id)["status"].to_pylist()
    return ClosedRows(statuses.count(RESOLVED), statuses.count(SUPERSEDED))


@translate_outages()
def drop(lake: Lake, contract: Contract, *, where: str, reason: str, run_id: str, now: datetime) -> Dropped:
    """Give up the held changes for which `where` is true: they are never merged, whatever the contract says later.

    Raises MartError for a condition that cannot be.
    """
    condition = _condition(where)
    others: dict[str, int] = {}

    def given_up(connection: duckdb.DuckDBPyConnection, quarantine: str) -> pa.Table:
        with _telling(where):
            found = f"SELECT * FROM {quarantine} WHERE {_sql(condition)}"
            counts = connection.execute(f"SELECT status, count(*) FROM ({found}) GROUP BY status").fetchall()
            rows = connection.execute(f"SELECT * FROM ({found}) WHERE status = '{OPEN}'").to_arrow_table()
        others.clear()
        others.update({status: count for status, count in counts if status != OPEN})
        connection.register("rows", rows)
        connection.register("there", _in_silver(connection, lake, contract, rows))
        return connection.execute(
            f"""
            SELECT q.* REPLACE (
                CASE WHEN t.newer THEN '{SUPERSEDED}' ELSE '{DROPPED}' END AS status,
                CASE WHEN t.newer THEN q.note ELSE $reason END AS note,
                $now AS resolved_at)
            FROM rows q LEFT JOIN there t USING (event_id)
        """,
            {"reason": reason, "now": now},
        ).to_arrow_table()

    statuses = _write(lake, contract, given_up, run_id)["status"].to_pylist()
    return Dropped(statuses.count(DROPPED), statuses.count(SUPERSEDED), others)


def _in_silver(connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, rows: pa.Table) -> pa.Table:
    """The `event_id` of each change whose key Silver has at that change (`newer` is false) or at a newer one (true).

    A key is read as a deletion's is, so it is known whatever else is wrong with the row; one that does not fit its own
    type cannot be in Silver.
    """
    nothing = pa.table({"event_id": pa.array([], pa.string()), "newer": pa.array([], pa.bool_())})
    silver = _published(lake, SILVER, contract)
    if silver is None or rows.num_rows == 0:
        return nothing
    removals = bronze_rows(rows)
    names = pa.repeat(pa.scalar("REMOVE"), removals.num_rows)
    removals = removals.set_column(removals.schema.get_field_index("event_name"), "event_name", names)
    connection.register("keyed", decode(connection, removals, contract).rows)
    same_key = " AND ".join(f"s.{identifier(name)} = k.{identifier(name)}" for name in contract.key_names)
    try:
        return connection.execute(f"""
            SELECT k.{EVENT_ID} AS event_id, s.{SEQUENCE} > k.{SEQUENCE} AS newer
            FROM keyed k JOIN {silver} s ON {same_key} WHERE s.{SEQUENCE} >= k.{SEQUENCE}
        """).to_arrow_table()
    finally:
        connection.unregister("keyed")


def _new_rows(contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> pa.Table:
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
        "capture_day": pa.array([at.date() for at in _captured(rejected[OBJECT])], pa.date32()),
    }
    columns |= {name: pa.array([value] * rejected.num_rows) for name, value in constant.items()}
    arrays = [columns[name] if name in columns else rejected[name] for name in QUARANTINE_SCHEMA.names]
    return pa.table(arrays, names=QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)


def _captured(objects: pa.ChunkedArray) -> list[datetime]:
    """When each object was captured: its name says."""
    known = {name: ObjectName.parse(name).captured_at for name in pc.unique(objects).to_pylist()}
    return [known[name] for name in objects.to_pylist()]


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
    """Publish the rows that `rows_of` makes of the table as it is, and return them.

    They are made again when another writer was faster. Nothing is audited: rows here are bad by nature.
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
            branch=f"{AUDIT_BRANCH}{run_id}",
            properties={RUN_ID: run_id},
            rewrite_equal=True,
            order_by="sequence_number",
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
def _telling(where: str | None) -> Iterator[None]:
    """Say of a condition that DuckDB cannot compute that it is the condition."""
    try:
        with translate_outages():
            yield
    except duckdb.Error as refused:
        if where is None:
            raise
        raise MartError(f"{where!r} cannot be run: {str(refused).strip().splitlines()[0]}") from refused


def _sql(condition: Condition | None) -> str:
    return "TRUE" if condition is None else f"({condition.sql})"


def _texts(texts: Collection[str]) -> str:
    return ", ".join(literal(text) for text in texts)
