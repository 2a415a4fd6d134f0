"""What is held in quarantine, run again through the same way: decode, latest, enrich, stage, audit, publish.

For when the contract or the decoder was mended. The raw images are in the quarantine table, so a change whose Bronze
day is long past is replayed as well. Nothing is applied out of order: a held change goes in only if Silver has nothing
newer of its key, as in every merge.

Belongs here: taking what is held through a Merger. Does not belong here: what a row's status means (quarantine).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import AuditFailed
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.batch import BatchResult, Changes, Merger
from medallion_assets.silver.bronze import MAX_BYTES
from medallion_assets.silver.decode import Decoded, decode
from medallion_assets.silver.quarantine import bronze_rows, close_rows, open_rows
from medallion_assets.silver.table import EVENT_ID

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did, in changes: those taken are now resolved, superseded, or held still.

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
    """Merge the held changes for which `where` is true (all without it) and mark what became of them.

    `where` is a condition on the columns of QUARANTINE_SCHEMA; one on `status` takes dropped changes back, too. Commits
    are of bounded size. A crash anywhere is made good by a second replay. Raises AuditFailed if a blocking check
    failed: that commit's changes, in Silver and in quarantine, are as they were; MartError for a condition that cannot
    be; and what Merger.merge raises.
    """
    merger = Merger(lake, contract, domain, day=now.astimezone(UTC).date(), run_id=run_id, now=now, whole=False)
    taken = resolved = superseded = still_open = 0
    snapshot_id = None
    for rows in _chunks(open_rows(lake, contract, where)):
        with lake.duckdb() as connection:
            decoded = decode(connection, bronze_rows(rows), contract)
        if decoded.rows.num_rows:
            result = _merged(merger, decoded)
            snapshot_id = result.snapshot_id if result.merged or result.enriched else snapshot_id
        closed = close_rows(
            lake,
            contract,
            valid=decoded.rows[EVENT_ID],
            rejected=decoded.rejected,
            taken=pc.unique(rows["status"]).to_pylist(),
            run_id=run_id,
            now=now,
        )
        taken += rows.num_rows
        resolved += closed.resolved
        superseded += closed.superseded
        still_open += rows.num_rows - closed.resolved - closed.superseded
    log.info("silver.%s: replayed %d, resolved %d, superseded %d", contract.lake_name, taken, resolved, superseded)
    return ReplayResult(contract.lake_name, taken, resolved, superseded, still_open, snapshot_id)


def _merged(merger: Merger, decoded: Decoded) -> BatchResult:
    """Merge what is valid. The rest was set aside long ago: it is no part of this batch and its share of bad rows."""
    rows, none = decoded.rows, decoded.rejected.slice(0, 0)
    changes = Changes((), rows.num_rows, rows, rejected=none, dropped=0, waiting=False)
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
            f"The audit held the replay of {merger.contract.lake_name} back. {failed}. Silver and these changes in "
            "quarantine are as they were: mend the cause, or choose others with a condition."
        )
    return result


def _chunks(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in tables of some MAX_BYTES: each is one commit."""
    gathered: list[pa.Table] = []
    for part in parts:
        gathered.append(part)
        if sum(rows.nbytes for rows in gathered) >= MAX_BYTES:
            yield pa.concat_tables(gathered)
            gathered = []
    if gathered:
        yield pa.concat_tables(gathered)
