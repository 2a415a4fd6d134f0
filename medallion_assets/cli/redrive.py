"""`medallion redrive`: bring records that capture set aside, or that Lambda gave up, into Bronze.

Belongs here: arguments and what is shown. Does not belong here: the act (capture.redrive).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medallion_assets.cli.outcome import ExitCode


def redrive(
    table: Annotated[str | None, typer.Argument(help="The table's lake name. Left out: all tables.")] = None,
    *,
    given_up: Annotated[
        str | None,
        typer.Option(
            "--given-up",
            metavar="URL",
            help="The bucket of Lambda's on-failure destination, s3://bucket. Left out, it is MEDALLION_GIVEN_UP.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write records that capture set aside to Bronze.

    They are in dead letters and, where Lambda captures, in the batches that it gave up. Do it once their cause is
    corrected. The records are read by the code that is installed, in the order of their shard; the running pipeline
    merges them like any change, and a later change of a row stays in force. An object is removed when its records are
    in Bronze. To run it twice changes nothing.

    Exits 0 if nothing is left; 1 if something is, and says why.

    \b
    Examples:
      medallion redrive
      medallion redrive --given-up s3://medallion-prod-given-up-333333333333-eu-central-1
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from medallion_assets.capture.redrive import redrive as redrive_records
    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain

    if given_up is not None and not given_up.startswith("s3://") and not Path(given_up).is_dir():
        raise typer.BadParameter(f"{given_up} is no directory; expected s3://bucket", param_hint="--given-up")
    chosen = settings()
    domain = load_domain(chosen.domain)
    if table is not None and table not in domain.by_name:
        expected = ", ".join(domain.by_name)
        raise typer.BadParameter(f"no table {table!r}; expected one of {expected}", param_hint="TABLE")
    contracts = [domain.by_name[table]] if table is not None else domain.tables
    done = redrive_records(
        open_store(chosen.bronze),
        {contract.table for contract in contracts},
        given_up=open_store(given_up) if given_up is not None else chosen.given_up_store(),
        now=lambda: datetime.now(UTC),
        names=chosen.source_names(),
        kinesis=chosen.kinesis(),
    )
    if as_json:
        print_json(asdict(done))
    else:
        typer.echo(
            f"{done.records:,} records are in Bronze; {done.removed:,} objects removed, {len(done.left):,} stay."
        )
    for address, why in done.left.items():
        typer.echo(f"medallion: {address}: {why}", err=True)
    if done.left:
        raise typer.Exit(ExitCode.FOUND)
