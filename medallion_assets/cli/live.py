"""`medallion live`: show the live counters of a domain, compare them with Silver, make them right by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.live.counter import Counter
    from medallion_assets.live.step import Totals
    from medallion_assets.settings import Settings

app = typer.Typer(help="Show live counters, and compare them with Silver.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="COUNTER", help="The counter: the name of its file in live/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def show(counter: Name, as_json: AsJson = False) -> None:
    """Show the groups of a counter.

    \b
    Examples:
      medallion live show orders_by_status
      medallion live show orders_by_status --json
    """
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.live.store import open_store

    _, found, url = _find(counter)
    with open_store(url) as store:
        groups = _groups(found, store.totals(found.name))
    if as_json:
        print_json({"counter": found.name, "groups": groups})
        return
    columns = [*found.group_names, *found.measures]
    print_table(f"{found.name} of {found.table}", columns, [[str(one[name]) for name in columns] for one in groups])


@app.command()
def check(counter: Name, as_json: AsJson = False) -> None:
    """Compare a counter with its Silver table, both at the moment of the counter.

    Exits 1 if they differ, and names each group that does. The counter's consumer waits while it is read.

    \b
    Examples:
      medallion live check orders_by_status
    """
    _against_silver(counter, as_json, correct=False)


@app.command()
def rebuild(counter: Name, as_json: AsJson = False) -> None:
    """Make a counter equal to its Silver table.

    For a counter that begins over a table with history, whose stream had lost changes, or whose table was repaired.
    Start its consumer first; reading and writing go on meanwhile.

    \b
    Examples:
      medallion live rebuild orders_by_status
    """
    _against_silver(counter, as_json, correct=True)


def _against_silver(name: str, as_json: bool, *, correct: bool) -> None:
    from datetime import UTC, datetime

    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.live.compare import compare
    from medallion_assets.live.rebuild import rebuild as rebuild_counter
    from medallion_assets.live.store import open_store

    chosen, counter, url = _find(name)
    contract = load_domain(chosen.domain).by_name[counter.silver]
    with Lake.open(chosen.lake()) as lake, open_store(url) as store:
        if correct:
            found = rebuild_counter(lake, contract, counter, store, clock=lambda: datetime.now(UTC))
        else:
            found = compare(lake, contract, counter, store, now=datetime.now(UTC))
    behind = len(found.ahead) + len(found.unseen)
    wrong = [
        {"group": group, **{name: str(number) for name, number in sorted(measures.items())}}
        for group, measures in sorted(found.wrong.items())
    ]
    if as_json:
        print_json({"counter": name, "snapshot_id": found.snapshot_id, "behind": behind, "lacked": wrong})
    else:
        for one in wrong:
            lacked = ", ".join(f"{name} {number}" for name, number in one.items() if name != "group")
            typer.echo(f"{one['group']}: {'lacked' if correct else 'lacks'} {lacked}")
        if behind:
            typer.echo(f"{name} does not have {behind:,} changes of silver.{contract.lake_name} yet.")
        said = "is right" if correct or not wrong else f"differs in {len(wrong):,} groups"
        typer.echo(f"{name} {said}, compared with snapshot {found.snapshot_id} of silver.{contract.lake_name}.")
    if wrong and not correct:
        raise typer.Exit(ExitCode.FOUND)


def _groups(counter: Counter, totals: Totals) -> list[dict[str, Any]]:
    import json

    return [counter.described(json.loads(group), measures) for group, measures in sorted(totals.items())]


def _find(name: str) -> tuple[Settings, Counter, str]:
    """Return the settings, the counter and the address of its store. Raises SettingsError, ContractError."""
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.errors import SettingsError
    from medallion_assets.live.counter_file import load_counters

    chosen = settings()
    counters = {counter.name: counter for counter in load_counters(load_domain(chosen.domain))}
    if name not in counters:
        known = ", ".join(counters) or "none: the domain has no live/ files"
        raise typer.BadParameter(f"no counter {name!r}; expected one of {known}", param_hint="COUNTER")
    if chosen.live is None:
        raise SettingsError("MEDALLION_LIVE is not set; set it to the counters' store: redis://… or dynamodb:<table>")
    return chosen, counters[name], chosen.live
