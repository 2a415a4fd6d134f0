"""One batch of changes into one Silver table: stage, audit, publish. Readers see nothing of it before it is published.

Belongs here: the act, which is repeated on the table's new state if another writer was faster. Does not belong here:
which objects make a batch (batches), which of their changes are valid (changes), merging what is in quarantine
(replay).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from medallion_assets.capture.position import Position
from medallion_assets.capture.sequence import UNLABELLED_STREAM
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, stage_unchanged
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.audit import Audit, Batch, RowCounts
from medallion_assets.silver.changes import Changes
from medallion_assets.silver.enrich import ReferencedTable, enrich, enriched_from, find_outdated, read_referenced
from medallion_assets.silver.fill import MAX_ROWS, READ_AS, read_as, rows_to_fill
from medallion_assets.silver.history import record_history
from medallion_assets.silver.latest import latest
from medallion_assets.silver.quarantine import close_rows, quarantine_rows
from medallion_assets.silver.table import (
    AUDITED_AT,
    CAPTURE_DAY,
    EVENT_ID,
    IS_DELETION,
    OBJECTS,
    OF_NO_ENTITY,
    POSITION,
    ROW_COUNT,
    RUN_ID,
    STREAM,
    STREAM_CREATED_AT,
    VERSION,
    ensure_silver_table,
    read_position,
    silver_schema,
    version_sql,
)
from medallion_assets.silver.tombstones import find_tombstones, forget_tombstones, record_tombstones
from medallion_assets.silver.whole_table import WholeTable

log = logging.getLogger(__name__)

_TOMBSTONE: Final = "_tombstone"

_COUNTS: Final = (
    "rows_in",
    "redelivered",
    "merged",
    "superseded",
    "unchanged",
    "quarantined",
    "dropped",
    "other_entities",
    "resolved",
    "inserted",
    "updated",
    "deleted",
    "enriched",
)


@dataclass(frozen=True)
class BatchResult:
    """The result of one batch.

    rows_in = redelivered + merged + superseded + unchanged + quarantined + dropped + other_entities, and
    merged = inserted + updated + deleted.

    - objects: the Bronze objects of the batch
    - rows_in: their rows
    - redelivered: rows that deliver a change again: one of the batch, or a rejected one that was known before
    - superseded: changes that lost to a newer one of their key, in the batch or before it
    - unchanged: changes that were merged already
    - quarantined: changes that break the contract
    - dropped: changes that somebody has dropped from quarantine
    - other_entities: changes of items of the DynamoDB table that are not of the contract's entity
    - deleted: deletions, also of keys that the table did not have
    - resolved: changes that were open in quarantine and are not any more; not in rows_in
    - enriched: rows of the table that got new values without a change of their own, of a row that they refer to or of
      an attribute that is declared since; not in rows_in
    - published: False only if a blocking check failed
    - snapshot_id: the published snapshot of the table
    """

    table: str
    day: date
    objects: tuple[str, ...]
    rows_in: int
    redelivered: int
    merged: int
    superseded: int
    unchanged: int
    quarantined: int
    dropped: int
    other_entities: int
    resolved: int
    inserted: int
    updated: int
    deleted: int
    enriched: int
    checks: list[CheckResult]
    published: bool
    snapshot_id: int | None

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in _COUNTS}


@dataclass(frozen=True)
class Merger:
    """Merges changes into the Silver table of `contract`; `whole` for days that are merged again.

    With `whole`, a change that the table contains already replaces its row if any column differs, because the contract
    may have been corrected.
    """

    lake: Lake
    contract: Contract
    domain: Domain
    day: date
    run_id: str
    now: datetime
    whole: bool

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the table."""
        return silver_schema(self.contract, self.domain)

    @cached_property
    def no_changes(self) -> Changes:
        """A batch without changes, for merging only what changed in referenced tables."""
        empty = self.schema.empty_table()
        return Changes((), 0, empty, rejected=empty, newly_rejected=empty)

    @translate_outages()
    def merge(self, changes: Changes, *, advance: Callable[[Position], Position]) -> BatchResult | None:
        """Merge changes, and the new values of rows that the table's rows refer to; None if there is nothing to do.

        `advance` returns the Position to publish with them. If a blocking check fails, the published rows and the
        Position stay as they were, and `published` is False. Raises SchemaMismatch, LakeUnavailable, and CommitConflict
        if other writers were faster at every attempt.
        """
        quarantine_rows(self.lake, self.contract, changes.rejected, run_id=self.run_id, now=self.now)
        recorded: set[str] = set()
        with self.lake.duckdb() as connection:
            return retry_on_conflict(
                lambda: self._merge_once(connection, changes, advance, recorded),
                what=f"silver.{self.contract.lake_name}",
            )

    @translate_outages()
    def fill(self) -> BatchResult | None:
        """Fill columns from `_extra` in one commit, see fill; None if no row gets other values.

        Call it until `needs_fill` is false. Raises as `merge` does.
        """
        with self.lake.duckdb() as connection:
            return retry_on_conflict(
                lambda: self._merge_once(connection, self.no_changes, lambda position: position, set(), filling=True),
                what=f"silver.{self.contract.lake_name}",
            )

    def _merge_once(
        self,
        connection: duckdb.DuckDBPyConnection,
        changes: Changes,
        advance: Callable[[Position], Position],
        recorded: set[str],
        *,
        filling: bool = False,
    ) -> BatchResult | None:
        """Merge on the table's current state. `recorded` keeps the deletions of attempts that ended in a conflict.

        With `filling`, the rows that are filled from `_extra` are merged in place of outdated ones.
        """
        table = ensure_silver_table(self.lake, self.contract, self.schema)
        planned_on = table.metadata.current_snapshot_id
        referenced = () if filling else read_referenced(self.lake, table, self.contract, self.domain)
        if filling:
            stale = rows_to_fill(connection, self.lake, table, self.contract)
        else:
            stale = find_outdated(connection, self.lake, table, referenced)
        nothing_new = changes is self.no_changes and not self.whole
        if nothing_new and stale is None:
            return None
        plan = self._plan(connection, changes, stale, referenced)
        summary = {
            OBJECTS: json.dumps(changes.objects),
            RUN_ID: self.run_id,
            CAPTURE_DAY: self.day.isoformat(),
        }
        staged = stage_merge(
            self.lake,
            table,
            plan.rows,
            removals=plan.deletions,
            key=self.contract.key_names,
            order_by=VERSION,
            properties=summary,
            rewrite_equal=self.whole or plan.enriched > 0,
        )
        if staged.base_snapshot_id != planned_on:
            discard(self.lake, table, staged)
            raise CommitConflict(f"silver.{self.contract.lake_name} moved while its enriched columns were read")
        contents = enriched_from(referenced)
        if planned_on is None or (filling and plan.enriched < MAX_ROWS):
            contents[READ_AS] = read_as(self.contract)
        if nothing_new and not staged.changed:
            publish(self.lake, table, staged, properties=contents)
            return None
        deletions = _new_deletions(staged, recorded)
        if deletions is not None and deletions.num_rows and not staged.changed:
            # Another writer may have read the tombstones before these are published: its commit must be a conflict.
            unchanged = stage_unchanged(table, properties=summary)
            staged = replace(staged, snapshot=unchanged.snapshot, files=unchanged.files)
        result = self._result(changes, plan, staged, deleted=deletions.num_rows if deletions is not None else 0)
        checks, row_counts = self._audit(connection, table, result, rows=plan.rows, changes=changes, staged=staged)
        result = replace(result, checks=checks)
        if any(check.blocks_publish for check in checks):
            discard(self.lake, table, staged)
            log.warning("silver.%s: a blocking check failed: %s", self.contract.lake_name, result.counts)
            return replace(result, snapshot_id=planned_on)
        properties = {
            POSITION: advance(read_position(table)).to_json(),
            ROW_COUNT: row_counts.text,
            AUDITED_AT: self.now.isoformat(),
            **_latest_stream(table, changes),
            **contents,
            **self._of_no_entity(table, changes),
        }
        if self.contract.history:
            record_history(self.lake, self.contract, connection, changes.rows, run_id=self.run_id)
        if deletions is not None:
            record_tombstones(self.lake, self.contract, deletions, run_id=self.run_id)
            recorded.update(deletions[EVENT_ID].to_pylist())
        publish(self.lake, table, staged, properties=properties)
        if plan.written_again is not None:
            forget_tombstones(self.lake, self.contract, plan.written_again, run_id=self.run_id)
        resolved = 0
        # A change that was rejected just now and that Silver has newer stays open until a rerun or a replay: to mark it
        # here would cost another commit in every batch with a bad row.
        if changes.any_open or (self.whole and changes.rejected.num_rows):
            resolved = close_rows(
                self.lake,
                self.contract,
                valid=changes.rows[EVENT_ID],
                rejected=changes.rejected,
                run_id=self.run_id,
                now=self.now,
            ).resolved
        log.info("silver.%s: published: %s", self.contract.lake_name, result.counts)
        return replace(result, published=True, resolved=resolved)

    def _of_no_entity(self, table: Table, changes: Changes) -> dict[str, str]:
        """Return the property OF_NO_ENTITY after a batch; a day that is merged again was counted before."""
        if self.whole or not changes.of_no_entity:
            return {}
        return {OF_NO_ENTITY: str(int(table.properties.get(OF_NO_ENTITY, 0)) + changes.of_no_entity)}

    def _plan(
        self,
        connection: duckdb.DuckDBPyConnection,
        changes: Changes,
        stale: pa.Table | None,
        referenced: Sequence[ReferencedTable],
    ) -> _Plan:
        """Return what to merge, each key once: the latest changes, and the table's rows with new enriched values.

        The snapshot of Silver that is merged into must have been read before; see tombstones.
        """
        schema = self.schema
        if not changes.rows.num_rows:
            # Columns that the contract does not declare stay as they are.
            rows = schema.empty_table() if stale is None else stale.select([*schema.names, *_others(stale, schema)])
            return _Plan(rows, None, None, enriched=rows.num_rows, superseded=0, unchanged=0)
        newest = self._with_tombstones(connection, latest(connection, changes.rows, self.contract.key_names))
        deletions, rows = newest.filter(newest[IS_DELETION]), newest.filter(pc.invert(newest[IS_DELETION]))
        # A row with the version of its tombstone was a deletion by an earlier contract.
        written_again = rows.filter(pc.not_equal(rows[_TOMBSTONE], "none")).select([*self.contract.key_names, *VERSION])
        rows = enrich(connection, self.lake, rows, referenced).select(schema.names).cast(schema)
        enriched = older = equal = 0
        if stale is not None and stale.num_rows:
            stale = stale.select(schema.names).cast(schema)
            rows, deletions, stale, older, equal = self._choose(connection, rows, deletions, stale)
            rows, enriched = pa.concat_tables([rows, stale]), stale.num_rows
        superseded = changes.rows.num_rows - newest.num_rows + older
        return _Plan(rows, deletions, written_again, enriched=enriched, superseded=superseded, unchanged=equal)

    def _with_tombstones(self, connection: duckdb.DuckDBPyConnection, newest: pa.Table) -> pa.Table:
        """Return the changes that are not older than the tombstone of their key.

        They have the column _TOMBSTONE: 'equal' for a change that is recorded as a deletion, 'older' for a later change
        of a deleted key, else 'none'.
        """
        tombstones = find_tombstones(self.lake, self.contract, connection, newest)
        if not tombstones.num_rows:
            return newest.append_column(_TOMBSTONE, pa.repeat(pa.scalar("none"), newest.num_rows))
        keys = ", ".join(map(identifier, self.contract.key_names))
        connection.register("changes", newest)
        connection.register("tombstones", tombstones)
        try:
            return connection.execute(f"""
                SELECT c.*, CASE WHEN t.{VERSION[0]} IS NULL THEN 'none'
                    WHEN {version_sql("c")} = {version_sql("t")} THEN 'equal' ELSE 'older' END AS {_TOMBSTONE}
                FROM changes c LEFT JOIN tombstones t USING ({keys})
                WHERE t.{VERSION[0]} IS NULL OR {version_sql("c")} >= {version_sql("t")}
            """).to_arrow_table()
        finally:
            connection.unregister("changes")
            connection.unregister("tombstones")

    def _choose(
        self, connection: duckdb.DuckDBPyConnection, rows: pa.Table, deletions: pa.Table, stale: pa.Table
    ) -> tuple[pa.Table, pa.Table, pa.Table, int, int]:
        """Return the rows, deletions and stale rows that are the later change of their key.

        And how many rows and deletions were older than a stale row, and how many equal and not needed. If a row and a
        stale one are the same change, the row is merged when the day is merged again, and the stale one otherwise. Both
        have the current enriched values.
        """
        keys = ", ".join(map(identifier, self.contract.key_names))
        wins = ">=" if self.whole else ">"
        columns = [*self.contract.key_names, *VERSION]
        incoming = [one.select(columns).cast(rows.select(columns).schema) for one in (rows, deletions)]
        connection.register("incoming", pa.concat_tables(incoming))
        connection.register("stale", stale)
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE both_sides AS
            SELECT {keys}, {version_sql("i")} < {version_sql("s")} AS _older,
                {version_sql("i")} {wins} {version_sql("s")} AS _wins
            FROM incoming i JOIN (SELECT {", ".join(map(identifier, columns))} FROM stale) s USING ({keys})""")

        def without(losers: pa.Table, condition: str) -> pa.Table:
            connection.register("losers", losers)
            return (
                connection.execute(
                    f"FROM losers ANTI JOIN (SELECT {keys} FROM both_sides WHERE {condition}) USING ({keys})"
                )
                .to_arrow_table()
                .cast(losers.schema)
            )

        ((older, equal),) = connection.execute(
            "SELECT count(*) FILTER (_older), count(*) FILTER (NOT _older AND NOT _wins) FROM both_sides"
        ).fetchall()
        return without(rows, "NOT _wins"), without(deletions, "NOT _wins"), without(stale, "_wins"), older, equal

    def _result(self, changes: Changes, plan: _Plan, staged: Staged, *, deleted: int) -> BatchResult:
        deletions = staged.removals.num_rows if staged.removals is not None else 0
        inserted, updated = staged.inserted, staged.updated - plan.enriched
        return BatchResult(
            table=self.contract.lake_name,
            day=self.day,
            objects=changes.objects,
            rows_in=changes.rows_in,
            redelivered=changes.redelivered,
            merged=inserted + updated + deleted,
            superseded=plan.superseded + staged.superseded,
            unchanged=plan.unchanged + staged.unchanged + deletions - deleted,
            quarantined=changes.quarantined,
            dropped=changes.dropped,
            other_entities=changes.other_entities,
            resolved=0,
            inserted=inserted,
            updated=updated,
            deleted=deleted,
            enriched=plan.enriched,
            checks=[],
            published=False,
            snapshot_id=staged.snapshot_id,
        )

    def _audit(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        result: BatchResult,
        *,
        rows: pa.Table,
        changes: Changes,
        staged: Staged,
    ) -> tuple[list[CheckResult], RowCounts]:
        audited_at = table.properties.get(AUDITED_AT)
        row_counts = RowCounts.read(table.properties.get(ROW_COUNT))
        table = staged.applied_to(table)
        whole = None
        if self.whole:
            engine = EmbeddedEngine(self.lake)
            whole = WholeTable(engine, self.lake, table, result.snapshot_id, self.contract, self.domain)
        audit = Audit(
            connection,
            self.lake,
            table,
            snapshot_id=result.snapshot_id,
            contract=self.contract,
            domain=self.domain,
            schema=self.schema,
            whole=whole,
            now=self.now,
            audited_at=datetime.fromisoformat(audited_at) if audited_at else None,
        )
        batch = Batch(
            rows_in=result.rows_in,
            redelivered=result.redelivered,
            merged=result.merged,
            superseded=result.superseded,
            unchanged=result.unchanged,
            quarantined=result.quarantined,
            dropped=result.dropped,
            other_entities=result.other_entities,
            rows=rows,
            deletions=staged.removals if staged.removals is not None else rows.slice(0, 0),
            rejected=changes.newly_rejected,
            merged_into=staged.base_snapshot_id,
            matched=staged.matched,
            more_rows=staged.more_rows,
        )
        return audit.run(batch, row_counts)


@dataclass(frozen=True)
class _Plan:
    """What to merge; the last three are None for a batch without changes.

    - rows: the rows, of which `enriched` are in the table already
    - deletions: deletions, as `decode` returns them, with the column _TOMBSTONE
    - written_again: key and version of rows whose key has an older tombstone
    - superseded, unchanged: changes that are in none of these, because they lost or are merged already
    """

    rows: pa.Table
    deletions: pa.Table | None
    written_again: pa.Table | None
    enriched: int
    superseded: int
    unchanged: int


def _others(rows: pa.Table, schema: pa.Schema) -> list[str]:
    return [name for name in rows.column_names if name not in schema.names]


def _latest_stream(table: Table, changes: Changes) -> dict[str, str]:
    """Return the property STREAM after a batch; none if the table has it already, or has no change of a stream yet."""
    latest_stream = pc.max(changes.rows[STREAM_CREATED_AT]).as_py()
    known = table.properties.get(STREAM)
    if latest_stream in (None, UNLABELLED_STREAM):
        return {}
    if known is not None and latest_stream <= datetime.fromisoformat(known):
        return {}
    return {STREAM: latest_stream.isoformat()}


def _new_deletions(staged: Staged, recorded: set[str]) -> pa.Table | None:
    """Return the deletions that won and have no tombstone yet, or have it from an earlier attempt of this merge."""
    deletions = staged.removals
    if deletions is None or not deletions.num_rows:
        return None
    own = pc.is_in(deletions[EVENT_ID], pa.array(sorted(recorded), pa.string()))
    return deletions.filter(pc.or_(own, pc.not_equal(deletions[_TOMBSTONE], "equal")))
