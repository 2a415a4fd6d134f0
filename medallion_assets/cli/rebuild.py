"""`medallion rebuild`: make a table of the lake again, from Bronze or from its inputs."""

from __future__ import annotations

from typing import Annotated

import typer


def rebuild(
    table: Annotated[str, typer.Argument(metavar="LAYER.TABLE", help="The table, such as silver.orders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Rebuild a table, from Bronze or from its inputs.

    For a contract that gives a column another type, or the table another partition; and for a table whose files are
    lost: an error says so, and names this command.

    A Silver table is merged from all of Bronze, the oldest day first, and a mart computed, beside the old one, which is
    read and written meanwhile. It takes the old one's place in one step; the next run computes the marts over it. If
    the command ends before, nothing has changed. It needs the space of a second table, and must take less than a day.

    Of any other table, of one that the catalog cannot load, and of one that gets another key, the entry is removed from
    the catalog first. Such a Silver table is merged together with the table of its deleted keys: switch the sensor
    `bronze_arrivals` off before, so that no mart shows half of it. A table of quarantine is filled again, but what was
    dropped by hand is open again; a table of ops starts empty with the next run of `observe`, and its history is lost.

    Exits 1 if an audit stops it, or if Bronze lacks keys that the old table has.

    \b
    Examples:
      medallion rebuild silver.orders
      medallion rebuild gold.key_metrics
    """
    import uuid
    from dataclasses import asdict
    from datetime import UTC, datetime

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.engines.engine import open_engine
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.ops.tables import OPS_TABLES
    from medallion_assets.repair.rebuild import rebuild as rebuild_table

    chosen = settings()
    domain = load_domain(chosen.domain)
    marts = load_marts(domain)
    known = [f"{layer}.{name}" for layer in ("silver", "deleted", "quarantine") for name in domain.by_name]
    known += [f"history.{name}" for name, contract in domain.by_name.items() if contract.history]
    known += [*(f"gold.{mart.name}" for mart in marts), *(f"ops.{one.name}" for one in OPS_TABLES)]
    if table not in known:
        raise typer.BadParameter(f"no table {table!r}; expected one of {', '.join(known)}", param_hint="LAYER.TABLE")
    layer, _, name = table.partition(".")
    with Lake.open(chosen.lake()) as lake:
        done = rebuild_table(
            lake,
            open_store(chosen.bronze),
            domain,
            marts,
            layer=layer,
            name=name,
            run_id=uuid.uuid4().hex,
            now=datetime.now(UTC),
            engine=open_engine(chosen.distributed_engine(), lake),
        )
    if as_json:
        print_json({"table": table, **asdict(done)})
        return
    if done.replaced and layer == "gold":
        typer.echo(f"{table} was computed, {done.rows:,} rows, and took the old one's place.")
        return
    if done.replaced:
        typer.echo(
            f"{table} was made again from {done.rows:,} changes of {done.days:,} days, and took the old one's place."
        )
        if domain.by_name[name].history:
            typer.echo(
                f"Its history is a table of its own. If a type or the key has changed: medallion rebuild history.{name}"
            )
        return
    typer.echo(f"{', '.join(done.removed) or 'Nothing'} was removed from the catalog.")
    if layer == "ops":
        typer.echo(f"The next run of the job `observe` creates {table}, empty.")
    elif layer == "gold":
        typer.echo(f"{table} was computed: {done.rows:,} rows.")
    else:
        typer.echo(
            f"{table} was made from {done.rows:,} changes of {done.days:,} days. The next run computes the marts."
        )
