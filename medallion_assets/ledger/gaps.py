"""The table of gaps, `ops.gaps`: one row per gap, from its detection until it is closed.

Belongs here: reading and writing the rows. Does not belong here: detecting gaps (inspect), and deciding that a repair
closes them (backfill).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.gap import Gap
from medallion_assets.ops.tables import GAPS
from medallion_assets.ops.upsert import upsert


def list_open_gaps(lake: Lake, table: str | None = None) -> list[Gap]:
    """Return the gaps that are not closed, of one table (its lake name) or of all, oldest first.

    Raises LakeUnavailable.
    """
    return [_gap(row) for row in _rows(lake, table) if row["closed_at"] is None]


def read_gap_history(lake: Lake) -> dict[str, datetime | None]:
    """Return every gap that was ever recorded, by key, with the time it was closed. Raises LakeUnavailable."""
    return {row["gap"]: row["closed_at"] for row in _rows(lake, None)}


def record_gaps(lake: Lake, gaps: Iterable[Gap]) -> None:
    """Record new gaps. Raises LakeUnavailable, CommitConflict."""
    _write(lake, gaps, closed_at=None, closed_by=None)


def close_gaps(lake: Lake, gaps: Iterable[Gap], *, at: datetime, run_id: str) -> None:
    """Record that gaps are closed. Raises LakeUnavailable, CommitConflict."""
    _write(lake, gaps, closed_at=at, closed_by=run_id)


def _write(lake: Lake, gaps: Iterable[Gap], *, closed_at: datetime | None, closed_by: str | None) -> None:
    rows = []
    for gap in gaps:
        row = asdict(gap)
        row["table_name"] = row.pop("table")
        rows.append({**row, "closed_at": closed_at, "closed_by": closed_by})
    if rows:
        upsert(lake, GAPS, rows)


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
