"""`medallion quarantine`: the rows that break their contract, with reason and raw images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.engines.embedded import Embedded

app = typer.Typer(help="The rows that break their contract, with the reason and the raw images.", no_args_is_help=True)

_COLUMNS = ("table_name", "event_id", "sequence_number", "column_name", "reason", "status", "held_at")


@app.command("list")
def list_(
    table: Annotated[str | None, typer.Option(help="Only this table (its lake name).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows of each table, the newest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List quarantined rows, the newest first.

    \b
    Examples:
      medallion quarantine list
      medallion quarantine list --table orders --json
    """
    from medallion_assets.cli.output import print_json, print_table

    rows = [
        row
        for engine, name in _shown(table)
        for row in _run(engine, f"SELECT {', '.join(_COLUMNS)} FROM {name} ORDER BY held_at DESC LIMIT {limit}")
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table("", _COLUMNS, [list(row.values()) for row in rows])
    else:
        typer.echo("Nothing is quarantined.")


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(help="The event id that `quarantine list` shows.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show one quarantined row in full, with its keys and images as DynamoDB sent them; exit 1 if there is none.

    \b
    Examples:
      medallion quarantine show 4f1c9b2ad0e84d8b
    """
    from medallion_assets.cli.output import print_json, shown
    from medallion_assets.lake.duck import literal

    rows = [
        row
        for engine, name in _shown(None)
        for row in _run(engine, f"SELECT * FROM {name} WHERE event_id = {literal(event_id)}")
    ]
    if as_json:
        print_json(rows)
    for row in [] if as_json else rows:
        for column, value in row.items():
            typer.echo(f"{column:16} {value if isinstance(value, str) else shown(value)}")
    if not rows:
        typer.echo(f"medallion: no quarantined row has the event id {event_id!r}; see `quarantine list`.", err=True)
        raise typer.Exit(ExitCode.FOUND)


def _shown(table: str | None) -> Iterator[tuple[Embedded, str]]:
    """A session, with the name of each quarantine table in turn; none where nothing was ever quarantined."""
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.silver.table import QUARANTINE

    chosen = settings()
    known = load_domain(chosen.domain).by_name
    if table is not None and table not in known:
        raise typer.BadParameter(f"no table {table!r}; expected one of {', '.join(known)}", param_hint="--table")
    with Lake.open(chosen.lake()) as lake, Embedded(lake) as engine:
        for name in [table] if table else known:
            if lake.exists(QUARANTINE, name):
                engine.show(lake.table(QUARANTINE, name))
                yield engine, f"{QUARANTINE}.{name}"


def _run(engine: Embedded, sql: str) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    rows: list[dict[str, Any]] = engine.run(sql, today=datetime.now(UTC).date()).to_pylist()
    return rows
