"""`medallion connect`: check DynamoDB tables that exist, and run the pipeline on this machine over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.environment import STATE
from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medallion_assets.connect.caller import Caller
    from medallion_assets.connect.table_check import TableCheck
    from medallion_assets.contracts.loader import Domain
    from medallion_assets.contracts.model import Contract

_TABLES_AT_ONCE = 8


def connect(
    domain: Annotated[
        str | None,
        typer.Option(
            help="The folder of a domain, or a shipped domain's name.",
            show_default="MEDALLION_DOMAIN, else this folder",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check; start nothing.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on although changes were lost; load these tables afterwards.")
    ] = False,
    dagster_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of Dagster's page.", show_default="a free one")
    ] = None,
) -> None:
    """Run the pipeline here over real DynamoDB tables.

    The tables are those of your AWS account, and nothing is written to it. First each permission is tried, keys are
    compared with the contracts, and streams are looked at; what is wrong is said, and the policy that is missing is
    printed as JSON. No stream is ever switched on or off. If all is well, the stream poller and Dagster start, with
    Bronze and the lake in .medallion/connected/, which the next start goes on with. DynamoDB keeps changes for 24
    hours: after a longer pause it says which tables lost changes, and --resume goes on.

    Exits 1 if a table, a stream or a permission is not as it has to be; 2 for wrong credentials, settings or files.

    \b
    Examples:
      medallion connect --check
      medallion connect --domain ./shop --dagster-port 3000
    """
    import os

    import boto3

    from medallion_assets.connect.caller import find_caller
    from medallion_assets.connect.policy import missing_policy
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.local.connected import lost_changes
    from medallion_assets.local.pipeline import require_dagster

    loaded = load_domain(domain or os.environ.get("MEDALLION_DOMAIN") or ".")
    load_marts(loaded)  # a mistake in a file is one sentence here; later it would be a traceback of the code server
    if not check:
        require_dagster()
    session = boto3.Session()
    caller = find_caller(session)
    typer.echo(f"AWS account {caller.account}, region {caller.region}, as {caller.identity}")
    checks = _check_tables(loaded, caller)
    policy = missing_policy(checks, caller)
    ready = _show(checks, policy)
    lost = lost_changes(loaded, state=STATE)
    if not resume:
        _say_lost(loaded, lost)
    if not ready or (lost and not resume):
        raise typer.Exit(ExitCode.FOUND)
    if check:
        return
    _run(loaded, caller, checks, dagster_port=dagster_port, resume=lost)


def _run(
    domain: Domain, caller: Caller, checks: Sequence[TableCheck], *, dagster_port: int | None, resume: Sequence[str]
) -> None:
    """Run the pipeline until the user stops it. Exits 1 if it ends because changes are lost."""
    from medallion_assets.errors import LocalStackError
    from medallion_assets.local.connected import lost_changes, run_connected
    from medallion_assets.local.page import run_page

    said: list[str] = []

    def say_lost() -> None:
        _say_lost(domain, found := [one for one in lost_changes(domain, state=STATE) if one not in said])
        said.extend(found)

    try:
        with (
            run_connected(
                domain,
                state=STATE,
                region=caller.region,
                dagster_port=dagster_port,
                resume=resume,
                starting=lambda: typer.echo("Starting the stream poller and Dagster ..."),
            ) as pipeline,
            run_page(pipeline) as page,
        ):
            typer.echo(f"Numbers: {page}  Dagster: {pipeline.dagster_url}")
            typer.echo(f"The lake: {pipeline.folder}  Ctrl-C stops everything.")
            typer.echo(first_load(domain, checks))
            try:
                pipeline.watch(also=say_lost)
            except KeyboardInterrupt:
                typer.echo("\nStopping ...")
    except LocalStackError as ended:
        say_lost()
        if said:  # the poller ends when it has no table left
            raise typer.Exit(ExitCode.FOUND) from ended
        raise


def _say_lost(domain: Domain, tables: Sequence[str]) -> None:
    """Say of each DynamoDB table that it lost changes, and what to do."""
    for table in tables:
        loads = "; ".join(_load(contract) for contract in domain.sources[table].contracts)
        typer.echo(
            f"medallion: {table}: changes are lost, because the pause was longer than the 24 hours for which DynamoDB "
            "keeps them, or its stream is another one. Its capture has stopped. Start `medallion connect --resume`, "
            f"then load what is missing in a second terminal: {loads}",
            err=True,
        )


def _check_tables(domain: Domain, caller: Caller) -> list[TableCheck]:
    """Return what is found of each table; a table with several contracts is looked at once."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3

    from medallion_assets.capture.source_names import SourceNames
    from medallion_assets.connect.table_check import check_table

    names = SourceNames.load()
    session = boto3.Session(region_name=caller.region)
    dynamodb, streams = session.client("dynamodb"), session.client("dynamodbstreams")
    contracts = {contract.table: contract for contract in domain.tables}

    def check(contract: Contract) -> TableCheck:
        return check_table(dynamodb, streams, contract, names.in_dynamodb(contract.table), caller)

    with ThreadPoolExecutor(_TABLES_AT_ONCE) as pool:
        return list(pool.map(check, contracts.values()))


def _show(checks: Sequence[TableCheck], policy: object) -> bool:
    """Print the tables, every problem and the missing policy; return whether there is neither."""
    import json

    from medallion_assets.cli.output import print_table

    print_table(
        "DynamoDB tables",
        ["table", "items", "stream", "not permitted"],
        [
            [one.source, one.items, one.stream or "none", ", ".join(one.missing) or "nothing"]
            if one.exists
            else [one.source, None, "no such table", None]
            for one in checks
        ],
    )
    problems = [problem for one in checks for problem in one.problems]
    for problem in problems:
        typer.echo(f"medallion: {problem}", err=True)
    if policy is not None:
        typer.echo("medallion: Permissions are missing. Ask for this policy:", err=True)
        typer.echo(json.dumps(policy, indent=2))
    if not problems and policy is None:
        typer.echo("Every table can be read, and its stream has both images.")
    return not problems and policy is None


def first_load(domain: Domain, checks: Sequence[TableCheck]) -> str:
    """Return how what the tables have already comes into the lake: scanning costs, so the user decides."""
    sizes = {one.table: one for one in checks}
    lines = [
        "The changes of the last 24 hours and of now arrive by themselves. Older items come by a scan, in a second "
        "terminal here; it says what it costs and asks:"
    ]
    for contract in domain.tables:
        found = sizes[contract.table]
        known = "" if found.size_bytes is None else f"  # {found.items:,} items, {found.size_bytes / 2**20:,.1f} MB"
        lines.append(f"  {_load(contract)}{known}")
    return "\n".join(lines)


def _load(contract: Contract) -> str:
    """Return the command that loads a table; an entity of a shared one by a repair: a backfill takes whole tables."""
    if contract.where is None:
        return f"medallion backfill {contract.lake_name} --from scan"
    return f'medallion repair {contract.lake_name} --reason "first load"'
