"""The audit of a published mart, for a check that is executed alone.

Belongs here: which part of the mart is read. Does not belong here: the checks themselves (audit), the audit of a staged
refresh (refresh).
"""

from __future__ import annotations

from medallion_assets.checks.results import CheckResult, missing_columns
from medallion_assets.engines.engine import Engine
from medallion_assets.gold.audit import audit_mart, check_names
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages


@translate_outages()
def audit_published(lake: Lake, mart: Mart, *, engine: Engine) -> list[CheckResult]:
    """Return the results of all checks on the whole published mart; none if nothing is published yet.

    `engine` reads the mart. Raises LakeUnavailable, and what the engine raises.
    """
    table = lake.find(GOLD, mart.name)
    if table is None:
        return []
    if missing := [name for name in mart.schema.names if name not in table.schema().column_names]:
        return missing_columns(missing, check_names(mart))
    return audit_mart(engine, lake, table, mart, snapshot_id=None, only=None)
