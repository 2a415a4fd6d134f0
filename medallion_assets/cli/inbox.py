"""`medallion inbox`: list, replay or drop the messages of the inbound queue that were refused.

Belongs here: arguments and what is shown. Does not belong here: the queues (ingest.dead_letter).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from medallion_assets.cli.outcome import ExitCode

if TYPE_CHECKING:
    from medallion_assets.ingest.dead_letter import DeadLetter

app = typer.Typer(
    help="List, replay or drop refused messages.\n\nThese are messages to the inbound queue whose item did not fit.",
    no_args_is_help=True,
)

_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The ids that `inbox list` shows.")]
_Table = Annotated[str | None, typer.Option(help="Only messages of this table (its lake name).")]
_All = Annotated[bool, typer.Option("--all", help="Every message.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_COLUMNS = ("id", "table", "code", "reason", "refused_at")


@app.command("list")
def list_(table: _Table = None, as_json: _Json = False) -> None:
    """List refused messages with their reason.

    The queue is MEDALLION_INBOX_DEAD_LETTERS. No value of an item is shown. Others do not see the messages meanwhile.

    \b
    Examples:
      medallion inbox list
      medallion inbox list --table orders --json
    """
    import boto3

    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.ingest.dead_letter import dead_letters
    from medallion_assets.ingest.deployed import DEAD_LETTERS

    found = [one for one in dead_letters(boto3.client("sqs"), _url(DEAD_LETTERS)) if table in {None, one.table}]
    found.sort(key=lambda one: one.sent_at)
    if as_json:
        names = ("id", "table", "code", "text", "mismatches", "sent_at")
        print_json([{name: getattr(one, name) for name in names} for one in found])
    elif found:
        print_table("", _COLUMNS, [[one.id, one.table, one.code, _reason(one), one.sent_at] for one in found])
    else:
        typer.echo("No message was refused.")


@app.command()
def replay(ids: _Ids = None, *, table: _Table = None, everything: _All = False, as_json: _Json = False) -> None:
    """Send refused messages to the inbound queue again.

    Do it once the contract, or what they met in the table, is corrected. The queues are MEDALLION_INBOX and
    MEDALLION_INBOX_DEAD_LETTERS.

    \b
    Examples:
      medallion inbox replay 5fea7756-0ea4-451a-a703-a558b933e274
      medallion inbox replay --table orders
    """
    from medallion_assets.ingest.deployed import INBOX

    _move(_chosen(ids, table, everything), to=_url(INBOX), done="replayed", as_json=as_json)


@app.command()
def drop(ids: _Ids = None, *, table: _Table = None, everything: _All = False, as_json: _Json = False) -> None:
    """Delete refused messages for good.

    \b
    Examples:
      medallion inbox drop 5fea7756-0ea4-451a-a703-a558b933e274
      medallion inbox drop --all
    """
    _move(_chosen(ids, table, everything), to=None, done="dropped", as_json=as_json)


def _chosen(ids: list[str] | None, table: str | None, everything: bool) -> Callable[[DeadLetter], bool]:
    if sum((bool(ids), table is not None, everything)) != 1:
        raise typer.BadParameter("expected ids, or --table, or --all", param_hint="[ID]...")
    wanted = frozenset(ids or ())
    return lambda letter: everything or letter.id in wanted or letter.table == table


def _move(chosen: Callable[[DeadLetter], bool], *, to: str | None, done: str, as_json: bool) -> None:
    import boto3

    from medallion_assets.cli.output import print_json
    from medallion_assets.ingest.dead_letter import move
    from medallion_assets.ingest.deployed import DEAD_LETTERS

    moved: Mapping[str, int] = move(boto3.client("sqs"), _url(DEAD_LETTERS), chosen, to=to)
    total = sum(moved.values())
    if as_json:
        print_json({done: total, "by_table": moved})
    else:
        typer.echo(f"{total:,} messages {done}.")
    if not total:
        raise typer.Exit(ExitCode.FOUND)


def _reason(letter: DeadLetter) -> str:
    shown = "; ".join(f"{one['field']}: saw {one['seen']}, expected {one['expected']}" for one in letter.mismatches)
    return shown or letter.text


def _url(variable: str) -> str:
    from medallion_assets.errors import SettingsError

    url = os.environ.get(variable)
    if not url:
        raise SettingsError(f"{variable} is not set; set it to the URL of the queue, an output of the Ingest stack.")
    return url
