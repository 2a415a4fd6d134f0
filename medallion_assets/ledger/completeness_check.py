"""The check `completeness`: of a Silver table, and of a mart that reads Silver tables, from what the ledger says.

Belongs here: when it fails, and its numbers. Does not belong here: finding gaps (inspect). It blocks no batch of a
Silver table: that would leave out even more changes. Where a contract says so, it blocks the marts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Severity

if TYPE_CHECKING:
    from medallion_assets.ledger.status import Completeness

COMPLETENESS: Final = "completeness"


def check_table(contract: Contract, found: Completeness, *, now: datetime) -> CheckResult:
    """Check that no gap of a table is open, and that it is complete up to a time that its freshness rule allows."""
    rule = contract.rules.freshness
    age = None if found.complete_to is None else now - found.complete_to
    too_old = rule is not None and age is not None and age > timedelta(minutes=rule.max_minutes)
    allowed = f", and it is complete up to at most {rule.max_minutes} minutes ago" if rule else ""
    return CheckResult(
        COMPLETENESS,
        not found.gaps and not too_old,
        "warn",
        f"Every change in the table's stream is in the table, and every object of it in Bronze{allowed}. "
        f"Complete up to {_text(found.complete_to)}.",
        {
            "complete_up_to": _text(found.complete_to),
            **({} if age is None else {"age_s": int(age.total_seconds())}),
            "gaps": len(found.gaps),
            "needs_backfill": sum(gap.lossy for gap in found.gaps),
        },
        [str(gap) for gap in found.gaps][:MAX_EXAMPLES],
    )


def check_mart(
    tables: Sequence[str],
    found: Mapping[str, Completeness],
    *,
    severity: Severity,
    complete_to: datetime | None,
) -> CheckResult:
    """Check that no changes are missing from the tables (lake names) that a mart reads; `found` is by lake name.

    `complete_to`: every change of these tables up to then is in the published mart (gold.completeness).
    """
    gaps = {table: [gap for gap in found[table].gaps if gap.lossy] for table in tables}
    numbers: dict[str, int | Decimal | str] = {"complete_up_to": _text(complete_to)}
    numbers |= {f"gaps of {table}": len(open_gaps) for table, open_gaps in gaps.items()}
    examples = [str(gap) for open_gaps in gaps.values() for gap in open_gaps]
    return CheckResult(
        COMPLETENESS,
        not examples,
        severity,
        f"No change is missing from {', '.join(tables)}. Complete up to {_text(complete_to)}.",
        numbers,
        examples[:MAX_EXAMPLES],
    )


def mart_severity(tables: Sequence[str], domain: Domain) -> Severity:
    """Return `block` if the contract of one of the tables blocks marts while it needs a backfill, else `warn`."""
    severities = {domain.by_name[table].rules.completeness.severity for table in tables}
    return "block" if "block" in severities else "warn"


def _text(at: datetime | None) -> str:
    return "unknown" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
