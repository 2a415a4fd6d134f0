"""The result of one check, as data that Dagster, the command line and tests show.

Belongs here: what every result has. Does not belong here: running checks (silver.audit, gold.audit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from medallion_assets.contracts.model import Severity

MAX_EXAMPLES: Final = 10


@dataclass(frozen=True)
class CheckResult:
    """One check of one staged snapshot: whether it passed, the numbers behind it, up to ten example keys as text."""

    name: str
    passed: bool
    severity: Severity
    description: str
    numbers: Mapping[str, int | Decimal | str] = field(default_factory=dict)
    examples: Sequence[str] = ()

    @property
    def blocks_publish(self) -> bool:
        """Whether this result keeps the snapshot from being published."""
        return not self.passed and self.severity == "block"


def missing_columns(missing: Sequence[str], checks: Sequence[tuple[str, Severity]]) -> list[CheckResult]:
    """Return a failed result for each check of a table that lacks columns which its audit reads."""
    return [
        CheckResult(
            name,
            False,
            severity,
            "The table has all declared columns; without them nothing else of it can be checked.",
            {"missing_columns": len(missing)},
            missing[:MAX_EXAMPLES],
        )
        for name, severity in checks
    ]
