"""`medallion up`: run the local stack of a domain without traffic, and say how to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.environment import STATE

if TYPE_CHECKING:
    from medallion_assets.local.stack import Stack


def up(
    domain: Annotated[
        str | None,
        typer.Option(
            help="A shipped domain's name or the folder of your own.",
            show_default="MEDALLION_DOMAIN, else this folder if it has a domain.yaml, else ecommerce",
        ),
    ] = None,
    aws_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the local AWS.", show_default="a free one")
    ] = None,
    dagster_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of Dagster's page.", show_default="a free one")
    ] = None,
    sql_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of SQL over HTTP.", show_default="a free one")
    ] = None,
) -> None:
    """Run the system on this machine for writes of your own.

    Starts a local AWS with the domain's tables, empty, the stream poller, Dagster and SQL over HTTP, and prints how to
    reach them. No traffic is written and no workload.yaml is needed. Everything listens on 127.0.0.1, state is kept in
    .medallion/ until the next start; Ctrl-C or SIGTERM stops everything. Other commands that run in the same folder use
    it.

    \b
    Examples:
      medallion up
      medallion up --domain ./my-domain --aws-port 8000 --dagster-port 3000
    """
    from medallion_assets.contracts.loader import default_domain
    from medallion_assets.local.page import run_page
    from medallion_assets.local.stack import Ports, run_stack

    ports = Ports(aws=aws_port, dagster=dagster_port, sql=sql_port)
    chosen = domain or default_domain()
    with (
        run_stack(chosen, state=STATE, ports=ports, traffic=False, starting=say_starting) as stack,
        run_page(stack) as page,
    ):
        typer.echo(_how_to_reach(stack, page))
        try:
            stack.watch()
        except KeyboardInterrupt:
            typer.echo("\nStopping ...")


def say_starting() -> None:
    """Say what starts."""
    typer.echo("Starting a local AWS, the stream poller and Dagster ...")


def _how_to_reach(stack: Stack, page: str) -> str:
    """Return the addresses of a stack, and a command that puts a first item into it."""
    import json
    import shlex
    from datetime import UTC, datetime

    from medallion_assets.local.emulator import DEMO_ACCOUNT, REGION, SECRET
    from medallion_assets.local.example_item import example_item

    first = stack.domain.tables[0]
    put = [
        *("env", f"AWS_ACCESS_KEY_ID={DEMO_ACCOUNT}", f"AWS_SECRET_ACCESS_KEY={SECRET}", "aws", "dynamodb", "put-item"),
        *("--region", REGION, "--endpoint-url", stack.aws_url, "--table-name", first.table),
        *("--item", json.dumps(example_item(first, datetime.now(UTC)))),
    ]
    tables = ", ".join(stack.domain.sources)
    return "\n".join(
        [
            f"DynamoDB: {stack.aws_url} with the tables {tables}",
            f"Dagster:  {stack.dagster_url}",
            f"Numbers:  {page}",
            f"SQL:      {stack.sql_url}/v1/sql (medallion query --url {stack.sql_url} ...)",
            "Put an item, and see it with `medallion status` and `medallion query` in this folder:",
            f"  {shlex.join(put)}",
            f"A shell gets the same environment by: . {shlex.quote(str(STATE / 'stack.env'))}",
            "Ctrl-C stops everything.",
        ]
    )
