"""What a rebuild requires of each batch and mart: that its audit let it be published.

Belongs here: the error that names the failed checks. Does not belong here: the audits (silver, gold).
"""

from __future__ import annotations

from collections.abc import Collection

from medallion_assets.checks.results import CheckResult
from medallion_assets.errors import AuditFailed


def require_published(what: str, checks: Collection[CheckResult], *, published: bool) -> None:
    """Raise AuditFailed that names the failed checks, unless it was published."""
    if not published:
        failed = ", ".join(check.name for check in checks if check.blocks_publish)
        raise AuditFailed(
            f"{what} was not published: {failed} failed. Correct what the check names, then run the command again."
        )
