"""Gaps: what is missing of a table, since when, and what mends it; rows of `ops.gaps` from noticed to closed.

Belongs here: what a gap says, and keeping the rows. Does not belong here: noticing gaps (look), or a repair that closes
them (backfill).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import GAPS
from medallion_assets.ops.upsert import upsert

Kind = Literal[
    "stream_gap",
    "capture_restarted",
    "missing_range",
    "dead_lettered",
    "skipped_object",
    "missing_object",
    "changed_object",
]
"""`stream`: the poller found that the stream lost records. `away`: the poller began anew, without its checkpoint, when
the stream had forgotten records that it had not read. `hole`: part of a shard is in no Bronze object. `dead_lettered`:
records went to the on-failure queue. `late`: an object in Bronze that the table passed over. `missing`, `changed`: an
object that the table contains is gone from Bronze, or is not what it was."""

_LOSSY: Final[frozenset[Kind]] = frozenset(
    {"stream_gap", "capture_restarted", "missing_range", "dead_lettered", "skipped_object"}
)


@dataclass(frozen=True)
class Gap:
    """Something missing of one table (its lake name). Times are aware UTC; `since` is None where nothing was complete.

    `gap` is its key, `<table>/<kind>/<subject>`: the same gap noticed twice has the same. `reason` names object or
    shard and range, never values; `remedy` says what to do.
    """

    gap: str
    table: str
    kind: Kind
    since: datetime | None
    detected_at: datetime
    reason: str
    remedy: str

    @property
    def subject(self) -> str:
        """What is missing: an object's path, a shard's range, the time of the poller's marker."""
        return self.gap.split("/", 2)[2]

    @property
    def lossy(self) -> bool:
        """Whether changes are missing from the Silver table, and from the marts over it; else only from Bronze."""
        return self.kind in _LOSSY

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        need = f"needs a backfill{since}" if self.lossy else "is whole, Bronze is not"
        return f"{self.table} {need}: {self.reason}. {self.remedy}"


def list_open_gaps(lake: Lake, table: str | None = None) -> list[Gap]:
    """The gaps that nothing has closed yet, of one table or of all, oldest first. Raises LakeUnavailable."""
    return [_gap(row) for row in _rows(lake, table) if row["closed_at"] is None]


def read_gap_history(lake: Lake) -> dict[str, datetime | None]:
    """Every gap ever read_gap_history, by key, with when it was closed."""
    return {row["gap"]: row["closed_at"] for row in _rows(lake, None)}


def record_gaps(lake: Lake, gaps: Iterable[Gap], *, run_id: str) -> None:
    """Record gaps that were noticed. Raises LakeUnavailable, CommitConflict."""
    rows = [{**_row(gap), "closed_at": None, "closed_by": None} for gap in gaps]
    if rows:
        upsert(lake, GAPS, rows, run_id=run_id)


def close_gaps(lake: Lake, gaps: Sequence[Gap], *, at: datetime, run_id: str) -> None:
    """Record that gaps are no more. Raises LakeUnavailable, CommitConflict."""
    rows = [{**_row(gap), "closed_at": at, "closed_by": run_id} for gap in gaps]
    if rows:
        upsert(lake, GAPS, rows, run_id=run_id)


def _rows(lake: Lake, table: str | None) -> list[dict[str, Any]]:
    found = GAPS.find(lake)
    if found is None:
        return []
    with lake.duckdb() as connection:
        rows: list[dict[str, Any]] = (
            connection.execute(
                f"SELECT * FROM {lake.scan_sql(found, None)} WHERE table_name = coalesce(?, table_name) "
                "ORDER BY detected_at, gap",
                [table],
            )
            .to_arrow_table()
            .to_pylist()
        )
    return rows


def _row(gap: Gap) -> dict[str, Any]:
    row = asdict(gap)
    row["table_name"] = row.pop("table")
    return row


def _gap(row: dict[str, Any]) -> Gap:
    return Gap(
        gap=row["gap"],
        table=row["table_name"],
        kind=row["kind"],
        since=row["since"],
        detected_at=row["detected_at"],
        reason=row["reason"],
        remedy=row["remedy"],
    )
