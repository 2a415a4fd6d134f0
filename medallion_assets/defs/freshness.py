"""The freshness policy of an asset, from the contracts of its tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import dagster as dg

from medallion_assets.contracts.model import Contract


def freshness(contracts: Iterable[Contract]) -> dg.FreshnessPolicy | None:
    """Return the policy of an asset over these tables; None if no contract has a rule of freshness.

    The strictest rule counts: an asset is refreshed as soon as any of its tables changes.
    """
    minutes = [contract.rules.freshness.max_minutes for contract in contracts if contract.rules.freshness]
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=min(minutes))) if minutes else None
