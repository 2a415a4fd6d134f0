"""What a contract says about the columns that its table had: `renamed_from` of a column, and `retired` columns.

Belongs here: the mistakes in them. Does not belong here: changing the table (silver.table).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from medallion_assets.contracts.mistakes import Mistake


class NamedColumn(Protocol):
    """What is needed of a column: its name in the lake, and the name that it had before."""

    @property
    def name(self) -> str:
        """The column's name in the lake."""

    @property
    def renamed_from(self) -> str | None:
        """The name that it had before."""


def past_mistakes(
    columns: Mapping[str, NamedColumn | None], retired: Mapping[str, NamedColumn | None]
) -> Iterator[Mistake]:
    """Yield the mistakes in what a contract says about earlier columns. None is a column that cannot be read."""
    known = {column.name for column in columns.values() if column is not None}
    gone = {column.name for column in retired.values() if column is not None}
    for attribute, column in retired.items():
        if column is None:
            continue
        if column.name in known:
            text = f"{column.name!r} is also a column; a column is one or the other"
            yield Mistake(("retired", attribute), text)
        if column.renamed_from is not None:
            yield Mistake(("retired", attribute, "renamed_from"), "a retired column gets no new name")
    earlier: dict[str, str] = {}
    for attribute, column in columns.items():
        if column is None or column.renamed_from is None:
            continue
        place, before = ("columns", attribute, "renamed_from"), column.renamed_from
        if before in known:
            yield Mistake(place, f"{before!r} is a column of this contract; expected the name of one that is not")
        elif before in gone:
            yield Mistake(place, f"{before!r} is retired; a column is renamed or retired")
        elif before in earlier:
            yield Mistake(place, f"{before!r} is what {earlier[before]!r} was called, too")
        earlier[before] = attribute
