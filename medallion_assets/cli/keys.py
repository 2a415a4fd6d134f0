"""`medallion keys`: make, list, replace and revoke the keys of `medallion serve`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medallion_assets.serving.keys import Key, KeyRing

app = typer.Typer(
    help="Make, list, replace or revoke keys of `medallion serve`.\n\nThey are in MEDALLION_KEYS.", no_args_is_help=True
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `medallion keys list` shows it.")]
_Days = Annotated[int | None, typer.Option(min=1, help="How many days it works.", show_default="until it is revoked")]


@app.command("make")
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, for people.")],
    read: Annotated[
        list[str], typer.Option(help="What it may read with SQL: a schema, a table as silver.orders, or *.")
    ] = [],  # noqa: B006 - typer takes a list
    query: Annotated[list[str], typer.Option(help="A saved query that it may call, or *.")] = [],  # noqa: B006
    days: _Days = None,
) -> None:
    """Make a key and print it, once.

    \b
    Examples:
      medallion keys make "Sales page" --read gold --days 90
      medallion keys make shop --query top_customers
    """
    from pydantic import ValidationError

    from medallion_assets.errors import SettingsError

    if not read and not query:
        raise SettingsError("A key needs a right: expected --read or --query.")
    try:
        key, text = _ring().make(name, reads=read, queries=query, now=datetime.now(UTC), lasts=_lasts(days))
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        raise SettingsError(
            f"{first['loc'][0]}: {first['input']!r}: expected a schema (gold), a table (silver.orders), the name of a "
            "saved query, or *."
        ) from None
    _print(key, text)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the keys, without their secrets."""
    from medallion_assets.cli.output import print_json, print_table

    found, now = _ring().list(), datetime.now(UTC)
    if as_json:
        print_json([key.model_dump(mode="json", exclude={"hash"}) | {"works": key.works(now)} for key in found])
        return
    columns = ["id", "name", "reads", "queries", "made", "ends", "works"]
    rows = [
        [
            key.id,
            key.name,
            ", ".join(key.reads),
            ", ".join(key.queries),
            key.created_at,
            key.revoked_at or key.expires_at,
            key.works(now),
        ]
        for key in found
    ]
    print_table("", columns, rows)


@app.command("replace")
def replace(
    key_id: _Id,
    overlap_hours: Annotated[float, typer.Option(min=0, help="For how long the old one works on.")] = 24.0,
    days: _Days = None,
) -> None:
    """Make a key that may do what another may, and let that one end."""
    overlap = timedelta(hours=overlap_hours)
    _print(*_ring().replace(key_id, now=datetime.now(UTC), overlap=overlap, lasts=_lasts(days)))


@app.command("revoke")
def revoke(key_id: _Id) -> None:
    """End a key; servers refuse it within ten seconds."""
    key = _ring().revoke(key_id, now=datetime.now(UTC))
    typer.echo(f"The key {key.id} ({key.name}) is revoked.", err=True)


def _ring() -> KeyRing:
    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.errors import SettingsError
    from medallion_assets.serving.keys import KeyRing

    place = settings().keys
    if place is None:
        raise SettingsError("MEDALLION_KEYS is not set. Expected where keys are: s3://bucket/prefix, or a directory.")
    return KeyRing(open_store(place))


def _lasts(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _print(key: Key, text: str) -> None:
    typer.echo(text)
    ends = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"
    typer.echo(f"The key {key.id} works {ends}. It is not shown again.", err=True)
