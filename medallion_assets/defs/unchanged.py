"""Partitions that no run makes: past days without changes, and the source tables, reported as materialized.

Belongs here: which days these are, and the reports. Does not belong here: when they are looked for (ledger). Without a
report Dagster's pages show such a day as missing, which for every other day means that somebody has to run it.

A report belongs to no run. It says `changes: 0`, and the sensor on Bronze takes it for nothing new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import BaseModel, ConfigDict

from medallion_assets.capture.naming import ObjectName, floor
from medallion_assets.capture.position import LATEST_WRITE
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.defs.names import Names
from medallion_assets.gold.spec import Mart

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake

CHANGES: Final = "changes"
"""In the metadata of a report: 0."""

MAX_DAYS: Final = 200
"""Days of one table or mart that one call looks at: each costs up to a listing, or two reports of some milliseconds."""


class ReportedDays(BaseModel):
    """The days of one table or mart that are dealt with: from `since`, up to but without `before`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: date
    before: date


def report_unchanged_days(
    instance: dg.DagsterInstance,
    lake: Lake,
    store: BronzeStore,
    *,
    domain: Domain,
    marts: Sequence[Mart],
    names: Names,
    merged_to: Mapping[str, datetime],
    reported: Mapping[str, ReportedDays],
    now: datetime,
) -> dict[str, ReportedDays]:
    """Report the past days without changes that no run made; return what to pass as `reported` the next time.

    `merged_to` is by lake name: every object captured before that time is in Silver, as the ledger found. A capture day
    is looked at when it is past, no object of it can appear any more, and Silver contains all of it. An order day of a
    mart is looked at when it is past. Each day is looked at once. Raises LakeUnavailable.
    """
    done: dict[str, ReportedDays] = {}
    for contract in domain.tables:
        name = contract.lake_name
        bronze, silver = names.asset_key("bronze", name), names.asset_key("silver", name)
        first, end = _next_days(domain.since, reported.get(silver.to_user_string()), min(merged_to[name], now))
        empty = list(_days_without_objects(store, contract, first, end))
        for key in (bronze, silver):
            _report(instance, key, empty)
        done[silver.to_user_string()] = ReportedDays(since=domain.since, before=max(first, end))
    for mart in marts:
        if mart.spec.partition is None or not mart.is_daily:
            continue
        key = names.asset_key("gold", mart.name)
        zone = ZoneInfo(mart.time_zone)
        first, end = _next_days(domain.since, reported.get(key.to_user_string()), now, zone)
        found = _days_with_rows(lake, mart) if first < end else set()
        if found is None:
            continue
        _report(instance, key, [day for day in _days(first, end) if day not in found])
        done[key.to_user_string()] = ReportedDays(since=domain.since, before=max(first, end))
    return done


def report_sources(
    instance: dg.DagsterInstance, contracts: Iterable[Contract], names: Names, *, reported: Collection[str]
) -> set[str]:
    """Report these source tables as materialized, whose changes are captured; return the names of all reported ones.

    Each is reported once. Nothing here writes a source table, so no run could.
    """
    captured = {contract.lake_name: contract for contract in contracts}
    for name in sorted(captured.keys() - set(reported)):
        key = names.asset_key("dynamodb", name)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                key, description="Its changes are captured.", metadata={"table": captured[name].table}
            )
        )
    return captured.keys() | set(reported)


def is_unchanged_report(made: dg.AssetMaterialization) -> bool:
    """Return whether a materialization is the report of a day without changes."""
    changes = made.metadata.get(CHANGES)
    return changes is not None and changes.value == 0


def _next_days(since: date, reported: ReportedDays | None, known_to: datetime, zone: tzinfo = UTC) -> tuple[date, date]:
    """Return the first day to look at, and the day before which to stop: the one that is not over in the zone."""
    first = reported.before if reported is not None and reported.since == since else since
    over = (known_to - LATEST_WRITE).astimezone(zone).date()
    return first, min(over, first + timedelta(days=MAX_DAYS))


def _days(first: date, end: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((end - first).days)]


def _days_without_objects(store: BronzeStore, contract: Contract, first: date, end: date) -> Iterator[date]:
    """Yield the capture days from `first` up to but without `end` that have no object; one listing per other day."""
    day = first
    while day < end:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        following = next(iter(store.list(contract.table, after=floor(contract.table, midnight))), None)
        found = end if following is None else ObjectName.parse(following).captured_at.date()
        yield from _days(day, min(found, end))
        day = found + timedelta(days=1)


def _days_with_rows(lake: Lake, mart: Mart) -> set[date] | None:
    """Return the days that the published mart has rows of; None if it is not published yet."""
    from medallion_assets.gold.spec import GOLD

    table = lake.find(GOLD, mart.name)
    if table is None or mart.spec.partition is None:
        return None
    with lake.duckdb() as connection:
        rows = connection.execute(
            f'SELECT DISTINCT "{mart.spec.partition.column}" FROM {lake.scan_sql(table, None)}'
        ).fetchall()
    return {day for (day,) in rows}


def _report(instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[date]) -> None:
    """Report those of the days that are not materialized."""
    made = instance.get_materialized_partitions(key) if days else set()
    for day in days:
        if day.isoformat() not in made:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    key, description="A day without changes.", partition=day.isoformat(), metadata={CHANGES: 0}
                )
            )
