"""Show the demo: its progress while it runs, then the Gold tables and how long a change took.

Belongs here: how these are printed. Does not belong here: reading them (local.demo, local.latency).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import typer

from medallion_assets.cli.output import console, print_table, table

if TYPE_CHECKING:
    from rich.console import Group

    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.gold.spec import Mart
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.local.demo import Progress
    from medallion_assets.local.latency import Latency

_SHOWN_ROWS = 8


def show_progress(states: Iterable[Progress]) -> None:
    """Show each state of the demo as it comes: in place on a terminal, otherwise one line each."""
    began = time.monotonic()
    if not sys.stdout.isatty():
        for progress in states:
            typer.echo(f"{time.monotonic() - began:5.0f} s  {_line(progress)}")
        return
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        for progress in states:
            live.update(_tables(progress, time.monotonic() - began), refresh=True)


def show_gold(lake: Lake, marts: Sequence[Mart]) -> None:
    """Print the first rows of every mart, the newest days first; a mart of one row with one line per column."""
    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.gold.spec import GOLD

    today = datetime.now(UTC).date()
    with Embedded(lake) as engine:
        for mart in marts:
            name = f"{GOLD}.{mart.name}"
            engine.show(lake.table(GOLD, mart.name))
            [(count, computed_at)] = _rows(engine, f"SELECT count(*), max(computed_at) FROM {name}", today)
            order = f"{mart.spec.partition.column} DESC, " if mart.spec.partition is not None and mart.is_daily else ""
            selected = f"SELECT {', '.join(mart.columns)} FROM {name} ORDER BY {order}{', '.join(mart.spec.grain)}"
            rows = _rows(engine, f"{selected} LIMIT {_SHOWN_ROWS}", today)
            title = f"{name}, {count:,} row{'s' * (count != 1)}, computed {computed_at:%H:%M:%S} UTC"
            if count == 1:
                print_table(title, ["column", "value"], zip(mart.columns, rows[0], strict=True))
            else:
                print_table(title, list(mart.columns), rows)


def show_latency(found: Latency) -> None:
    """Print how long the live changes took to reach Gold."""
    if found.p50 is None or found.p95 is None or found.longest is None:
        typer.echo("No live change has reached Gold.")
        return
    typer.echo(
        f"From write to Gold, {found.changes:,} live changes (the initial load is not counted; DynamoDB dates writes "
        f"in whole seconds, so up to 1 s too long): p50 {found.p50.total_seconds():.1f} s, "
        f"p95 {found.p95.total_seconds():.1f} s, longest {found.longest.total_seconds():.1f} s."
    )


def _rows(engine: Embedded, sql: str, today: date) -> list[tuple[Any, ...]]:
    return list(zip(*engine.run(sql, today=today).to_pydict().values(), strict=True))


def _line(progress: Progress) -> str:
    status = progress.status
    behind = [mart.mart for mart in status.marts if mart.behind]
    return (
        f"changes written {sum(progress.emitted.values()):,}, captured {sum(progress.captured.values()):,}; "
        f"Silver {sum(table.rows for table in status.tables):,} rows, "
        f"{sum(table.pending_objects for table in status.tables)} batches pending; "
        f"Gold {'up to date with Silver' if not behind else 'behind: ' + ', '.join(behind)}"
    )


def _tables(progress: Progress, seconds: float) -> Group:
    from rich.console import Group
    from rich.text import Text

    status, now = progress.status, datetime.now(UTC)
    doing = "writing" if progress.writing else "all written, Gold is catching up"
    silver = table(
        ["table", "changes written", "captured", "Silver rows", "quarantined", "batches pending", "lag"],
        [
            [
                one.table,
                progress.emitted[one.source],
                progress.captured[one.source],
                one.rows,
                one.quarantined_rows,
                one.pending_objects,
                one.lag,
            ]
            for one in status.tables
        ],
    )
    gold = table(
        ["mart", "rows", "computed", "Silver published since"],
        [
            [
                mart.mart,
                mart.rows,
                f"{(now - mart.computed_at).total_seconds():.0f} s ago" if mart.computed_at else "not yet",
                ", ".join(mart.behind) or "no",
            ]
            for mart in status.marts
        ],
    )
    return Group(Text(f"{seconds:.0f} s: {doing}"), silver, gold)
