"""What the rules of the ledger find, before anything is written.

Belongs here: the values, and combining them. Does not belong here: the rules (objects, shards).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medallion_assets.ledger.gap import Gap
from medallion_assets.ledger.row import Row


@dataclass(frozen=True)
class Findings:
    """`rows` to record, by object name; `gaps` that are there; keys of gaps that are `over`."""

    rows: Mapping[str, Row] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    over: frozenset[str] = frozenset()

    @classmethod
    def combine(cls, parts: Iterable[Findings]) -> Findings:
        """Return all findings as one; a later row replaces an earlier one of the same object."""
        rows: dict[str, Row] = {}
        gaps: list[Gap] = []
        over: frozenset[str] = frozenset()
        for part in parts:
            rows |= part.rows
            gaps += part.gaps
            over |= part.over
        return cls(rows, gaps, over)


@dataclass(frozen=True)
class KnownGaps:
    """The gaps that are recorded: the open ones of one table, and every key ever recorded with when it was closed."""

    open: Sequence[Gap]
    closed_at: Mapping[str, Any]

    def select(self, gaps: Iterable[Gap]) -> list[Gap]:
        """Return those of `gaps` to record, each key once.

        A gap that is open is not recorded again. A gap that was closed is recorded again only if it is one of a Bronze
        object, which can be lost twice; a range that was repaired stays repaired.
        """
        selected: dict[str, Gap] = {}
        open_keys = {gap.gap for gap in self.open}
        for gap in gaps:
            if gap.gap not in open_keys and (gap.reopens or gap.gap not in self.closed_at):
                selected.setdefault(gap.gap, gap)
        return list(selected.values())

    def subjects(self, *kinds: str) -> set[str]:
        """Return the subjects of the open gaps of these kinds."""
        return {gap.subject for gap in self.open if gap.kind in kinds}
