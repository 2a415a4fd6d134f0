"""`medallion verify`: does the lake equal the source?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.quality.verify import Verification


def verify(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Scan DynamoDB and compare: Silver row by row and value by value, Gold with its SQL over the scanned rows.

    Changes that are on their way show as differences: stop the traffic first. Exits 1 on any difference.

    \b
    Examples:
      medallion verify
      medallion verify --json | jq '.tables[] | select(.different > 0)'
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    import boto3

    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.quality.verify import verify as compare

    chosen = settings()
    domain = load_domain(chosen.domain)
    with Lake.open(chosen.lake()) as lake:
        found = compare(
            lake, domain, load_marts(domain), client=boto3.client("dynamodb"), today=datetime.now(UTC).date()
        )
    if as_json:
        print_json({"agrees": found.agrees, **asdict(found)})
    else:
        show_verification(found)
    if not found.agrees:
        raise typer.Exit(ExitCode.FOUND)


def show_verification(found: Verification) -> None:
    """The counts of every comparison, then the first differences."""
    from medallion_assets.cli.output import print_table

    compared = [*found.tables, *found.marts]
    print_table(
        "Verification against a scan of DynamoDB: " + ("no difference" if found.agrees else "DIFFERENCES"),
        ["", "source rows", "lake rows", "equal", "missing", "extra", "different", "held"],
        [
            [one.name, one.source, one.lake, one.equal, one.missing, one.extra, one.different, one.held]
            for one in compared
        ],
    )
    for one in compared:
        for difference in one.differences:
            typer.echo(f"{one.name}: {difference}")
