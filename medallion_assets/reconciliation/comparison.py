"""The result of a comparison: one table or mart of the lake with the source, in counts and a few examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medallion_assets.checks.results import MAX_EXAMPLES
from medallion_assets.reconciliation.reference_decoder import Key

Row = Mapping[str, Any]


@dataclass
class Comparison:
    """Counts of rows of one table or mart.

    `missing` rows are in the source only, `extra` rows in the lake only. `in_quarantine` are keys whose newest change
    is in quarantine (open or dropped): they are not compared. `in_flight` rows differed and were changing while
    they were compared. `unconfirmed` rows differ while the pipeline is behind, so a change may be in flight: `behind`
    says how. `differences` describes the first few.
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
        """Return whether nothing differs; unconfirmed rows differ."""
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
        if len(self.differences) < MAX_EXAMPLES:
            self.differences.append(f"{', '.join(map(str, key))}: {seen}")
