"""The status as lines: each table and mart, and what is wrong with it in words.

Belongs here: which troubles a table has, and what to do about them. Does not belong here: reading the status
(health.status), how lines are drawn (status/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import quote

from pydantic import BaseModel

from medallion_assets.checks.descriptions import DESCRIPTIONS
from medallion_assets.health.blocks import Block
from medallion_assets.health.status import MartStatus, TableStatus
from medallion_assets.serving.status_reader import Snapshot


class Trouble(BaseModel):
    """What is wrong: a sentence; the page to look at, and the command to run, where there is one."""

    text: str
    url: str | None = None
    command: str | None = None


class StatusLine(BaseModel):
    """A table or a mart. Times are aware UTC; null: it has not happened yet, or is not known.

    - pending: Bronze objects that are not in the table, or for a mart its inputs that changed after it was computed
    """

    table: str
    troubles: list[Trouble]
    captured_at: datetime | None
    merged_at: datetime | None
    published_at: datetime | None
    complete_to: datetime | None
    verified_at: datetime | None
    rows: int
    pending: int


class StatusLines(BaseModel):
    """The status of the tables that the caller may read."""

    at: datetime
    tables: list[StatusLine]


def status_lines(found: Snapshot, may_read: Callable[[str, str], bool], *, dagster_url: str | None) -> StatusLines:
    """Return a line for each Silver table and each mart that the caller may read."""
    lines = []
    for table in found.status.tables:
        if may_read("silver", table.table):
            lines.append(
                StatusLine(
                    table=f"silver/{table.table}",
                    troubles=list(_table_troubles(table, dagster_url)),
                    captured_at=table.last_captured_at,
                    merged_at=table.last_merged_at,
                    published_at=table.published_at,
                    complete_to=table.complete_to,
                    verified_at=found.verified_at.get(table.table),
                    rows=table.rows,
                    pending=table.pending_objects,
                )
            )
    for mart in found.status.marts:
        if may_read("gold", mart.mart):
            lines.append(
                StatusLine(
                    table=f"gold/{mart.mart}",
                    troubles=list(_mart_troubles(mart, may_read, dagster_url)),
                    captured_at=None,
                    merged_at=mart.last_merged_at,
                    published_at=mart.published_at,
                    complete_to=mart.complete_to,
                    verified_at=None,
                    rows=mart.rows,
                    pending=len(mart.behind),
                )
            )
    return StatusLines(at=found.at, tables=lines)


def _table_troubles(table: TableStatus, dagster_url: str | None) -> Iterator[Trouble]:
    if table.blocked_by is not None:
        yield _held(f"silver/{table.table}", table.blocked_by, dagster_url)
    if table.quarantined_rows:
        yield Trouble(
            text=f"{table.quarantined_rows:,} changes wait in quarantine.",
            command=f"medallion quarantine list {table.table}",
        )
    if table.parked.since is not None:
        what = f"{table.parked.dead_letters:,} records and {table.parked.batches:,} batches are set aside"
        yield Trouble(text=f"{what} since {table.parked.since:%Y-%m-%d %H:%M} UTC.", command="medallion redrive")
    for gap in table.gaps:
        yield Trouble(text=f"{gap.reason} {gap.remedy}")


def _mart_troubles(
    mart: MartStatus, may_read: Callable[[str, str], bool], dagster_url: str | None
) -> Iterator[Trouble]:
    if mart.blocked_by is not None:
        yield _held(f"gold/{mart.mart}", mart.blocked_by, dagster_url)
    if mart.incomplete:
        named = [table for table in mart.incomplete if may_read("silver", table)]
        which = f": {', '.join(named)}" if named else ""
        yield Trouble(text=f"It reads tables that need a backfill{which}.")


def _held(asset: str, block: Block, dagster_url: str | None) -> Trouble:
    return Trouble(
        text=f"Held by {block.check} since {block.since:%Y-%m-%d %H:%M} UTC. {DESCRIPTIONS.get(block.check, '')}",
        url=f"{dagster_url.rstrip('/')}/assets/{quote(asset)}" if dagster_url else None,
    )
