"""What a rebuild did.

Belongs here: the value. Does not belong here: rebuilding.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rebuilt:
    """What was done: the entries that were removed from the catalog, the days of Bronze and the rows that were read
    from it, or the rows of a mart that were computed; and whether a new table took the old one's place in one step."""

    removed: tuple[str, ...]
    days: int
    rows: int
    replaced: bool = False
