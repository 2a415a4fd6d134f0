"""`medallion backfill`: load what a table had before its stream was captured."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.outcome import ExitCode
from medallion_assets.cli.verify import CaptureDelay, ReadCapacity, Segments

if TYPE_CHECKING:
    from medallion_assets.backfill.backfill import Backfill
    from medallion_assets.backfill.estimate import Estimate


class SnapshotKind(Enum):
    """Where the items come from."""

    EXPORT = "export"
    SCAN = "scan"


def backfill(
    table: Annotated[str, typer.Argument(help="The table's lake name.")],
    *,
    source: Annotated[
        SnapshotKind, typer.Option("--from", help="Load an export, or scan the table now.")
    ] = SnapshotKind.EXPORT,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="LOCATION",
            help="The folder of a full export in DynamoDB JSON: s3://<bucket>/<prefix>/AWSDynamoDB/<export id>, or a "
            "copy of it on this machine. Without it an export is made at MEDALLION_EXPORTS.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the estimate.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after the estimate.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="How many seconds the running pipeline may take to merge the last rows.")
    ] = 600.0,
    read_capacity: ReadCapacity = None,
    segments: Segments = 4,
    capture_delay_seconds: CaptureDelay = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Load what a table had before its stream was captured.

    The stream goes on meanwhile. The items of an export, or of a scan, are written to Bronze; the running pipeline
    merges, audits and publishes them like changes. They are older than every change of the stream, so no row ever shows
    an older value than before, and what was deleted meanwhile stays deleted. The capture of the stream must have begun
    before the export's point in time. An export is checked first: its table, its checksums, its number of items. If
    this command dies, run it again: it goes on with the export, and with the data files or segments that are left. A
    row of ops.backfills says what was loaded.

    Without --export, DynamoDB is asked for an export to MEDALLION_EXPORTS, and waited for; the table needs
    point-in-time recovery. On the local AWS, the table is scanned, and the export written by this command.

    If changes of the table were lost before, it needs no backfill any more afterwards: rows that are older than the
    snapshot are replaced, and rows that it does not have are removed.

    Exits 0 if all items are in Silver; 1 after --dry-run if some are not in Bronze yet, or if a gap is still open; 2 if
    the table or the export must not be loaded; 3 if the pipeline is behind, or DynamoDB or S3 does not answer: run it
    again.

    \b
    Examples:
      medallion backfill orders
      medallion backfill orders --export s3://exports/AWSDynamoDB/01234567890123-a1b2c3d4 --dry-run
      medallion backfill orders --export ./AWSDynamoDB/01234567890123-a1b2c3d4 --yes --json
      medallion backfill orders --from scan --read-capacity 1000
    """
    import boto3

    from medallion_assets.backfill.load import Load
    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.reconciliation.catch_up import CatchUp

    chosen = settings()
    domain = load_domain(chosen.domain)
    if table not in domain.by_name:
        expected = ", ".join(domain.by_name)
        raise typer.BadParameter(f"no table {table!r}; expected one of {expected}", param_hint="TABLE")
    with Lake.open(chosen.lake()) as lake:
        load = Load(
            chosen,
            lake,
            open_store(chosen.bronze),
            domain.by_name[table],
            boto3.client("dynamodb"),
            source.value,
            CatchUp(capture_delay_seconds=capture_delay_seconds),
            merge_seconds=wait,
            location=export,
            read_capacity=read_capacity,
            threads=segments,
        )
        estimate = load.estimate()
        _show_estimate(estimate, table)
        if dry_run:
            raise typer.Exit(ExitCode.FOUND if estimate.parts else ExitCode.OK)
        if estimate.parts and not yes:
            typer.confirm("Load them?", abort=True, err=True)
        done = load.run(
            note=lambda text: typer.echo(text, err=True),
            report=lambda items, of: typer.echo(f"{items:,} of {of:,} items are in Bronze.", err=True),
        )
    _show(done, as_json=as_json)
    if not done.merged:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if done.gaps:
        raise typer.Exit(ExitCode.FOUND)


def _show_estimate(estimate: Estimate, table: str) -> None:
    typer.echo(
        f"{table}: about {estimate.items:,} of {estimate.of_items:,} items are to be loaded, in {estimate.parts:,} "
        f"parts. The table has {estimate.bytes / 1e9:,.2f} GB. It takes {estimate.read_units:,.0f} read capacity units "
        f"of the table, and {estimate.usd:,.2f} USD for DynamoDB and S3.",
        err=True,
    )


def _show(done: Backfill, *, as_json: bool) -> None:
    from dataclasses import asdict

    from medallion_assets.cli.output import print_json

    if as_json:
        print_json(asdict(done))
    elif done.merged:
        typer.echo(f"{done.table}: {done.items:,} items of {done.snapshot_at:%Y-%m-%d %H:%M:%S} UTC are in Silver.")
        for gap in done.gaps:
            typer.echo(f"medallion: {gap}", err=True)
    else:
        typer.echo(
            f"medallion: {done.items:,} items are in Bronze in {done.objects:,} objects, and not all in Silver; "
            "they are merged when the pipeline runs. Start it, check `medallion status`, then run this again.",
            err=True,
        )
