"""`medallion status`: what is captured and published of every table and mart, and up to when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart
    from medallion_assets.health.status import Overview
    from medallion_assets.ledger.status import LedgerStatus


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show every table and mart: last change captured, Silver and Gold freshness, rows, quarantined rows, lag.

    The lag is how long the oldest captured batch has been waiting for Silver. "Complete up to" is the time up to which
    every change in the table's stream is in the table, or in the tables a mart reads; "unknown" where a Lambda function
    captures, which sees no shards. Exits 1 if a table needs a backfill or something is missing in Bronze, and says what
    to do.

    \b
    Examples:
      medallion status
      medallion status --json | jq '.tables[] | {table, lag, complete_to}'
    """
    from datetime import UTC, datetime

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.health.status import Observer
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.ledger.update import inspect_all

    chosen = settings()
    domain = load_domain(chosen.domain)
    with Lake.open(chosen.lake()) as lake:
        seen = Observer(chosen, lake).look()
        found = inspect_all(lake, open_store(chosen.bronze), domain, now=datetime.now(UTC))
    marts = {mart.name: mart for mart in load_marts(domain)}
    if as_json:
        print_json(_document(seen, found, marts))
    else:
        _show(seen, found, marts)
    gaps = [gap for state in found.values() for gap in state.gaps]
    for gap in gaps:
        typer.echo(f"medallion: {gap}", err=True)
    if gaps:
        raise typer.Exit(ExitCode.FOUND)


def _document(seen: Overview, found: Mapping[str, LedgerStatus], marts: Mapping[str, Mart]) -> dict[str, Any]:
    from medallion_assets.ledger.completeness_check import oldest_complete_to

    return {
        "tables": [
            {
                **asdict(table),
                "complete_to": found[table.table].complete_to,
                "needs_backfill": found[table.table].needs_backfill,
                "gaps": [asdict(gap) for gap in found[table.table].gaps],
            }
            for table in seen.tables
        ],
        "marts": [
            {
                **asdict(mart),
                "complete_to": oldest_complete_to(marts[mart.mart].tables, found),
                "incomplete": _incomplete(marts[mart.mart], found),
            }
            for mart in seen.marts
        ],
        "caught_up": seen.caught_up,
    }


def _show(seen: Overview, found: Mapping[str, LedgerStatus], marts: Mapping[str, Mart]) -> None:
    from medallion_assets.cli.output import print_table
    from medallion_assets.ledger.completeness_check import oldest_complete_to

    print_table(
        "Silver",
        [
            "table",
            "last captured",
            "last change",
            "published",
            "rows",
            "quarantined",
            "waiting",
            "lag",
            "complete up to",
        ],
        [
            [
                table.table,
                table.captured_at,
                table.changed_at,
                table.published_at,
                table.rows,
                table.quarantined,
                table.waiting_objects,
                table.lag,
                _complete(
                    found[table.table].complete_to, lacking=[table.table] if found[table.table].needs_backfill else []
                ),
            ]
            for table in seen.tables
        ],
    )
    print_table(
        "Gold",
        ["mart", "computed", "rows", "behind", "complete up to"],
        [
            [
                mart.mart,
                mart.computed_at,
                mart.rows,
                ", ".join(mart.behind) or "no",
                _complete(
                    oldest_complete_to(marts[mart.mart].tables, found), lacking=_incomplete(marts[mart.mart], found)
                ),
            ]
            for mart in seen.marts
        ],
    )


def _incomplete(mart: Mart, found: Mapping[str, LedgerStatus]) -> list[str]:
    """The tables a mart reads that need a backfill."""
    return [table for table in mart.tables if found[table].needs_backfill]


def _complete(to: object, *, lacking: Iterable[str]) -> str:
    from medallion_assets.cli.output import shown

    needs = ", ".join(lacking)
    return ("unknown" if to is None else shown(to)) + (f" ({needs} needs a backfill)" if needs else "")
