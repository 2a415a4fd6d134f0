"""`medallion repair`: make a Silver table equal to its source again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.outcome import ExitCode
from medallion_assets.cli.verify import CaptureDelay, ReadCapacity, Segments

if TYPE_CHECKING:
    from medallion_assets.repair.repair import Repair


def repair(
    table: Annotated[str, typer.Argument(help="The table's lake name.")],
    *,
    reason: Annotated[
        str, typer.Option(help="Why; it is kept with every repaired row in ops.repairs. Needed unless --dry-run.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be repaired.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="How many seconds the running pipeline may take to merge the repair.")
    ] = 600.0,
    read_capacity: ReadCapacity = None,
    segments: Segments = 4,
    capture_delay_seconds: CaptureDelay = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Correct every row of Silver that differs from DynamoDB.

    For rows that drifted, for lost history, and for a first load. The table is scanned. Every confirmed difference (see
    `verify`) is written to Bronze as an amendment. The running pipeline merges, audits and publishes it like any
    change, and a later change of the row replaces it. A row of ops.repairs says what was wrong, when and why. When all
    amendments are merged, the table needs no backfill any more.

    Exits 0 if the table equals its source; 1 if differences remain (--dry-run, a pipeline that is behind, a gap that is
    still open); 3 if the pipeline did not merge the amendments in time: they are in Bronze, and merged when it runs.

    \b
    Examples:
      medallion repair orders --dry-run
      medallion repair orders --reason "stream was off on Monday"
      medallion repair orders --reason "first load" --read-capacity 1000 --json
    """
    import uuid

    import boto3

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.reconciliation.catch_up import CatchUp
    from medallion_assets.reconciliation.scan import DynamoTable
    from medallion_assets.repair.repair import repair as repair_table

    chosen = settings()
    domain = load_domain(chosen.domain)
    if table not in domain.by_name:
        expected = ", ".join(domain.by_name)
        raise typer.BadParameter(f"no table {table!r}; expected one of {expected}", param_hint="TABLE")
    if not reason.strip() and not dry_run:
        raise typer.BadParameter("say why: it is kept with every row", param_hint="--reason")
    contract = domain.by_name[table]
    source = DynamoTable(
        boto3.client("dynamodb"),
        chosen.source_names().in_dynamodb(contract.table),
        read_capacity=read_capacity or chosen.read_capacity,
        segments=segments,
    )
    with Lake.open(chosen.lake()) as lake:
        done = repair_table(
            lake,
            domain,
            contract,
            source=source,
            store=open_store(chosen.bronze),
            kinesis=chosen.kinesis(),
            reason=reason.strip(),
            run_id=uuid.uuid4().hex,
            catch_up=CatchUp(capture_delay_seconds=capture_delay_seconds),
            merge_seconds=wait,
            dry_run=dry_run,
        )
    _show(done, dry_run=dry_run, as_json=as_json)
    if not dry_run and not done.merged:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if not (done.comparison.agrees if dry_run else done.complete):
        raise typer.Exit(ExitCode.FOUND)


def _show(done: Repair, *, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from medallion_assets.cli.output import print_json

    if as_json:
        print_json({**asdict(done), "complete": done.complete})
        return
    found = done.comparison
    differences = found.missing + found.extra + found.different
    typer.echo(
        f"{done.table}: {found.source:,} items scanned, {found.missing:,} missing, {found.extra:,} extra, "
        f"{found.different:,} different, {found.in_quarantine:,} in quarantine, {found.in_flight:,} in flight."
    )
    for difference in found.differences:
        typer.echo(f"  {difference}")
    if found.behind:
        typer.echo(f"{found.unconfirmed:,} differences cannot be confirmed: {found.behind}. Let the pipeline catch up.")
    if dry_run:
        typer.echo("Nothing was written." if differences else "There is nothing to repair.")
        return
    if not done.merged:
        typer.echo(
            f"medallion: {len(done.objects)} objects of amendments are pending in Bronze; they are merged when the "
            "pipeline runs. Start it, check `medallion status`, then run this again.",
            err=True,
        )
    elif differences:
        typer.echo(f"Repaired {differences:,} rows, see ops.repairs, run {done.run_id}.")
    for gap in done.gaps:
        typer.echo(f"medallion: {gap}", err=True)
