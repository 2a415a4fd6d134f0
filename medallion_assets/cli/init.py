"""`medallion init`: write a project of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[str, typer.Argument(help="The project's name; its folder is made in the current one.")],
    source: Annotated[
        str,
        typer.Option("--from", help="Copy the tables and marts of this domain: a shipped one's name, or a folder."),
    ] = "example",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a new project: a domain that runs, with its tests.

    It has a table and a mart, and the files that Dagster, editors and CI need. Nothing is overwritten.

    \b
    Examples:
      medallion init shop
      medallion init shop --from ecommerce
    """
    from medallion_assets.cli.output import print_json
    from medallion_assets.init.project import write_project

    try:
        files = write_project(Path.cwd(), name, source=source)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="NAME") from wrong
    if as_json:
        print_json({"folder": str(Path.cwd() / name), "files": files})
        return
    for file in files:
        typer.echo(f"  {name}/{file}")
    typer.echo(f"{len(files)} files. Now:\n  cd {name}\n  medallion demo\n  pytest")
