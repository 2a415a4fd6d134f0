"""The part of Bronze that one pass of the ledger lists, and which names it lists completely.

Belongs here: the listing of one table. Does not belong here: what follows from it (inspect).

A pass lists the names that can still appear (those of the last 15 minutes, see capture.position) and one page of older
names. The pages rotate. So every pass lists a table of up to a thousand objects completely, and a larger one in turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore, Entry

PAGE: Final = 1000
"""Older names listed per pass: what S3 returns for one request."""


@dataclass(frozen=True)
class Listing:
    """Bronze objects by name. `ranges`: all names after the first and up to the second of a pair are listed.

    `next_page` is the name after which the next pass lists older names; None: from the beginning.
    """

    entries: Mapping[str, Entry]
    ranges: Sequence[tuple[str | None, str]]
    next_page: str | None

    def covers(self, name: str) -> bool:
        """Return whether the object would be listed if it were in Bronze."""
        return any((after or "") < name <= up_to for after, up_to in self.ranges)

    def pending(self, position: Position) -> list[str]:
        """Return the listed objects that a reader at `position` has still to read."""
        after, seen = position.list_after, position.seen
        return [name for name in self.entries if name not in seen and (after is None or name > after)]


def list_bronze(store: BronzeStore, table: str, position: Position, *, page: str | None) -> Listing:
    """List the names of `table` that Silver's position has still to read, and a page of older ones after `page`.

    Raises LakeUnavailable, SettingsError.
    """
    last = after_last_name(table)
    list_after = position.list_after
    found = {entry.path: entry for entry in islice(store.entries(table, after=page), PAGE)}
    end = max(found, default=None)
    if len(found) < PAGE or end is None:
        return Listing(found, [(page, last)], None)
    if list_after is not None and end <= list_after:
        found |= {entry.path: entry for entry in store.entries(table, after=list_after)}
        return Listing(found, [(page, end), (list_after, last)], end)
    found |= {entry.path: entry for entry in store.entries(table, after=end)}
    return Listing(found, [(page, last)], None)


def after_last_name(table: str) -> str:
    """Return text that sorts after every name of the table: "0" follows "/"."""
    return f"{table}0"
