"""`medallion status`: show how far every table and mart is captured and published, and up to when it is complete.

Belongs here: how the status is shown. Does not belong here: reading it (health.status).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.dropped.status import DroppedFilesStatus
    from medallion_assets.health.status import MartStatus, Status, TableStatus
    from medallion_assets.ledger.parked import Parked


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show how fresh and how complete every table and mart is.

    The lag is how long the oldest pending Bronze object has been pending. "Complete up to" is the time up to which
    every change of the stream is in the table or mart; for a mart it is never later than the time it was computed. It
    is "unknown" if a Lambda function captures, because that does not see shards. "Set aside" is what waits for
    `medallion redrive`. "Blocked by" is the failed check that stops the publication. Where MEDALLION_RAW is set, it
    shows which dropped files wait and since when, and what became of the others. Exits 1 if a table needs a backfill or
    if Bronze lacks something, and says what to do.

    \b
    Examples:
      medallion status
      medallion status --json | jq '.tables[] | {table, lag, complete_to}'
    """
    from datetime import UTC

    from medallion_assets.capture.given_up import find_given_up
    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.dropped.inbox import open_inbox
    from medallion_assets.dropped.status import read_dropped_files
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.health.status import read_last_changes, read_status
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.ledger.update import inspect_all

    chosen = settings()
    domain, store, now = load_domain(chosen.domain), open_store(chosen.bronze), datetime.now(UTC)
    with Lake.open(chosen.lake()) as lake:
        given_up = find_given_up(chosen.given_up_store(), chosen.source_names(), chosen.kinesis())
        completeness = inspect_all(lake, store, domain, given_up=given_up, now=now)
        found = read_status(lake, store, domain, load_marts(domain), completeness=completeness, now=now)
        last_changes = read_last_changes(lake, domain)
        taking = [contract for contract in domain.tables if contract.files is not None]
        dropped = read_dropped_files(lake, open_inbox(chosen.raw), taking) if chosen.raw and taking else []
    if as_json:
        print_json({**_document(found, last_changes), "dropped_files": [asdict(one) for one in dropped]})
    else:
        _show(found, last_changes)
        if dropped:
            print_table("Dropped files", _DROPPED, [_dropped_row(one, now) for one in dropped])
    gaps = [gap for table in found.tables for gap in table.gaps]
    for gap in gaps:
        typer.echo(f"medallion: {gap}", err=True)
    if gaps:
        raise typer.Exit(ExitCode.FOUND)


def _document(found: Status, last_changes: Mapping[str, datetime | None]) -> dict[str, Any]:
    return {
        "tables": [
            {**asdict(table), "last_changed_at": last_changes[table.table], "needs_backfill": table.needs_backfill}
            for table in found.tables
        ],
        "marts": [asdict(mart) for mart in found.marts],
        "caught_up": found.caught_up,
    }


def _show(found: Status, last_changes: Mapping[str, datetime | None]) -> None:
    from medallion_assets.cli.output import print_table

    silver = [
        "table",
        "last captured",
        "last change",
        "published",
        "rows",
        "quarantined",
        "pending",
        "lag",
        "set aside",
        "complete up to",
        "blocked by",
    ]
    print_table("Silver", silver, [_table_row(table, last_changes[table.table]) for table in found.tables])
    for source in dict.fromkeys(table.source for table in found.tables):
        if of_none := max((table.of_no_entity or 0 for table in found.tables if table.source == source), default=0):
            typer.echo(
                f"{source}: {of_none:,} changes are of items that no contract's `where` matches. Bronze has them."
            )
    gold = ["mart", "computed", "rows", "behind", "complete up to", "blocked by"]
    if not found.marts:
        typer.echo("Gold: the domain has no marts.")
        return
    print_table("Gold", gold, [_mart_row(mart) for mart in found.marts])


def _table_row(table: TableStatus, last_changed_at: datetime | None) -> list[Any]:
    return [
        table.table,
        table.last_captured_at,
        last_changed_at,
        table.published_at,
        table.rows,
        table.quarantined_rows,
        table.pending_objects,
        table.lag,
        _parked(table.parked),
        _complete(table.complete_to, incomplete=[table.table] if table.needs_backfill else []),
        str(table.blocked_by or "nothing"),
    ]


_DROPPED: Final = [
    "table",
    "waiting",
    "for",
    "being taken",
    "taken",
    "last taken",
    "rejected",
    "last rejected",
]


def _dropped_row(found: DroppedFilesStatus, now: datetime) -> list[Any]:
    return [
        found.table,
        found.waiting,
        now - found.waiting_since if found.waiting_since else "nothing",
        found.taking,
        found.taken,
        found.last_taken_at,
        found.rejected,
        found.last_rejected_at,
    ]


def _parked(found: Parked) -> str:
    from medallion_assets.cli.output import shown

    counts = {"records": found.dead_letters, "batches of Lambda": found.batches}
    text = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{text} since {shown(found.since)}" if found.since else "nothing"


def _mart_row(mart: MartStatus) -> list[Any]:
    return [
        mart.mart,
        mart.computed_at,
        mart.rows,
        ", ".join(mart.behind) or "no",
        _complete(mart.complete_to, incomplete=mart.incomplete),
        str(mart.blocked_by or "nothing"),
    ]


def _complete(to: datetime | None, *, incomplete: Sequence[str]) -> str:
    from medallion_assets.cli.output import shown

    tables = ", ".join(incomplete)
    return ("unknown" if to is None else shown(to)) + (f" ({tables} needs a backfill)" if tables else "")
