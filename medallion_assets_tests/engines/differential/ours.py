"""Our answer to a usual SELECT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from medallion_assets.engines.binding import Binder
from medallion_assets.engines.embedded import Embedded
from medallion_assets.engines.query import read_query
from medallion_assets.engines.types import describe
from medallion_assets_tests.engines.differential.compare import TODAY, as_text, plain_type
from medallion_assets_tests.engines.differential.usual_tables import USUAL_COLUMNS, USUAL_KEYS, usual_rows

SelectAnswer = tuple[dict[str, str], list[str]]
"""The columns with their types, and the rows as sorted texts."""


def show_usual_tables(session: Embedded) -> None:
    """Show the usual tables in a session."""
    for table, rows in usual_rows().items():
        session.show_rows("silver", table, rows)


def answer_select(session: Embedded, sql: str) -> SelectAnswer:
    """Return our types and rows of a SELECT over the usual tables. Raises MartError if it is refused."""
    query = read_query(sql, USUAL_COLUMNS, where="query.sql", keys=USUAL_KEYS)
    with Binder() as binder:
        binder.require_bindable(query, USUAL_COLUMNS, where="query.sql")
    types = {name: plain_type(describe(kind)) for name, kind in query.columns.items()}
    return types, sorted_rows(row.values() for row in session.compute(query, today=TODAY).to_pylist())


def sorted_rows(rows: Iterable[Iterable[Any]]) -> list[str]:
    """Return rows as texts, in an order of their own."""
    return sorted(as_text(list(row)) for row in rows)


def trinos_select(columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> SelectAnswer:
    """Return Trino's answer in the same form."""
    return {name: plain_type(kind) for name, kind in columns.items()}, sorted_rows(rows)
