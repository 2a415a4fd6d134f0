"""What a backfill will read and cost, before it starts.

Belongs here: the estimate. Does not belong here: the prices (cost).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Final

from medallion_assets.backfill.backfill import Plan
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES
from medallion_assets.cost.data import Prices
from medallion_assets.reconciliation.scan import Description

_UNIT_BYTES: Final = 4096
"""What a read unit reads consistently (DynamoDB Developer Guide, "Read consumption")."""
_OBJECT_ITEMS: Final = 10_000
_READS_PER_FILE: Final = 2
"""An export's file is read twice: it is checked before the first row is written."""


@dataclass(frozen=True)
class Estimate:
    """Items to load of `of_items`, in so many parts; bytes of the table, read capacity units, and US dollars.

    The dollars are list prices of what DynamoDB and S3 are asked for: nothing of it is for the runs that merge.
    """

    items: int
    of_items: int
    parts: int
    bytes: int
    read_units: float
    usd: Decimal


def estimate_plan(prices: Prices, plan: Plan) -> Estimate:
    """Return what is left to do of a backfill. Parts of a scan are taken for equal. Raises SettingsError."""
    parts, items = len(plan.left), max(plan.snapshot.items - sum(one.items for one in plan.done.values()), 0)
    usd = prices.usd("s3_put", Decimal(parts + items // _OBJECT_ITEMS + 1))
    units = 0.0
    if plan.snapshot.kind == "scan":
        units = plan.about.bytes / _UNIT_BYTES * parts / len(plan.snapshot.parts)
        usd += prices.usd("dynamodb_reads", Decimal(units))
    else:
        usd += prices.usd("s3_get", Decimal(_READS_PER_FILE * parts))
    return Estimate(items, plan.snapshot.items, parts, plan.about.bytes, units, usd)


def estimate_export(prices: Prices, about: Description, *, scanned: bool) -> Estimate:
    """Return what it takes to export a table and to load the export; `scanned`: our exporter reads the table."""
    parts = max(1, ceil(about.bytes / SEGMENT_BYTES))
    usd = prices.usd("dynamodb_export", Decimal(about.bytes) / 10**9)
    usd += prices.usd("s3_put", Decimal(2 * parts + about.items // _OBJECT_ITEMS + 1))
    usd += prices.usd("s3_get", Decimal(_READS_PER_FILE * parts))
    units = about.bytes / _UNIT_BYTES if scanned else 0.0
    return Estimate(about.items, about.items, parts, about.bytes, units, usd)
