"""The entry of the command line: it registers the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from medallion_assets.cli import (
    backfill,
    connect,
    contracts,
    cost,
    demo,
    doctor,
    generate,
    inbox,
    init,
    keys,
    live,
    quarantine,
    query,
    rebuild,
    redrive,
    repair,
    serve,
    simulate,
    site,
    status,
    up,
    verify,
)
from medallion_assets.cli.outcome import ExitCode, explained


class _Commands(TyperGroup):
    """The commands. A known error becomes a message on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # `medallion query ... | head`: the reader has read enough, which is not an error. Without this, Python
            # would report the closed pipe once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(ExitCode.OK) from None
        except Exception as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # DuckDB raises its own error on Ctrl-C
                raise typer.Exit(ExitCode.INTERRUPTED) from None
            if (known := explained(error)) is None:
                raise
            code, message = known
            typer.echo(f"medallion: {message}", err=True)
            raise typer.Exit(code) from error


app = typer.Typer(
    cls=_Commands,
    help="From DynamoDB writes to audited Gold tables.\n\n"
    "Exit codes: 0 fine; 1 found differences or a failed check; 2 wrong command, setting, file or credentials; "
    "3 a service did not answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich takes longer than everything else of `--help`
)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("connect")(connect.connect)
app.command("generate")(generate.generate)
app.command("site")(site.site)
app.command("status")(status.status)
app.command("query")(query.query)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(inbox.app, name="inbox")
app.add_typer(live.app, name="live")
app.add_typer(contracts.app, name="contracts")
app.command("verify")(verify.verify)
app.command("cost")(cost.cost)
app.command("doctor")(doctor.doctor)
app.command("repair")(repair.repair)
app.command("backfill")(backfill.backfill)
app.command("redrive")(redrive.redrive)
app.command("rebuild")(rebuild.rebuild)
if find_spec("medallion_assets.simulation.harness"):  # in a checkout, not in the wheel
    app.command("simulate")(simulate.simulate)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"medallion-assets {version('medallion-assets')}")
        raise typer.Exit(ExitCode.OK)


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
