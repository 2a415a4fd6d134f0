"""The days of a partition on the clock of its time zone; UTC unless the mart names another one.

Belongs here: SQL from a time to its day, and from days to the UTC days that hold them. Does not belong here: which
days a change affects (changes).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from medallion_assets.contracts.time_zone import UTC
from medallion_assets.gold.mart_file import Partition
from medallion_assets.lake.duck import identifier, literal

_ONE: Final = timedelta(days=1)


def day_sql(partition: Partition, column: str) -> str:
    """Return SQL of the day of a column that holds the partition's time, as the mart's SELECT computes it."""
    time = identifier(column)
    if partition.time_zone == UTC:
        return f"CAST({time} AS DATE)"
    return f"CAST(timezone({literal(partition.time_zone)}, {time}) AS DATE)"


def utc_days(partition: Partition, days: Sequence[date]) -> list[date]:
    """Return UTC days that hold all times of the partition's days. No clock is a whole day away from UTC."""
    if partition.time_zone == UTC:
        return list(days)
    before = {day - _ONE for day in days if day > date.min}
    after = {day + _ONE for day in days if day < date.max}
    return sorted({*days} | before | after)
