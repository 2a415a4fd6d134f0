"""`medallion cost`: estimate what a month on AWS would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def cost(  # noqa: PLR0917 - typer reads the parameters as options
    changes_per_day: Annotated[int, typer.Option(min=1, help="Changes a day, over all tables.")],
    item_bytes: Annotated[int, typer.Option(min=1, max=400_000, help="Bytes of an item.")] = 500,
    tables: Annotated[int, typer.Option(min=1, help="DynamoDB tables.")] = 3,
    dashboards: Annotated[int, typer.Option(min=0, help="Dashboards that are open during working hours.")] = 3,
    freshness: Annotated[
        Literal["seconds", "minutes", "hourly"],
        typer.Option(help="How long changes are gathered before a run takes them (MEDALLION_FRESHNESS)."),
    ] = "seconds",
    engine: Annotated[
        Literal["duckdb", "athena"], typer.Option(help="What computes the marts (MEDALLION_ENGINE).")
    ] = "duckdb",
    notified: Annotated[
        bool, typer.Option("--notified", help="S3 notifies a queue of new objects (MEDALLION_ARRIVALS_QUEUE).")
    ] = False,
    ingested_per_day: Annotated[int, typer.Option(min=0, help="Requests a day to the ingest API.")] = 0,
    prices: Annotated[Path | None, typer.Option(help="A file of prices in place of the shipped one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Estimate a month on AWS from list prices and measurements.

    Prints this system's month line by line, and the sum for three other designs. A number that is neither a price nor
    measured (by make bench) is an assumption, and all assumptions are printed. This is an estimate, not an offer.

    \b
    Examples:
      medallion cost --changes-per-day 1000000
      medallion cost --changes-per-day 1000000 --freshness hourly
      medallion cost --changes-per-day 1000000 --engine athena
      medallion cost --changes-per-day 1000000 --ingested-per-day 200000
      medallion cost --changes-per-day 50000 --item-bytes 2000 --tables 12 --json
    """
    from dataclasses import asdict

    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.cost.data import PRICES, load_measured, load_prices
    from medallion_assets.cost.model import ASSUMPTIONS, Load, bills

    listed, measured = load_prices(prices or PRICES), load_measured()
    load = Load(changes_per_day, item_bytes, tables, dashboards, freshness, engine, notified, ingested_per_day)
    found = bills(load, listed, measured)
    if as_json:
        print_json(
            {
                "prices": listed.model_dump(),
                "measured": measured.model_dump(),
                "assumptions": {name: asdict(assumption) for name, assumption in ASSUMPTIONS.items()},
                "bills": [{**asdict(bill), "usd": bill.usd} for bill in found],
            }
        )
        return
    ours = found[0]
    print_table(
        f"{ours.name}, a month in {listed.region}: list prices as of {listed.as_of}, measured {measured.measured_on}",
        ["item", "amount", "unit", "USD a month", "why"],
        [[line.item, round(line.amount, 1), line.unit, round(line.usd, 2), line.why] for line in ours.lines],
    )
    typer.echo("The largest:")
    for line in ours.largest(3):
        moved_by = f"; moved by {line.moved_by}" if line.moved_by else ""
        typer.echo(f"  {line.item}, {line.usd:.2f} USD a month{moved_by}")
    print_table(
        "Compared with others",
        ["way", "USD a month", "age of the numbers, at best", "not included"],
        [[bill.name, round(bill.usd, 2), bill.freshness, bill.excluded] for bill in found],
    )
    print_table(
        "Assumptions",
        ["name", "value", "meaning"],
        [[name, assumption.value, assumption.meaning] for name, assumption in ASSUMPTIONS.items()],
    )
    seen = len(listed.prices) - len(listed.not_checked)
    typer.echo(f"{seen} of {len(listed.prices)} prices were read from a public source, which --json names.")
    if listed.not_checked:
        typer.echo(f"From memory, not checked: {', '.join(listed.not_checked)}.")
