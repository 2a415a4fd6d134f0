"""The quarantine table: changes that break their table's contract, with the reason and the raw images.

A change is held under its event id, however often it is delivered. When it turns out valid (the contract was mended and
its day run again) it is marked resolved; it is never removed.

Belongs here: keeping that table. Does not belong here: deciding what is valid (decode), or how many are too many.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from medallion_assets.capture.naming import ObjectName
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CommitConflict, TableMissing
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.silver.bronze import OBJECT
from medallion_assets.silver.table import QUARANTINE, QUARANTINE_SCHEMA, RUN_ID, SEQUENCE_DIGITS

HELD, RESOLVED = "held", "resolved"
_TRIES = 4


def hold(lake: Lake, contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> None:
    """Keep the rejected Bronze rows. Those that are held already, for the same reason, stay as they are."""
    if rejected.num_rows == 0:
        return
    table = lake.ensure(QUARANTINE, contract.lake_name, QUARANTINE_SCHEMA, key=["event_id"])
    rows = _held_rows(contract, rejected, run_id=run_id, now=now)
    with lake.duckdb() as connection:
        connection.register("rejected", rows)
        known = f"SELECT event_id, column_name, reason FROM {lake.scan_sql(table, None)} WHERE status = '{HELD}'"
        news = connection.execute(f"""
            SELECT r.* FROM (SELECT DISTINCT ON (event_id) * FROM rejected ORDER BY event_id, "object") r
            ANTI JOIN ({known}) k ON r.event_id = k.event_id AND r.reason = k.reason
                AND r.column_name IS NOT DISTINCT FROM k.column_name
        """).to_arrow_table()
    _merge(lake, table, news, run_id)


def resolve(lake: Lake, contract: Contract, valid: pa.ChunkedArray, *, run_id: str, now: datetime) -> int:
    """Mark those held changes resolved whose event ids are in `valid`; return how many they are."""
    try:
        table = lake.table(QUARANTINE, contract.lake_name)
    except TableMissing:
        return 0
    if table.metadata.current_snapshot_id is None or len(valid) == 0:
        return 0
    with lake.duckdb() as connection:
        connection.register("valid", pa.table({"event_id": valid}))
        mended = connection.execute(f"""
            SELECT * FROM {lake.scan_sql(table, None)}
            WHERE status = '{HELD}' AND event_id IN (SELECT event_id FROM valid)
        """).to_arrow_table()
    if mended.num_rows:
        mended = _with_constant(mended, "status", pa.scalar(RESOLVED))
        mended = _with_constant(mended, "resolved_at", pa.scalar(now, pa.timestamp("us", tz="UTC")))
        _merge(lake, table, mended, run_id)
    return int(mended.num_rows)


def _held_rows(contract: Contract, rejected: pa.Table, *, run_id: str, now: datetime) -> pa.Table:
    days = {name: ObjectName.parse(name).captured_at.date() for name in pc.unique(rejected[OBJECT]).to_pylist()}
    constant = {
        "table_name": contract.table,
        "run_id": run_id,
        "status": HELD,
        "held_at": now,
        "resolved_at": None,
    }
    columns = {
        "sequence_number": pc.utf8_lpad(rejected["sequence_number"], SEQUENCE_DIGITS, "0"),
        "capture_day": pa.array([days[name] for name in rejected[OBJECT].to_pylist()], pa.date32()),
    }
    columns |= {name: pa.array([value] * rejected.num_rows) for name, value in constant.items()}
    arrays = [columns[name] if name in columns else rejected[name] for name in QUARANTINE_SCHEMA.names]
    return pa.table(arrays, names=QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)


def _with_constant(rows: pa.Table, name: str, value: pa.Scalar) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, pa.repeat(value, rows.num_rows))


def _merge(lake: Lake, table: Table, rows: pa.Table, run_id: str) -> None:
    """Publish `rows`, planned again when another writer was faster. Nothing is audited: rows here are bad by nature."""
    if rows.num_rows == 0:
        return
    for left in reversed(range(_TRIES)):
        try:
            staged = stage_merge(
                lake,
                table,
                rows,
                key=["event_id"],
                branch=f"audit-{run_id}",
                properties={RUN_ID: run_id},
                rewrite_equal=True,
                order_by="sequence_number",
            )
            publish(lake, table, staged)
        except CommitConflict:
            if not left:
                raise
        else:
            return
