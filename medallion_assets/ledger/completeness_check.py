"""The check `completeness`: of a Silver table, and of a mart over Silver tables, from what the ledger says of them.

Belongs here: when it fails, and what it tells. Does not belong here: finding gaps (ledger). It holds back no batch of a
Silver table: that would leave out even more. Where a contract says so, it holds back the marts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Severity

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart
    from medallion_assets.ledger.status import Completeness

COMPLETENESS: Final = "completeness"


def check_table(contract: Contract, found: Completeness, *, now: datetime) -> CheckResult:
    """No gap is open, and the table is complete up to a time that its rule of freshness allows."""
    rule = contract.rules.freshness
    age = None if found.complete_to is None else now - found.complete_to
    old = rule is not None and age is not None and age > timedelta(minutes=rule.max_minutes)
    allowed = f", and it is complete up to at most {rule.max_minutes} minutes ago" if rule else ""
    return CheckResult(
        COMPLETENESS,
        not found.gaps and not old,
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


def check_mart(mart: Mart, domain: Domain, found: Mapping[str, Completeness]) -> CheckResult:
    """None of the tables that a mart reads lacks changes; `found` is by lake name."""
    complete_to = mart_complete_to(mart, found)
    gaps = [gap for table in mart.tables for gap in found[table].gaps if gap.lossy]
    numbers: dict[str, int | Decimal | str] = {"complete_up_to": _text(complete_to)}
    for table in mart.tables:
        numbers[f"gaps of {table}"] = sum(gap.lossy for gap in found[table].gaps)
    return CheckResult(
        COMPLETENESS,
        not gaps,
        mart_severity(mart, domain),
        f"No change is missing from {', '.join(mart.tables)}. Complete up to {_text(complete_to)}.",
        numbers,
        [str(gap) for gap in gaps][:MAX_EXAMPLES],
    )


def mart_complete_to(mart: Mart, found: Mapping[str, Completeness]) -> datetime | None:
    """Up to when all tables that a mart reads are complete; None if that is not known of each of them."""
    times = [found[table].complete_to for table in mart.tables]
    known = [at for at in times if at is not None]
    return min(known, default=None) if len(known) == len(times) else None


def mart_severity(mart: Mart, domain: Domain) -> Severity:
    """`block` if the contract of one of the tables wants marts held back while it needs a backfill."""
    severities = {domain.by_name[table].rules.completeness.severity for table in mart.tables}
    return "block" if "block" in severities else "warn"


def _text(at: datetime | None) -> str:
    return "unknown" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
