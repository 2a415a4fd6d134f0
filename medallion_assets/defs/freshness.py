"""How old an asset may get before Dagster says so: what the contracts behind it say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import dagster as dg

from medallion_assets.contracts.model import Contract


def freshness(contracts: Iterable[Contract]) -> dg.FreshnessPolicy | None:
    """The policy of an asset over these tables, or None where no contract says how old its newest change may be.

    The strictest counts: an asset is refreshed as soon as any of its tables has news.
    """
    minutes = [contract.rules.freshness.max_minutes for contract in contracts if contract.rules.freshness]
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=min(minutes))) if minutes else None
