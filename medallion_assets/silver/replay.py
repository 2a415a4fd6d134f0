"""The replay: open changes of the quarantine table are decoded and merged again, like the changes of a batch.

It is for a contract or a decoder that was corrected. The raw images are in the quarantine table, so the Bronze object
of a change is not needed. Nothing is applied out of order: as in every merge, a change goes in only if Silver has
nothing newer for its key.

Belongs here: taking open changes through a Merger. Does not belong here: what a row's status means (quarantine).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.bronze.chunks import MAX_BYTES
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import AuditFailed
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.batch import BatchResult, Merger
from medallion_assets.silver.changes import Changes
from medallion_assets.silver.decode import decode
from medallion_assets.silver.quarantine import bronze_rows, close_rows, open_rows
from medallion_assets.silver.table import EVENT_ID

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplayResult:
    """The result of a replay, in changes: taken = resolved + superseded + still_open.

    `snapshot_id` is the last snapshot of Silver that the replay published; None if it changed no row there.
    """

    table: str
    taken: int
    resolved: int
    superseded: int
    still_open: int
    snapshot_id: int | None


def replay(
    lake: Lake, contract: Contract, domain: Domain, *, where: str | None = None, run_id: str, now: datetime
) -> ReplayResult:
    """Merge the open changes for which `where` is true (None: all), and update their status.

    `where` is a condition on the columns of QUARANTINE_SCHEMA; one that names `status` includes dropped changes.
    Commits have a bounded size. After a crash, a second replay finishes the work. Raises AuditFailed if a blocking
    check failed: the changes of that commit stay as they were, in Silver and in quarantine. Raises MartError for a
    condition that is not allowed or cannot be run, and what Merger.merge raises.
    """
    merger = Merger(lake, contract, domain, day=now.astimezone(UTC).date(), run_id=run_id, now=now, whole=False)
    taken = resolved = superseded = still_open = 0
    snapshot_id = None
    for rows in _chunks(open_rows(lake, contract, where)):
        with lake.duckdb() as connection:
            decoded = decode(connection, bronze_rows(rows), contract)
        if decoded.rows.num_rows:
            result = _merge(merger, Changes.of_replay(decoded))
            snapshot_id = result.snapshot_id if result.merged or result.enriched else snapshot_id
        closed = close_rows(
            lake,
            contract,
            valid=decoded.rows[EVENT_ID],
            rejected=decoded.rejected,
            statuses=pc.unique(rows["status"]).to_pylist(),
            run_id=run_id,
            now=now,
        )
        taken += rows.num_rows
        resolved += closed.resolved
        superseded += closed.superseded
        still_open += rows.num_rows - closed.resolved - closed.superseded
    log.info("silver.%s: replayed %d, resolved %d, superseded %d", contract.lake_name, taken, resolved, superseded)
    return ReplayResult(contract.lake_name, taken, resolved, superseded, still_open, snapshot_id)


def _merge(merger: Merger, changes: Changes) -> BatchResult:
    result = merger.merge(changes, advance=lambda position: position)
    if result is None:
        raise AssertionError("a merge of changes has a result")
    if not result.published:
        failed = "; ".join(
            f"{check.name}: expected: {check.description} Found: "
            + ", ".join(f"{name} {value}" for name, value in check.numbers.items())
            for check in result.checks
            if check.blocks_publish
        )
        raise AuditFailed(
            f"The audit stopped the replay of {merger.contract.lake_name}. {failed}. Silver and these changes in "
            "quarantine are as they were. Correct the cause, or select other changes with a condition."
        )
    return result


def _chunks(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows in tables of about MAX_BYTES; each is one commit."""
    gathered: list[pa.Table] = []
    for part in parts:
        gathered.append(part)
        if sum(rows.nbytes for rows in gathered) >= MAX_BYTES:
            yield pa.concat_tables(gathered)
            gathered = []
    if gathered:
        yield pa.concat_tables(gathered)
