"""`medallion query`: run one SELECT over what is published in Silver and Gold, here or by a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from medallion_assets.serving.client import Served


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SELECT", help="A SELECT over silver.*, gold.* and quarantine.*, or with --saved a name."
        ),
    ],
    *,
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Ask this server of `medallion serve`, with the key in MEDALLION_KEY.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="With --url: also what is not merged yet.")] = False,
    saved: Annotated[bool, typer.Option("--saved", help="With --url: call the saved query of this name.")] = False,
    value: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="With --saved: the value of a parameter.")
    ] = None,
) -> None:
    """Run a SELECT (Trino's dialect, by DuckDB) over published data. Decimals keep all their digits.

    \b
    Examples:
      medallion query "SELECT * FROM gold.key_metrics"
      medallion query "SELECT status, count(*) FROM silver.orders GROUP BY 1" --format csv
      medallion query --url http://127.0.0.1:8080 --saved sales_by_region --value since=2026-11-01
    """
    from medallion_assets.errors import SettingsError

    format_ = Format.JSON if as_json else format_
    if url is not None:
        found = _ask(url, sql, fresh=fresh, saved=saved, values=value or [])
        typer.echo(_age(found), err=True)
        _print(format_, found.columns, found.rows)
        return
    if fresh or saved or value:
        raise SettingsError("--fresh, --saved and --value are of a server; expected --url, too.")
    from datetime import UTC, datetime

    from medallion_assets.cli.environment import settings
    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.lake.catalog import Lake

    with Lake.open(settings().lake()) as lake, Embedded(lake) as engine:
        rows: pa.Table = engine.run_published(sql, today=datetime.now(UTC).date())
    _print(format_, rows.column_names, list(zip(*rows.to_pydict().values(), strict=True)))


def _print(format_: Format, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from medallion_assets.cli.output import print_csv, print_json, print_table

    match format_:
        case Format.JSON:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        case Format.CSV:
            print_csv(columns, rows)
        case Format.TABLE:
            print_table("", columns, rows)


def _ask(url: str, text: str, *, fresh: bool, saved: bool, values: Sequence[str]) -> Served:
    from medallion_assets.errors import SettingsError
    from medallion_assets.serving.client import KEY, ask_saved, ask_sql

    key = os.environ.get(KEY)
    if not saved:
        if values:
            raise SettingsError("--value is of a saved query; expected --saved, too.")
        return ask_sql(url, text, freshness="fresh" if fresh else "published", key=key)
    if fresh:
        raise SettingsError("A saved query reads what is published; expected --saved without --fresh.")
    given = dict(one.partition("=")[::2] for one in values)
    return ask_saved(url, text, given, key=key)


def _age(found: Served) -> str:
    """Return how old the rows are, for people."""
    age = "of unknown age" if found.age_seconds is None else f"{found.age_seconds:.1f} s old"
    audited = "not audited" if found.freshness == "fresh" else "published"
    complete = f", complete up to {found.complete_to}" if found.complete_to else ""
    return f"{audited}, {age}{complete}"
