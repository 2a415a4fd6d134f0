"""The result of comparing one table or mart of the lake with the source: counts and a few examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medallion_assets.checks.results import MAX_EXAMPLES
from medallion_assets.reconciliation.reference_decoder import Key

Row = Mapping[str, Any]


@dataclass
class Comparison:
    """Counts of the rows of one table or mart.

    - missing: rows in the source only
    - extra: rows in the lake only, and all but one of the rows of a key that another writer wrote several times
    - different: rows in both, with other values
    - in_quarantine: keys whose newest change is in quarantine, open or dropped; they are not compared
    - in_flight: rows that differed and changed while they were compared
    - unconfirmed: rows that differ while the pipeline is behind, so that their change may still arrive
    - behind: what the pipeline still lacks; None if it has caught up
    - differences: a description of the first few
    """

    name: str
    source: int = 0
    lake: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    in_quarantine: int = 0
    in_flight: int = 0
    unconfirmed: int = 0
    behind: str | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs. Unconfirmed rows count as different."""
        return not (self.missing or self.extra or self.different or self.unconfirmed)

    def count(self, key: Key, source: Row | None, lake: Row | None) -> None:
        """Compare one row of each side; None for a side without it."""
        if source == lake:
            self.equal += 1
            return
        if lake is None:
            self.missing += 1
            seen = "in the source, not in the lake"
        elif source is None:
            self.extra += 1
            seen = "in the lake, not in the source"
        else:
            self.different += 1
            seen = "; ".join(
                f"{name}: source {source.get(name)!r}, lake {lake.get(name)!r}"
                for name in source
                if source.get(name) != lake.get(name)
            )
        self._describe(key, seen)

    def count_repeated(self, key: Key, *, rows: int, counted: bool, in_source: bool) -> None:
        """Count a key that has several rows in the lake; `counted` says whether it is counted once already."""
        self.extra += rows - 1
        if not counted:
            self.different += in_source
            self.extra += not in_source
        self._describe(key, f"{rows} rows in the lake, expected {1 if in_source else 'none'}")

    def _describe(self, key: Key, seen: str) -> None:
        if len(self.differences) < MAX_EXAMPLES:
            self.differences.append(f"{', '.join(map(str, key))}: {seen}")
