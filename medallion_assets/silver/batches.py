"""Which Bronze objects make a batch: those of a capture day that are not merged yet, or all objects of a day again.

Belongs here: what the table's Position says about its objects, and that an older day comes first. Does not belong here:
how a batch is merged (batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime

from pyiceberg.table import Table

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import OlderDayPending
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import compact
from medallion_assets.silver.batch import BatchResult, Merger
from medallion_assets.silver.changes import read_changes
from medallion_assets.silver.fill import needs_fill
from medallion_assets.silver.table import SILVER, read_position
from medallion_assets.telemetry.spans import link_objects


def merge_pending(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    domain: Domain,
    *,
    day: date,
    run_id: str,
    now: datetime,
) -> Iterator[BatchResult]:
    """Merge the objects of `day` that are not in the table yet, oldest first, in commits of bounded size.

    Before that, columns that are declared since are filled from `_extra`. If there are no objects, it yields one result
    if rows that the table's rows refer to have changed, and nothing otherwise.
    It ends after a result whose `published` is False. Raises OlderDayPending if objects of an earlier day are not
    merged yet, CorruptObject, and what Merger.merge raises.
    """
    table = lake.find(SILVER, contract.lake_name)
    pending = read_position(table).pending(store, contract.table, through=day)
    days = {name: _day(name) for name in pending}
    if older := sorted({other for other in days.values() if other < day}):
        raise OlderDayPending(
            f"{contract.table}: objects of {', '.join(map(str, older))} are not merged yet, and {day} was asked for. "
            f"Merge {older[0]} first: the sensor does so by itself, or run that partition."
        )
    names = [name for name in pending if days[name] == day]
    if names or table is not None:
        merger = Merger(lake, contract, domain, day=day, run_id=run_id, now=now, whole=False)
        for filled in _fill(merger, table):
            yield filled
            if not filled.published:
                return
        yield from _merge(merger, store, names, may_advance=True)


def remerge_day(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    domain: Domain,
    *,
    day: date,
    run_id: str,
    now: datetime,
) -> Iterator[BatchResult]:
    """Merge every object of `day` again, for example after the contract was corrected; yield at least one result.

    A day that is in the table already changes nothing. The Position moves over the day unless older objects are
    pending. It ends after a result whose `published` is False. Raises CorruptObject, and what Merger.merge raises.
    """
    pending = read_position(lake.find(SILVER, contract.lake_name)).pending(store, contract.table, through=day)
    names = list(store.list(contract.table, day=day))
    merger = Merger(lake, contract, domain, day=day, run_id=run_id, now=now, whole=True)
    yield from _merge(merger, store, names, may_advance=not any(_day(name) < day for name in pending))


def _fill(merger: Merger, table: Table | None) -> Iterator[BatchResult]:
    """Fill columns of rows that are in the table from their `_extra`, if the contract reads attributes otherwise."""
    while table is not None and needs_fill(table, merger.contract):
        if (result := merger.fill()) is not None:
            yield result
        table = merger.lake.find(SILVER, merger.contract.lake_name)


def _merge(merger: Merger, store: BronzeStore, names: list[str], *, may_advance: bool) -> Iterator[BatchResult]:
    if not names and (result := merger.merge(merger.no_changes, advance=lambda position: position)) is not None:
        yield result
    reading = read_changes(merger.lake, store, merger.contract, merger.domain, names, whole=merger.whole)
    with closing(reading) as batches:
        for changes in batches:
            link_objects(changes.objects)

            def advance(position: Position, taken: tuple[str, ...] = changes.objects) -> Position:
                return position.advance(taken) if may_advance else position

            if (result := merger.merge(changes, advance=advance)) is not None:
                yield result
                if not result.published:
                    return
                # A commit every few seconds would leave thousands of small files.
                compact(merger.lake, merger.lake.table(SILVER, merger.contract.lake_name))


def _day(name: str) -> date:
    return ObjectName.parse(name).captured_at.date()
