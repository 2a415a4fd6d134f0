"""`medallion quarantine`: list, show, replay or drop the changes that do not fit their contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.contracts.loader import Domain
    from medallion_assets.contracts.model import Contract
    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.silver.replay import ReplayResult

app = typer.Typer(
    help="List, show, replay or drop quarantined changes.\n\nThese are the changes that do not fit their contract.",
    no_args_is_help=True,
)

_Table = Annotated[str, typer.Argument(metavar="TABLE", help="The table's lake name.")]
_Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION",
        help="Only changes for which this is true: a condition, as after WHERE, on the columns of the table "
        "quarantine.TABLE. Try it with `medallion query`.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_COLUMNS = ("table_name", "event_id", "sequence_number", "column_name", "reason", "status", "quarantined_at")


@app.command("list")
def list_(
    table: Annotated[str | None, typer.Option(help="Only this table (its lake name).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many rows of each table.")] = 100,
    as_json: _Json = False,
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
        for row in _run(engine, f"SELECT {', '.join(_COLUMNS)} FROM {name} ORDER BY quarantined_at DESC LIMIT {limit}")
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
    as_json: _Json = False,
) -> None:
    """Show one quarantined row in full.

    Its keys and images are as DynamoDB sent them. Exits 1 if there is no such row.

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


@app.command()
def replay(table: _Table, where: _Where = None, as_json: _Json = False) -> None:
    """Merge open changes again, under a corrected contract.

    They are merged into Silver in the source's order, and audited. A merged change becomes resolved; a change that is
    older than Silver's becomes superseded; any other stays open, with its new reason. To replay dropped changes, name
    their status in --where. Exits 1 if changes stay open, or if the audit failed: then nothing has changed.

    \b
    Examples:
      medallion quarantine replay orders
      medallion quarantine replay orders --where "column_name = 'total_amount' AND capture_day < DATE '2026-03-01'"
      medallion quarantine replay orders --where "json_extract_scalar(keys, '$.OrderID.S') = 'o-17'" --json
      medallion quarantine replay orders --where "status = 'dropped'"
    """
    import uuid
    from dataclasses import asdict
    from datetime import UTC, datetime

    from medallion_assets.cli.output import print_json
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.scheduling.planner import Graph
    from medallion_assets.silver.replay import replay as replay_open_rows

    with _opened(table) as (lake, contract, domain):
        now, run_id = datetime.now(UTC), f"replay-{uuid.uuid4().hex}"
        done = replay_open_rows(lake, contract, domain, where=where, run_id=run_id, now=now)
        downstream = Graph.of(domain, load_marts(domain)).downstream([f"silver/{table}"])
    follows = sorted(downstream) if done.snapshot_id is not None else []
    if as_json:
        print_json({**asdict(done), "follows": follows})
    else:
        _print_result(done, follows)
    if done.still_open:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
def drop(
    table: _Table,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the change.")],
    event_id: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="The event id of one change.")] = None,
    where: _Where = None,
    as_json: _Json = False,
) -> None:
    """Mark open changes as dropped, so that they are never merged.

    Not even a rerun under a corrected contract merges them. Nothing is deleted, and Silver does not change. A change
    that is older than Silver's becomes superseded. Needs a reason, and an event id or a condition. Exits 1 if no open
    change matches.

    \b
    Examples:
      medallion quarantine drop orders 4f1c9b2ad0e84d8b --reason "test order"
      medallion quarantine drop orders --where "reason LIKE 'breaks the rule%'" --reason "load test of 3 March"
    """
    import uuid
    from dataclasses import asdict
    from datetime import UTC, datetime

    from medallion_assets.cli.output import print_json
    from medallion_assets.lake.duck import literal
    from medallion_assets.silver.quarantine import drop as drop_open_rows

    if not reason.strip():
        raise typer.BadParameter("is empty; say why the changes are dropped", param_hint="--reason")
    condition = where if event_id is None else f"event_id = {literal(event_id)}"
    if condition is None or (event_id is not None and where is not None):
        raise typer.BadParameter("say either an event id or --where; `--where TRUE` means every open change")
    with _opened(table) as (lake, contract, _):
        done = drop_open_rows(
            lake,
            contract,
            where=condition,
            reason=reason,
            run_id=f"drop-{uuid.uuid4().hex}",
            now=datetime.now(UTC),
        )
    if as_json:
        print_json({"table": table, **asdict(done)})
    else:
        typer.echo(f"{table}: dropped {done.dropped}; {done.superseded} were superseded in Silver already.")
    others = ", ".join(f"{count} {status}" for status, count in sorted(done.others.items()))
    if others:
        typer.echo(f"Not open, so left as they were: {others}.", err=True)
    if not done.dropped + done.superseded:
        typer.echo(f"medallion: no open change of {table} was meant; see `quarantine list --table {table}`.", err=True)
        raise typer.Exit(ExitCode.FOUND)


def _print_result(done: ReplayResult, follows: list[str]) -> None:
    typer.echo(
        f"{done.table}: {done.taken} replayed: {done.resolved} resolved, {done.superseded} superseded, "
        f"{done.still_open} still open."
    )
    if follows:
        typer.echo(
            f"Silver has them since snapshot {done.snapshot_id}. A running Dagster refreshes what is downstream at the "
            f"next look of its sensor bronze_arrivals, within half a minute: {', '.join(follows)}. Otherwise "
            "materialize it."
        )
    if done.still_open:
        typer.echo(
            f"`medallion quarantine list --table {done.table}` has the reasons: correct the contract and replay "
            "again, or drop them."
        )


@contextmanager
def _opened(table: str) -> Iterator[tuple[Lake, Contract, Domain]]:
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake

    chosen = settings()
    domain = load_domain(chosen.domain)
    if table not in domain.by_name:
        raise typer.BadParameter(f"no table {table!r}; expected one of {', '.join(domain.by_name)}", param_hint="TABLE")
    with Lake.open(chosen.lake()) as lake:
        yield lake, domain.by_name[table], domain


def _shown(table: str | None) -> Iterator[tuple[Embedded, str]]:
    """Yield a session and the name of each quarantine table that exists."""
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
            if (found := lake.find(QUARANTINE, name)) is not None:
                engine.show(found)
                yield engine, f"{QUARANTINE}.{name}"


def _run(engine: Embedded, sql: str) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    rows: list[dict[str, Any]] = engine.run(sql, today=datetime.now(UTC).date()).to_pylist()
    return rows
