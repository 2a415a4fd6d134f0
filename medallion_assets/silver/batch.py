"""One batch of Bronze objects into one Silver table: stage, audit, publish; nothing of it is visible before.

Belongs here: the act itself, repeated on the table's new state when another writer was faster. Does not belong here:
which objects make a batch (day), running again what is in quarantine (replay).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import AUDIT_BRANCH, Staged
from medallion_assets.lake.duck import identifier, sql_types
from medallion_assets.lake.history import changed_rows
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.silver.audit import Audit, Batch, RowCounts
from medallion_assets.silver.bronze import Chunk, require_json
from medallion_assets.silver.decode import decode
from medallion_assets.silver.enrich import Source, enrich, outdated, sources
from medallion_assets.silver.latest import latest
from medallion_assets.silver.quarantine import close_rows, quarantine_rows, unmerged_statuses
from medallion_assets.silver.table import (
    CAPTURE_DAY,
    COUNTS,
    DELETED,
    DROPPED,
    ENRICHED_FROM,
    EVENT_ID,
    OBJECTS,
    OPEN,
    POSITION,
    ROW_COUNT,
    RUN_ID,
    SEQUENCE,
    SILVER,
    read_position,
    silver_schema,
    silver_table,
)

log = logging.getLogger(__name__)

_COUNTS: Final = (
    "rows_in",
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
    """What one batch did. `objects` are Bronze paths, counts are rows, `snapshot_id` is the published one.

    rows_in = merged + superseded + unchanged + quarantined + dropped, and merged = inserted + updated. `superseded` are
    changes that lost to a newer one of their key, in the batch or in the table, or that another object delivered too;
    `unchanged` stood in the table already; `dropped` somebody gave up. `deleted` of those merged are tombstones.
    `resolved` changes were held in quarantine and are no longer. `enriched` rows were in the table and got new values
    of a referenced row; neither is in `rows_in`.
    """

    table: str
    day: date
    objects: tuple[str, ...]
    rows_in: int
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
class Changes:
    """Changes to merge: `rows_in` Bronze rows of `objects`, of which `rows` are valid and typed.

    `rejected` are those that break the contract, as `decode` tells of them. `dropped` more were given up by somebody.
    `waiting` says that some of the valid ones stand in quarantine.
    """

    objects: tuple[str, ...]
    rows_in: int
    rows: pa.Table
    rejected: pa.Table
    dropped: int
    waiting: bool


def read_changes(lake: Lake, store: BronzeStore, contract: Contract, chunk: Chunk) -> Changes:
    """Decode a chunk of `store`. Raises CorruptObject for an image that is no JSON."""
    known = unmerged_statuses(lake, contract)
    statuses = known["status"]
    dropped = known.filter(pc.equal(statuses, DROPPED))["event_id"]
    still_open = known.filter(pc.equal(statuses, OPEN))["event_id"]
    with lake.duckdb() as connection:
        try:
            decoded = decode(connection, chunk.rows, contract)
        except duckdb.InvalidInputException:
            require_json(chunk.rows, store)
            raise
    rows, rejected = _without(decoded.rows, EVENT_ID, dropped), _without(decoded.rejected, "event_id", dropped)
    return Changes(
        chunk.names,
        chunk.rows.num_rows,
        rows,
        rejected,
        dropped=chunk.rows.num_rows - rows.num_rows - rejected.num_rows,
        waiting=bool(len(still_open) and pc.any(pc.is_in(rows[EVENT_ID], still_open.combine_chunks())).as_py()),
    )


def count_by_rule(rejected: pa.Table) -> dict[str, int]:
    """Return how many rows each rule of each column rejected, most rows first, at most ten rules; without values."""
    reasons = zip(rejected["column_name"].to_pylist(), rejected["reason"].to_pylist(), strict=True)
    counts = Counter(f"{column or 'row'}: {reason.partition(', saw ')[0]}" for column, reason in reasons)
    return dict(counts.most_common(MAX_EXAMPLES))


def _without(rows: pa.Table, column: str, event_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows[column], event_ids.combine_chunks()))) if len(event_ids) else rows


@dataclass(frozen=True)
class Merger:
    """Merges changes into the Silver table of `contract`; `whole` for days that are read again in whole.

    In whole a change that is in the table already replaces its row if any column differs: the contract was mended.
    """

    lake: Lake
    contract: Contract
    domain: Domain
    day: date
    run_id: str
    now: datetime
    whole: bool

    @translate_outages()
    def merge(self, changes: Changes | None, *, advance: Callable[[Position], Position]) -> BatchResult | None:
        """Merge changes, or only what referenced tables changed (None). Returns None if there was nothing to do.

        `advance` gives the Position to publish with it. A blocking check that failed leaves the published data and the
        Position as they were: `published` is False. Raises SchemaMismatch, LakeUnavailable, and CommitConflict when
        other writers win every time.
        """
        if changes is not None:
            quarantine_rows(self.lake, self.contract, changes.rejected, run_id=self.run_id, now=self.now)
        with self.lake.duckdb() as connection:
            return retry_on_conflict(
                lambda: self._merge_once(connection, changes, advance), what=f"silver.{self.contract.lake_name}"
            )

    def _merge_once(
        self, connection: duckdb.DuckDBPyConnection, changes: Changes | None, advance: Callable[[Position], Position]
    ) -> BatchResult | None:
        if changes is None and not self.whole and self.lake.find(SILVER, self.contract.lake_name) is None:
            return None
        table = silver_table(self.lake, self.contract, self.domain)
        planned_on = table.metadata.current_snapshot_id
        found = sources(self.lake, table, self.contract, self.domain)
        stale = outdated(connection, self.lake, table, found)
        if changes is None and stale is None and not self.whole:
            return None
        plan = self._plan(connection, changes, stale, found)
        staged = self._stage(table, changes, plan)
        if staged.base_snapshot_id != planned_on:
            discard(self.lake, table, staged)
            raise CommitConflict(f"silver.{self.contract.lake_name} moved while its enriched columns were read")
        enriched = {
            f"{ENRICHED_FROM}{source.part.table}": str(source.snapshot_id)
            for source in found
            if source.snapshot_id is not None
        }
        if changes is None and not staged.changed and not self.whole:
            publish(self.lake, table, staged, properties=enriched)
            return None
        result = self._result(table, changes, plan, staged)
        checks, counts = self._audit(connection, table, result, rows=plan.rows, rejected=changes and changes.rejected)
        result = replace(result, checks=checks)
        if any(check.blocks_publish for check in checks):
            discard(self.lake, table, staged)
            log.warning("silver.%s: held: %s", self.contract.lake_name, result.counts)
            return replace(result, snapshot_id=planned_on)
        properties = {POSITION: advance(read_position(table)).to_json(), ROW_COUNT: counts.text, **enriched}
        publish(self.lake, table, staged, properties=properties)
        resolved = 0
        # That a change set aside just now is superseded already is for a rerun or a replay to say: it takes a look at
        # the whole of Silver.
        if changes is not None and (changes.waiting or (self.whole and changes.rejected.num_rows)):
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
        changes: Changes | None,
        stale: pa.Table | None,
        found: Sequence[Source],
    ) -> _Plan:
        """The rows to merge, each key once: the latest incoming, and those in the table with new enriched values."""
        key = self.contract.key_names
        schema = silver_schema(self.contract, self.domain)
        incoming = schema.empty_table()
        if changes is not None:
            newest = latest(connection, changes.rows, key)
            incoming = enrich(connection, self.lake, newest, found).select(schema.names).cast(schema)
        if stale is None or stale.num_rows == 0:
            return _Plan(incoming, enriched=0, older=0, equal=0)
        stale = stale.select(schema.names).cast(schema)
        keys = ", ".join(identifier(name) for name in key)
        connection.register("incoming", incoming)
        connection.register("stale", stale)
        # Where a key is in both, the later change stays. The same change: the incoming one if the day is read again in
        # whole, the one in the table otherwise. Both have the current enriched values.
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

    def _stage(self, table: Table, changes: Changes | None, plan: _Plan) -> Staged:
        counts = {
            "rows_in": changes.rows_in if changes else 0,
            "quarantined": changes.rejected.num_rows if changes else 0,
            "dropped": changes.dropped if changes else 0,
            "enriched": plan.enriched,
        }
        return stage_merge(
            self.lake,
            table,
            plan.rows,
            key=self.contract.key_names,
            branch=f"{AUDIT_BRANCH}{self.run_id}",
            properties={
                OBJECTS: json.dumps(changes.objects if changes else ()),
                RUN_ID: self.run_id,
                CAPTURE_DAY: self.day.isoformat(),
                COUNTS: json.dumps(counts),
            },
            rewrite_equal=self.whole or plan.enriched > 0,
        )

    def _result(self, table: Table, changes: Changes | None, plan: _Plan, staged: Staged) -> BatchResult:
        valid = changes.rows.num_rows if changes else 0
        compared = plan.rows.num_rows - plan.enriched + plan.older + plan.equal
        return BatchResult(
            table=self.contract.lake_name,
            day=self.day,
            objects=changes.objects if changes else (),
            rows_in=changes.rows_in if changes else 0,
            merged=staged.inserted + staged.updated - plan.enriched,
            superseded=valid - compared + plan.older + staged.superseded,
            unchanged=plan.equal + staged.unchanged,
            quarantined=changes.rejected.num_rows if changes else 0,
            dropped=changes.dropped if changes else 0,
            resolved=0,
            inserted=staged.inserted,
            updated=staged.updated - plan.enriched,
            deleted=self._deleted(table, plan.rows, staged),
            enriched=plan.enriched,
            checks=[],
            published=False,
            snapshot_id=staged.snapshot_id,
        )

    def _deleted(self, table: Table, rows: pa.Table, staged: Staged) -> int:
        """How many of the staged rows are tombstones."""
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
        *,
        rows: pa.Table,
        rejected: pa.Table | None,
    ) -> tuple[list[CheckResult], RowCounts]:
        audit = Audit(
            connection,
            self.lake,
            table,
            snapshot_id=result.snapshot_id,
            contract=self.contract,
            domain=self.domain,
            types=sql_types(connection, silver_schema(self.contract, self.domain)),
            whole=self.whole,
            now=self.now,
        )
        batch = Batch(
            rows_in=result.rows_in,
            merged=result.merged,
            superseded=result.superseded,
            unchanged=result.unchanged,
            quarantined=result.quarantined,
            dropped=result.dropped,
            rows=rows,
            rejected_keys=rejected["keys"].slice(0, MAX_EXAMPLES).to_pylist() if rejected is not None else (),
            rejected_by_rule=count_by_rule(rejected) if rejected is not None else {},
        )
        return audit.run(batch, RowCounts.read(table.properties.get(ROW_COUNT)))


@dataclass(frozen=True)
class _Plan:
    """Rows to merge; of them `enriched` are in the table already. `older` and `equal` incoming rows lost to those."""

    rows: pa.Table
    enriched: int
    older: int
    equal: int
