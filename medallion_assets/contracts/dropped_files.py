"""What a contract says of files that are dropped for its table.

Belongs here: their order, and the folders that no table can have. Does not belong here: reading them (dropped).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from medallion_assets.contracts.mistakes import Mistake

FileOrder = Literal["older", "newer"]
"""Whether the rows of a file are older than every change of the stream, or newer than what the lake has."""

OUTCOMES: Final = ("taken", "rejected")
"""The folders that files move to; a table of this name would be taken for one of them."""


def file_mistakes(table: str | None, files: FileOrder | None) -> Iterator[Mistake]:
    """Yield the mistake of a table that takes files and is called like one of OUTCOMES."""
    if files is not None and table in OUTCOMES:
        text = f"files of {table!r} would lie among those that are {table} already; give the table another name here"
        yield Mistake(("files",), text)
