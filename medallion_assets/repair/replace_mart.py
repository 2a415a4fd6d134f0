"""Compute a mart beside the published one, and put it in its place in one step: for a mart whose columns changed type.

Belongs here: the act. Does not belong here: computing and auditing (gold), the swap (lake).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from medallion_assets.engines.engine import Engine
from medallion_assets.gold.refresh import iceberg_partition, refresh
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.replacement import PREFIX, create_replacement, remove_replacement, swap
from medallion_assets.lake.retry import retry_on_conflict
from medallion_assets.repair.require_published import require_published


def replace_mart(lake: Lake, mart: Mart, *, engine: Engine, run_id: str, now: datetime) -> int:
    """Compute the whole mart and swap it in; return its rows. The published table must have readable metadata.

    Raises AuditFailed if a blocking check failed, CommitConflict if other writers were faster at every attempt,
    LakeUnavailable, and what the engine raises; the old table stays.
    """
    new = replace(mart, name=f"{PREFIX}{mart.name}")
    remove_replacement(lake, GOLD, new.name)
    create_replacement(
        lake,
        lake.table(GOLD, mart.name),
        new.name,
        mart.schema,
        key=(),
        partition_by=iceberg_partition(mart),
        renamed={},
    )

    def compute() -> int:
        old = lake.table(GOLD, mart.name)
        done = refresh(lake, new, today=now.date(), now=now, run_id=run_id, whole=True, engine=engine)
        require_published(f"gold.{mart.name}", done.checks, published=done.published)
        swap(lake, old, lake.table(GOLD, new.name))
        return done.rows

    rows = retry_on_conflict(compute, what=f"gold.{mart.name}")
    remove_replacement(lake, GOLD, new.name)
    return rows
