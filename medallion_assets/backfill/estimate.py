"""What a backfill will read and cost, before it starts.

Belongs here: the estimate. Does not belong here: the prices (cost).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from medallion_assets.cost.data import Prices


@dataclass(frozen=True)
class Estimate:
    """Items and bytes of the table, data files that are left to read, read capacity units, and US dollars.

    The dollars are list prices of what DynamoDB and S3 are asked for: nothing of it is for the runs that merge.
    """

    items: int
    bytes: int
    files: int
    read_units: float
    usd: Decimal


def estimate_export(prices: Prices, *, items: int, size: int, files: int) -> Estimate:
    """Return the estimate of loading an export that exists: reads and writes of S3, and no read of the table."""
    gets = prices.usd("s3_get", Decimal(2 * files + 4))
    puts = prices.usd("s3_put", Decimal(files + items // 10_000 + 1))
    return Estimate(items, size, files, 0.0, gets + puts)
