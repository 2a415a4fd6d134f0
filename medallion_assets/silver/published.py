"""The audit of a published Silver table, for a check that is executed alone.

Belongs here: which part of the table is read, and what is audited of it. Does not belong here: the checks themselves
(audit), the audit of a staged batch (batch).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.store import BronzeStore
from medallion_assets.checks.results import CheckResult, missing_columns
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.engine import Engine
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.outage import translate_outages
from medallion_assets.silver.audit import Audit, Batch, RowCounts, check_names
from medallion_assets.silver.changes import read_changes
from medallion_assets.silver.latest import latest
from medallion_assets.silver.table import IS_DELETION, OBJECTS, ROW_COUNT, SILVER, silver_schema, version_sql
from medallion_assets.silver.tombstones import find_tombstones
from medallion_assets.silver.whole_table import WholeTable

BATCH_CHECKS: Final = frozenset({"bronze_counts", "quarantine_rate"})
"""The checks of a batch, not of the table. On a published table they are of the last batch that it contains."""


@translate_outages()
def audit_published(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    domain: Domain,
    *,
    names: Collection[str],
    now: datetime,
    engine: Engine,
) -> list[CheckResult]:
    """Return the results of the checks `names` on the published table; none if nothing is published yet.

    `engine` reads the whole table. For a check of a batch, the Bronze objects of the last batch are read and decoded
    again, here. Raises LakeUnavailable, CorruptObject, and what the engine raises.
    """
    table = lake.find(SILVER, contract.lake_name)
    if table is None or table.metadata.current_snapshot_id is None:
        return []
    schema = silver_schema(contract, domain)
    if missing := [name for name in schema.names if name not in table.schema().column_names]:
        return missing_columns(missing, [check for check in check_names(contract) if check[0] in names])
    with lake.duckdb() as connection:
        audit = Audit(
            connection,
            lake,
            table,
            snapshot_id=None,
            contract=contract,
            domain=domain,
            schema=schema,
            whole=WholeTable(engine, lake, table, None, contract, domain),
            now=now,
        )
        objects = _last_objects(table) if BATCH_CHECKS & set(names) else []
        batch = (
            _read_batch(connection, lake, store, contract, domain, objects=objects) if objects else _no_batch(schema)
        )
        results, _ = audit.run(batch, RowCounts.read(table.properties.get(ROW_COUNT)))
    return [result for result in results if result.name in names]


def _last_objects(table: Table) -> list[str]:
    """Return the Bronze objects of the last batch in the table; none if no snapshot with a batch is left."""
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        if objects := json.loads(summary.get(OBJECTS, "[]")):
            return list(objects)
    return []


def _read_batch(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    domain: Domain,
    *,
    objects: Sequence[str],
) -> Batch:
    """Return the batch of these objects: `merged` is the number of its newest valid changes, one per key."""
    read = list(read_changes(lake, store, contract, domain, objects, whole=True))
    valid = pa.concat_tables([changes.rows for changes in read])
    rejected = pa.concat_tables([changes.rejected for changes in read])
    newest = latest(connection, valid, contract.key_names)
    removed = newest[IS_DELETION]
    rows, deletions = newest.filter(pc.invert(removed)), newest.filter(removed)
    return Batch(
        rows_in=sum(changes.rows_in for changes in read),
        redelivered=sum(changes.redelivered for changes in read),
        merged=newest.num_rows,
        superseded=valid.num_rows - newest.num_rows,
        unchanged=0,
        quarantined=rejected.num_rows,
        dropped=sum(changes.dropped for changes in read),
        other_entities=sum(changes.other_entities for changes in read),
        rows=_not_deleted_since(connection, lake, contract, rows),
        deletions=deletions,
        rejected=rejected,
    )


def _not_deleted_since(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, rows: pa.Table
) -> pa.Table:
    """Return the rows whose key was not deleted by a later change."""
    connection.register("merged", rows)
    connection.register("tombstones", find_tombstones(lake, contract, connection, rows))
    same_key = " AND ".join(f"m.{identifier(name)} = t.{identifier(name)}" for name in contract.key_names)
    return connection.execute(
        f"FROM merged m ANTI JOIN tombstones t ON {same_key} AND {version_sql('t')} > {version_sql('m')}"
    ).to_arrow_table()


def _no_batch(schema: pa.Schema) -> Batch:
    return Batch(
        rows_in=0,
        redelivered=0,
        merged=0,
        superseded=0,
        unchanged=0,
        quarantined=0,
        dropped=0,
        other_entities=0,
        rows=schema.empty_table(),
        deletions=schema.empty_table(),
        rejected=schema.empty_table(),
    )
