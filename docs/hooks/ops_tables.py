"""MkDocs hook: writes the columns of the tables `ops.*` into the page that has the mark, from their registry.

Belongs here: the registry as Markdown. Does not belong here: what a column means (medallion_assets.ops.tables).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from medallion_assets.ops.tables import OPS_TABLES, OpsTable

MARK: Final = "<!-- columns of ops -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with the columns in place of the mark."""
    return markdown.replace(MARK, "\n".join(line for table in OPS_TABLES for line in _section(table)))


def _section(table: OpsTable) -> Iterator[str]:
    """Yield the lines of one table's section."""
    yield from (f"### ops.{table.name}", "", "| column | type | meaning |", "| --- | --- | --- |")
    for column in table.columns:
        yield f"| `{column.name}` | {column.type}{'' if column.required else ', or null'} | {column.meaning} |"
    yield ""
