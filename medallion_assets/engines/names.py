"""The names of the tables that a query reads: `orders` is silver.orders, `gold.daily_sales` is the table of a mart.

Belongs here: from a table in FROM to its name, and back. Does not belong here: which tables there are (gold.spec).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlglot import exp

SILVER: Final = "silver"
"""The schema of the names without one."""


def table_name(table: exp.Table) -> str:
    """Return the name of a table in FROM; of a query of WITH, which has no schema, its own."""
    return table.name if table.db in {"", SILVER} else f"{table.db}.{table.name}"


def schema_and_table(name: str) -> tuple[str, str]:
    """Return the schema of a named table and the table's own name in it."""
    schema, _, table = name.rpartition(".")
    return schema or SILVER, table
