"""`medallion verify`: compare the lake with the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.reconciliation.verify import Verification

ReadCapacity = Annotated[
    float | None,
    typer.Option(
        min=1,
        help="Use at most so many read capacity units a second of each DynamoDB table.",
        show_default="MEDALLION_READ_CAPACITY, or 100",
    ),
]
Segments = Annotated[int, typer.Option(min=1, max=64, help="Scan so many segments of a table at the same time.")]
CaptureDelay = Annotated[
    float,
    typer.Option(
        "--settle",
        min=0,
        help="Seconds that a change may take to reach Bronze if a Lambda function captures.",
    ),
]


def verify(
    read_capacity: ReadCapacity = None,
    segments: Segments = 4,
    capture_delay_seconds: CaptureDelay = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Scan DynamoDB, and compare Silver and Gold with it.

    Silver is compared with the scanned items, Gold with its SQL over them. Applications may write meanwhile: a key that
    differs is read again after the pipeline has caught up, and only what still differs counts. Exits 1 if anything
    differs, or if the pipeline does not catch up within five minutes, for all tables and marts together. The results
    for Silver are kept in ops.reconciliations; dashboards show them as the last verification.

    \b
    Examples:
      medallion verify
      medallion verify --read-capacity 500
      medallion verify --json | jq '.tables[] | select(.different > 0)'
    """
    import uuid
    from dataclasses import asdict
    from datetime import UTC, datetime
    from functools import partial

    import boto3

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.reconciliation.catch_up import CatchUp
    from medallion_assets.reconciliation.record import record_reconciliation
    from medallion_assets.reconciliation.scan import DynamoTable
    from medallion_assets.reconciliation.verify import verify as compare

    chosen = settings()
    domain = load_domain(chosen.domain)
    client, names = boto3.client("dynamodb"), chosen.source_names()
    with Lake.open(chosen.lake()) as lake:
        found = compare(
            lake,
            domain,
            load_marts(domain),
            source=lambda contract: DynamoTable(
                client,
                names.in_dynamodb(contract.table),
                read_capacity=read_capacity or chosen.read_capacity,
                segments=segments,
            ),
            store=open_store(chosen.bronze),
            today=datetime.now(UTC).date(),
            catch_up=CatchUp(capture_delay_seconds=capture_delay_seconds),
            note=partial(record_reconciliation, lake, run_id=uuid.uuid4().hex),
        )
    if as_json:
        print_json({"agrees": found.agrees, **asdict(found)})
    else:
        show_verification(found)
    if not found.agrees:
        raise typer.Exit(ExitCode.FOUND)


def show_verification(found: Verification) -> None:
    """Print the counts of every comparison, then the first differences."""
    from medallion_assets.cli.output import print_table

    compared = [*found.tables, *found.marts]
    counts = ["source", "lake", "equal", "missing", "extra", "different", "in_quarantine", "in_flight", "unconfirmed"]
    print_table(
        f"Verification against a scan of DynamoDB: {_verdict(found)}",
        ["", "source rows", "lake rows", *(name.replace("_", " ") for name in counts[2:])],
        [[one.name, *(getattr(one, name) for name in counts)] for one in compared],
    )
    for one in compared:
        if one.behind:
            typer.echo(f"{one.name}: behind: {one.behind}")
        for difference in one.differences:
            typer.echo(f"{one.name}: {difference}")


def _verdict(found: Verification) -> str:
    if found.agrees:
        return "no difference"
    if any(one.missing or one.extra or one.different for one in (*found.tables, *found.marts)):
        return "DIFFERENCES"
    return "not finished, the pipeline is behind"
