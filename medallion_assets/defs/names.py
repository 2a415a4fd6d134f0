"""What things are called in Dagster: keys, pools, tags, versions; and the daily partitions and the clock all share.

A key is `layer/table`; a step's name is its key with `__`; every table of the lake is a pool of its own, so that it has
one writer at a time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Final, Literal

import dagster as dg

from medallion_assets.contracts.model import Contract

Layer = Literal["dynamodb", "bronze", "silver", "gold", "reconciliation"]

NEWS_TAG: Final = "medallion/news"
"""On a run that a sensor started: bring up to date. A run without it makes exactly its partitions again, in whole."""


def asset_key(layer: Layer, table: str) -> dg.AssetKey:
    """The key of a table in a layer."""
    return dg.AssetKey([layer, table])


def pool(layer: Layer | Literal["quarantine", "ops"], table: str) -> str:
    """The pool that lets one step at a time write the table."""
    return f"{layer}/{table}"


def daily(since: date) -> dg.DailyPartitionsDefinition:
    """One partition per UTC day, from `since` to today (which has begun, so it is there)."""
    return dg.DailyPartitionsDefinition(start_date=since.isoformat(), timezone="UTC", end_offset=1)


def code_version(contract: Contract) -> str:
    """A fingerprint of the contract: another one means that rows may come out differently."""
    return hashlib.sha256(contract.model_dump_json().encode()).hexdigest()[:16]


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)
