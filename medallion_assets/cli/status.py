"""`medallion status`: what is captured and published of every table and mart, and how far behind it is."""

from __future__ import annotations

from typing import Annotated

import typer

from medallion_assets.cli.outcome import ExitCode


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show every table and mart: last change captured, Silver and Gold freshness, rows, quarantined rows, lag.

    The lag is how long the oldest captured batch has been waiting for Silver. Exits 1 if a stream lost history.

    \b
    Examples:
      medallion status
      medallion status --json | jq '.tables[] | {table, lag}'
    """
    from dataclasses import asdict

    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.local.overview import Observer

    chosen = settings()
    with Lake.open(chosen.lake()) as lake:
        seen = Observer(chosen, lake).look()
    if as_json:
        print_json({**asdict(seen), "caught_up": seen.caught_up})
    else:
        print_table(
            "Silver",
            ["table", "last captured", "last change", "published", "rows", "quarantined", "waiting", "lag"],
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
                ]
                for table in seen.tables
            ],
        )
        print_table(
            "Gold",
            ["mart", "computed", "rows", "behind"],
            [[mart.mart, mart.computed_at, mart.rows, ", ".join(mart.behind) or "no"] for mart in seen.marts],
        )
    gaps = [table.gap for table in seen.tables if table.gap]
    for gap in gaps:
        typer.echo(f"medallion: {gap}", err=True)
    if gaps:
        raise typer.Exit(ExitCode.FOUND)
