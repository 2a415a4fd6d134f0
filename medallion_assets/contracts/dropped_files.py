"""What a contract says of files that are dropped for its table.

Belongs here: their order, and the folders that no table can have. Does not belong here: reading them (dropped).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from medallion_assets.contracts.mistakes import Mistake

FileOrder = Literal["older", "newer"]
"""Whether the rows of a file are older than every change of the stream, or newer than what the lake has."""

EVENT_PREFIX: Final = "file-"
"""How the event id of a row begins; the file's hash and the row's number follow. Those of streams are hexadecimal."""

OUTCOMES: Final = ("taken", "rejected")
"""The folders that files move to; a table of this name would be taken for one of them."""


def file_mistakes(table: str | None, files: FileOrder | None, *, of_entity: bool) -> Iterator[Mistake]:
    """Yield the mistakes of a contract that takes files: a table called like one of OUTCOMES, and one entity of it."""
    if files is not None and of_entity:
        yield Mistake(("files",), "a contract with `where` takes no files, because a file is of a whole DynamoDB table")
    if files is not None and table in OUTCOMES:
        text = f"files of {table!r} would lie among those that are {table} already; give the table another name here"
        yield Mistake(("files",), text)
