"""Print tables for people, and JSON and CSV for programs.

Belongs here: how values are printed. Does not belong here: what a command prints.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(value: object) -> None:
    """Print `value` as one JSON document: decimals as text with all digits, times in ISO 8601, binary in hex."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as CSV (RFC 4180) with a header; null is empty, lists and maps are JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table for people. Without a terminal it has 200 columns."""
    if title:
        typer.echo(title)
    console().print(table(columns, rows))


def console() -> Console:
    """Return the console that tables are printed to: a terminal at its width, or plain text of 200 columns."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table for people; numbers are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    made = Table()
    for at, column in enumerate(columns):
        numeric = any(isinstance(row[at], int | Decimal | timedelta) for row in listed)
        made.add_column(Text(column), justify="right" if numeric else "left")
    for row in listed:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def shown(cell: Any) -> str:
    """Return the value of one cell as text for people."""
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return cell.replace(tzinfo=None, microsecond=0).isoformat(" ")  # %Y writes the year 1 as 1
        case timedelta():
            return f"{cell.total_seconds():.1f} s"
        case int() | Decimal():
            return f"{cell:,}"
        case _:
            return str(cell)


def _csv_cell(cell: Any) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case list() | dict():
            return json.dumps(cell, default=_plain, ensure_ascii=False)
        case datetime() | date() | bytes() | timedelta():
            return str(_plain(cell))
        case _:
            return str(cell)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
