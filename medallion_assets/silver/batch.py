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
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH, Staged
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.history import changed_rows
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.audit import Audit, Batch, RowCounts
from medallion_assets.silver.changes import Changes
from medallion_assets.silver.enrich import ReferencedTable, enrich, find_outdated, read_referenced
from medallion_assets.silver.latest import latest
from medallion_assets.silver.quarantine import close_rows, quarantine_rows
from medallion_assets.silver.table import (
    AUDITED_AT,
    CAPTURE_DAY,
    DELETED,
    ENRICHED_FROM,
    EVENT_ID,
    OBJECTS,
    POSITION,
    ROW_COUNT,
    RUN_ID,
    SEQUENCE,
    ensure_silver_table,
    read_position,
    silver_schema,
)

log = logging.getLogger(__name__)

_COUNTS: Final = (
    "rows_in",
    "redelivered",
    "merged",
    "superseded",
    "unchanged",
    "quarantined",
    "dropped",
    "resolved",
    "inserted",
    "updated",
    "deleted",
    "enriched",
)


@dataclass(frozen=True)
class BatchResult:
    """The result of one batch.

    rows_in = redelivered + merged + superseded + unchanged + quarantined + dropped, and merged = inserted + updated.

    - objects: the Bronze objects of the batch
    - rows_in: their rows
    - redelivered: rows that deliver a change again: one of the batch, or a rejected one that was known before
    - superseded: changes that lost to a newer one of their key, in the batch or in the table
    - unchanged: changes that the table contained already
    - quarantined: changes that break the contract
    - dropped: changes that somebody has dropped from quarantine
    - deleted: how many of the merged changes are tombstones
    - resolved: changes that were open in quarantine and are not any more; not in rows_in
    - enriched: rows of the table that got new values of a row that they refer to; not in rows_in
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
        with self.lake.duckdb() as connection:
            return retry_on_conflict(
                lambda: self._merge_once(connection, changes, advance), what=f"silver.{self.contract.lake_name}"
            )

    def _merge_once(
        self, connection: duckdb.DuckDBPyConnection, changes: Changes, advance: Callable[[Position], Position]
    ) -> BatchResult | None:
        table = ensure_silver_table(self.lake, self.contract, self.schema)
        planned_on = table.metadata.current_snapshot_id
        referenced = read_referenced(self.lake, table, self.contract, self.domain)
        stale = find_outdated(connection, self.lake, table, referenced)
        nothing_new = changes is self.no_changes and not self.whole
        if nothing_new and stale is None:
            return None
        plan = self._plan(connection, changes, stale, referenced)
        staged = stage_merge(
            self.lake,
            table,
            plan.rows,
            key=self.contract.key_names,
            branch=f"{AUDIT_BRANCH}{self.run_id}",
            properties={
                OBJECTS: json.dumps(changes.objects),
                RUN_ID: self.run_id,
                CAPTURE_DAY: self.day.isoformat(),
            },
            rewrite_equal=self.whole or plan.enriched > 0,
        )
        if staged.base_snapshot_id != planned_on:
            discard(self.lake, table, staged)
            raise CommitConflict(f"silver.{self.contract.lake_name} moved while its enriched columns were read")
        enriched_from = {
            f"{ENRICHED_FROM}{one.part.table}": str(one.snapshot_id)
            for one in referenced
            if one.snapshot_id is not None
        }
        if nothing_new and not staged.changed:
            publish(self.lake, table, staged, properties=enriched_from)
            return None
        result = self._result(table, changes, plan, staged)
        checks, row_counts = self._audit(connection, table, result, changes, plan.rows)
        result = replace(result, checks=checks)
        if any(check.blocks_publish for check in checks):
            discard(self.lake, table, staged)
            log.warning("silver.%s: a blocking check failed: %s", self.contract.lake_name, result.counts)
            return replace(result, snapshot_id=planned_on)
        properties = {
            POSITION: advance(read_position(table)).to_json(),
            ROW_COUNT: row_counts.text,
            AUDITED_AT: self.now.isoformat(),
            **enriched_from,
        }
        publish(self.lake, table, staged, properties=properties)
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

    def _plan(
        self,
        connection: duckdb.DuckDBPyConnection,
        changes: Changes,
        stale: pa.Table | None,
        referenced: Sequence[ReferencedTable],
    ) -> _Plan:
        """Return the rows to merge, each key once: the latest changes, the table's rows with new enriched values."""
        key, schema = self.contract.key_names, self.schema
        incoming = schema.empty_table()
        if changes.rows.num_rows:
            newest = latest(connection, changes.rows, key)
            incoming = enrich(connection, self.lake, newest, referenced).select(schema.names).cast(schema)
        if stale is None or stale.num_rows == 0:
            return _Plan(incoming, enriched=0, older=0, equal=0)
        stale = stale.select(schema.names).cast(schema)
        keys = ", ".join(identifier(name) for name in key)
        connection.register("incoming", incoming)
        connection.register("stale", stale)
        # If a key is in both, the later change is merged. If both are the same change, the incoming row is merged when
        # the day is merged again, and the row of the table otherwise. Both have the current enriched values.
        wins = "i.n >= s.n" if self.whole else "i.n > s.n"
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE both_sides AS
            SELECT {keys}, i.n < s.n AS older, i.n = s.n AS equal, {wins} AS wins
            FROM (SELECT {keys}, {SEQUENCE} AS n FROM incoming) i JOIN (SELECT {keys}, {SEQUENCE} AS n FROM stale) s
            USING ({keys})""")
        kept, again = (
            connection.execute(
                f"SELECT * FROM {rows} ANTI JOIN (SELECT {keys} FROM both_sides WHERE {loses}) USING ({keys})"
            ).to_arrow_table()
            for rows, loses in (("incoming", "NOT wins"), ("stale", "wins"))
        )
        ((older, equal),) = connection.execute(
            "SELECT count(*) FILTER (older), count(*) FILTER (equal AND NOT wins) FROM both_sides"
        ).fetchall()
        rows = pa.concat_tables([kept.cast(schema), again.cast(schema)])
        return _Plan(rows, enriched=again.num_rows, older=older, equal=equal)

    def _result(self, table: Table, changes: Changes, plan: _Plan, staged: Staged) -> BatchResult:
        compared = plan.rows.num_rows - plan.enriched + plan.older + plan.equal
        return BatchResult(
            table=self.contract.lake_name,
            day=self.day,
            objects=changes.objects,
            rows_in=changes.rows_in,
            redelivered=changes.redelivered,
            merged=staged.inserted + staged.updated - plan.enriched,
            superseded=changes.rows.num_rows - compared + plan.older + staged.superseded,
            unchanged=plan.equal + staged.unchanged,
            quarantined=changes.quarantined,
            dropped=changes.dropped,
            resolved=0,
            inserted=staged.inserted,
            updated=staged.updated - plan.enriched,
            deleted=self._count_tombstones(table, plan.rows, staged),
            enriched=plan.enriched,
            checks=[],
            published=False,
            snapshot_id=staged.snapshot_id,
        )

    def _count_tombstones(self, table: Table, rows: pa.Table, staged: Staged) -> int:
        """Return how many of the staged rows are tombstones."""
        offered = int(pc.sum(rows[DELETED]).as_py() or 0)
        if not offered or not staged.changed or staged.snapshot_id is None or staged.base_snapshot_id is None:
            return offered if staged.changed else 0
        changes = changed_rows(
            self.lake, table, since=staged.base_snapshot_id, until=staged.snapshot_id, columns=[DELETED]
        )
        if changes is None:
            raise CommitConflict(f"the snapshot that silver.{self.contract.lake_name} was staged on is gone")
        return int(pc.sum(pc.and_(changes[DELETED], pc.equal(changes["_side"], "new"))).as_py() or 0)

    def _audit(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        result: BatchResult,
        changes: Changes,
        rows: pa.Table,
    ) -> tuple[list[CheckResult], RowCounts]:
        audited_at = table.properties.get(AUDITED_AT)
        audit = Audit(
            connection,
            self.lake,
            table,
            snapshot_id=result.snapshot_id,
            contract=self.contract,
            domain=self.domain,
            schema=self.schema,
            whole=self.whole,
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
            rows=rows,
            rejected=changes.newly_rejected,
        )
        return audit.run(batch, RowCounts.read(table.properties.get(ROW_COUNT)))


@dataclass(frozen=True)
class _Plan:
    """The rows to merge.

    - enriched: how many of them are in the table already
    - older, equal: incoming rows that lost to one of those
    """

    rows: pa.Table
    enriched: int
    older: int
    equal: int
