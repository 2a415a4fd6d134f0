"""`medallion demo`: run the system on this machine, with traffic, and show what happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.environment import STATE
from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.local.demo import Demo
    from medallion_assets.local.stack import Stack

_SLOW_RATE = 2.0


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop everything after the report, as without a terminal.")
    ] = False,
    rate: Annotated[float, typer.Option(min=1, help="Writes a second.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long the traffic lasts.")] = 35.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same writes.")] = 0,
    domain: Annotated[
        str | None,
        typer.Option(
            help="A shipped domain's name or the folder of your own.",
            show_default="MEDALLION_DOMAIN, else this folder if it has a domain.yaml, else ecommerce",
        ),
    ] = None,
) -> None:
    """Run the system on this machine, and write traffic to it.

    Starts a local AWS, the stream poller, Dagster and the page with the numbers, writes traffic, and shows how it
    becomes audited Gold tables.
    Everything is local, on free ports of 127.0.0.1; Ctrl-C stops it. State is kept in .medallion/. Other commands that
    run in the same folder use the demo. If a check blocks a table, the demo names both and keeps running. Exits 1 if
    that happens, or if the verification finds a difference.

    \b
    Examples:
      medallion demo
      medallion demo --once --rate 100 --seconds 20
      medallion demo --domain ./my-domain
    """
    import time

    from medallion_assets.cli.screen import show_progress
    from medallion_assets.cli.up import say_starting
    from medallion_assets.contracts.loader import default_domain
    from medallion_assets.errors import AuditFailed, NotCaughtUp
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.local.dagster_jobs import start_job
    from medallion_assets.local.demo import Demo
    from medallion_assets.local.page import run_page
    from medallion_assets.local.stack import run_stack

    stays = not once and stdout_is_a_terminal()
    began = time.monotonic()
    chosen = domain or default_domain()
    with (
        run_stack(chosen, state=STATE, starting=say_starting) as stack,
        run_page(stack) as page,
        Lake.open(stack.settings.lake()) as lake,
    ):
        typer.echo(f"Up after {time.monotonic() - began:.1f} s. Numbers: {page}  Dagster: {stack.dagster_url}")
        typer.echo(f"SQL over HTTP: {stack.sql_url}/v1/sql")
        acts = Demo(stack, lake, seed=seed)
        typer.echo(f"Initial load: {acts.load():,} rows.")
        try:
            show_progress(acts.catch_up())
            typer.echo(f"Live traffic: {rate:g} writes a second for {seconds:g} s.")
            fine = _perform(acts, stack, lake, rate=rate, seconds=seconds)
        except (AuditFailed, NotCaughtUp) as late:
            if not stays:
                raise
            # The user needs Dagster's pages to see why, so the stack keeps running.
            typer.echo(f"medallion: {late}", err=True)
            fine = False
        typer.echo(f"{time.monotonic() - began:.0f} s in all.")
        if stays:
            if fine:
                # It would run at night only; until then the page would show these assets as never materialized.
                start_job(stack.dagster_url, "reconciliation")
            typer.echo(
                f"Numbers: {page}  Dagster: {stack.dagster_url}  Writing goes on slowly; Ctrl-C stops everything."
            )
            try:
                with acts.writing(rate=_SLOW_RATE):
                    stack.watch()
            except KeyboardInterrupt:
                typer.echo("\nStopping ...")
    if not fine:
        raise typer.Exit(ExitCode.FOUND)


def stdout_is_a_terminal() -> bool:
    """Return whether there is a user who can press Ctrl-C."""
    return sys.stdout.isatty()


def _perform(acts: Demo, stack: Stack, lake: Lake, *, rate: float, seconds: float) -> bool:
    """Write traffic, show its progress and the report; return whether the verification found no difference."""
    import uuid
    from datetime import UTC, datetime
    from functools import partial

    import boto3

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.screen import show_gold, show_latency, show_progress
    from medallion_assets.cli.verify import show_verification
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.local.latency import measure
    from medallion_assets.reconciliation.catch_up import CatchUp
    from medallion_assets.reconciliation.record import record_reconciliation
    from medallion_assets.reconciliation.scan import DynamoTable
    from medallion_assets.reconciliation.verify import verify

    marts, live_since = load_marts(stack.domain), datetime.now(UTC)
    show_progress(acts.live(rate=rate, seconds=seconds))
    show_gold(lake, marts)
    store, client = open_store(stack.settings.bronze), boto3.client("dynamodb")
    found = verify(
        lake,
        stack.domain,
        marts,
        source=lambda contract: DynamoTable(client, contract.table),
        store=store,
        today=datetime.now(UTC).date(),
        catch_up=CatchUp(),
        note=partial(record_reconciliation, lake, run_id=uuid.uuid4().hex),
    )
    show_verification(found)
    show_latency(measure(lake, store, stack.domain, marts, since=live_since))
    return found.agrees
