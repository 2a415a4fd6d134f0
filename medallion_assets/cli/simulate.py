"""`medallion simulate`: play histories with faults, one or very many, and judge them by an independent oracle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from medallion_assets.simulation.harness.campaign import Campaign, Tally
    from medallion_assets.simulation.harness.histories import History
    from medallion_assets.simulation.harness.play import Played

_MAX_SHOWN = 3


def simulate(
    *,
    seed: Annotated[int | None, typer.Option(help="Play the history of this seed.")] = None,
    history: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Play the history in this file again.")
    ] = None,
    histories: Annotated[int | None, typer.Option(min=1, help="Play so many histories, of new seeds.")] = None,
    first_seed: Annotated[int | None, typer.Option(help="With --histories: seeds from this one on.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="With --histories: how many are played at once.")] = 2,
    state: Annotated[
        Path, typer.Option(file_okay=False, help="The folder of the progress of runs and of failing histories.")
    ] = Path(".medallion/prove"),
    shrink_s: Annotated[int, typer.Option(min=0, help="Seconds to look for a smaller history that fails.")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Play histories with crashes and faults; judge every result.

    Each history has a seed. It writes to a simulated source and goes through the pipeline; what is published is judged
    each time. Source, streams, stores and catalog are simulated in this process, on a virtual clock. A run of many
    histories that was stopped with Ctrl-C continues when the same command runs again. Exits 1 if something was wrong.

    \b
    Examples:
      medallion simulate --seed 17
      medallion simulate --histories 10000 --processes 2
      medallion simulate --history .medallion/prove/seed-17.json --json
    """
    if sum(option is not None for option in (seed, history, histories)) != 1:
        raise typer.BadParameter("say one of --seed, --history, --histories")
    if histories is None:
        _one(seed, history, state, shrink_s=shrink_s, as_json=as_json)
    else:
        _many(histories, first_seed, state, processes=processes, shrink_s=shrink_s, as_json=as_json)


def _one(seed: int | None, file: Path | None, state: Path, *, shrink_s: int, as_json: bool) -> None:
    import json
    import logging

    from medallion_assets.cli.output import print_json
    from medallion_assets.simulation.harness.histories import History, draw
    from medallion_assets.simulation.harness.play import play

    logging.disable(logging.CRITICAL)  # every simulated fault would be logged
    chosen = draw(seed) if seed is not None else History.from_json(json.loads((file or Path()).read_text("utf-8")))
    played = play(chosen)
    if as_json:
        print_json(
            {
                "seed": chosen.seed,
                "violations": list(played.violations),
                "counts": dict(played.counts),
                "faults": dict(played.faults),
            }
        )
    elif played.violations:
        _explain(chosen, played, state, shrink_s=shrink_s)
    else:
        counts = ", ".join(f"{count} {name}" for name, count in played.counts.items())
        typer.echo(f"seed {chosen.seed}: no violation; {counts}; {sum(played.faults.values())} faults")
    if played.violations:
        raise typer.Exit(1)


def _many(count: int, first: int | None, state: Path, *, processes: int, shrink_s: int, as_json: bool) -> None:
    import contextlib
    import logging

    from medallion_assets.cli.output import print_json
    from medallion_assets.simulation.harness.campaign import Campaign
    from medallion_assets.simulation.harness.histories import draw
    from medallion_assets.simulation.harness.play import play

    logging.disable(logging.CRITICAL)
    run = Campaign.open(state, count=count, first=first)
    typer.echo(f"{count} histories, seeds {run.first} to {run.first + count - 1}", err=as_json)
    if run.tally.histories:
        typer.echo(f"going on after {run.tally.histories}", err=as_json)
    stopped = False
    try:
        with contextlib.closing(run.play(processes)) as tallies:
            seconds = _watch(run, tallies, as_json=as_json)
    except KeyboardInterrupt:
        stopped, seconds = True, 0.0
    if as_json:
        print_json(_summary(run, seconds))
    else:
        _table(run, seconds)
        for seed in sorted(run.tally.failed)[:_MAX_SHOWN]:
            history = draw(seed)
            _explain(history, play(history), state, shrink_s=shrink_s)
    if stopped:
        typer.echo("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130)
    if run.tally.violations:
        raise typer.Exit(1)


def _watch(run: Campaign, tallies: Any, *, as_json: bool) -> float:
    """Show progress until all are played. Return the seconds that it took."""
    import time

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    began = time.monotonic()
    console = Console(stderr=as_json or not sys.stdout.isatty())
    with Progress(
        TextColumn("histories"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[violations]} violations"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=run.count, completed=run.tally.histories, violations=run.tally.violations)
        for tally in tallies:
            progress.update(task, completed=tally.histories, violations=tally.violations)
    return time.monotonic() - began


def _summary(run: Campaign, seconds: float) -> dict[str, Any]:
    tally: Tally = run.tally
    return {
        "first_seed": run.first,
        "histories": tally.histories,
        **tally.counts,
        "faults": dict(tally.faults.most_common()),
        "violations": tally.violations,
        "failed_seeds": sorted(tally.failed),
        "cpu_s_per_history": round(tally.cpu_s / max(tally.histories, 1), 3),
        "seconds": round(seconds, 1),
    }


def _table(run: Campaign, seconds: float) -> None:
    from medallion_assets.cli.output import print_table

    tally = run.tally
    rows: list[tuple[str, Any]] = [("histories", tally.histories)]
    rows += [(name, count) for name, count in sorted(tally.counts.items())]
    rows += [("faults", sum(tally.faults.values()))]
    rows += [(f"  {kind}", count) for kind, count in tally.faults.most_common()]
    rows += [("seconds of one core a history", f"{tally.cpu_s / max(tally.histories, 1):.2f}")]
    if seconds:
        rows += [("seconds, this time", f"{seconds:,.0f}")]
    rows += [("violations", tally.violations)]
    print_table("", ["", "count"], rows)


def _explain(history: History, played: Played, state: Path, *, shrink_s: int) -> None:
    """Print what was wrong, the smallest history in which it is, and how to play that again."""
    import json

    from medallion_assets.simulation.harness.describe import describe
    from medallion_assets.simulation.harness.shrink import shrink

    typer.echo(f"seed {history.seed}: {len(played.violations)} violations, the first:\n  {played.violations[0]}")
    if shrink_s:
        history, played = shrink(history, played, seconds=shrink_s)
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"seed-{history.seed}.json"
    file.write_text(json.dumps(history.to_json(), indent=1), "utf-8")
    typer.echo("the smallest history found:")
    for line in describe(history):
        typer.echo(f"  {line}")
    typer.echo(f"  -> {played.violations[0]}")
    typer.echo(f"play it again: medallion simulate --history {file}")
