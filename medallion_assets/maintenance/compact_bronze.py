"""Write the compacted copies of the past days of a table's Bronze objects.

Belongs here: which days get copies, which copies are written again, and for how long a run goes on. Does not belong
here: the format of a copy (bronze.compacted), reading one (bronze.copies).

The objects stay: they are the truth, and a copy only saves opening them. Whatever a run leaves behind when it dies is a
whole copy or none, and the next run goes on from it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from medallion_assets.bronze.compacted import FOLDER, CopyName, encode, plan_copies
from medallion_assets.bronze.days import capture_days
from medallion_assets.capture.store import BronzeStore, Entry
from medallion_assets.errors import CaptureError, CorruptObject

log = logging.getLogger(__name__)

PAST_AFTER: Final = timedelta(hours=1)
"""So long after its end a day is past: a name may appear up to 15 minutes late (capture.position)."""

CHECKED_EVERY: Final = timedelta(days=7)
"""The objects of a day that has its copies are listed again this often, by an hourly run."""

MAX_DURATION: Final = timedelta(minutes=2)
"""A run begins no further copy of a table after this time; one takes some 10 to 60 seconds."""

MAX_DURATION_OF_ALL: Final = timedelta(minutes=10)
"""A run begins no further table after this time."""

_CONCURRENCY: Final = 16


@dataclass(frozen=True, kw_only=True)
class BronzeCompaction:
    """What a run did: `written` copies of `objects` Bronze objects; `removed` copies that did not match their objects.

    `finished`: every past day has its copies, but for objects that cannot be read.
    """

    written: int
    objects: int
    removed: int
    finished: bool


def compact_all(
    store: BronzeStore, tables: Sequence[str], *, now: datetime, elapsed: Callable[[], timedelta]
) -> dict[str, BronzeCompaction]:
    """Compact DynamoDB tables one after the other, as far as the time of a run goes; return what was done, by table.

    Each hour another table is the first, so that none waits for ever behind others that have much to do. Raises
    CaptureError for a foreign name, after the other tables, and what the store raises.
    """
    done: dict[str, BronzeCompaction] = {}
    foreign: CaptureError | None = None
    first = int(now.timestamp()) // 3600 % len(tables)
    for table in [*tables[first:], *tables[:first]]:
        began = elapsed()
        if began >= MAX_DURATION_OF_ALL:
            break
        try:
            done[table] = compact_bronze(store, table, now=now, elapsed=_since(began, elapsed))
        except CaptureError as error:
            foreign = foreign or error
    if foreign is not None:
        raise foreign
    return done


def compact_bronze(
    store: BronzeStore, table: str, *, now: datetime, elapsed: Callable[[], timedelta]
) -> BronzeCompaction:
    """Write the copies that past days of a DynamoDB table lack, and remove those that do not match their objects.

    `elapsed` is the time since this began. Takes the memory of the objects of one copy and of the copy, together
    some 120 MB. An object that cannot be read is named in the log, and its copy left out. Raises CaptureError for a
    foreign name, and what the store raises.
    """
    last = (now - PAST_AFTER).date() - timedelta(days=1)
    copies = _list_copies(store, table)
    complete = {day for day, found in copies.items() if _is_complete(found)}
    past = _days(store, table, copies, complete - _due(complete, now), last)
    written = objects = removed = 0
    for day in past:
        planned = plan_copies(list(store.entries(table, day=day)))
        there = {copy.path for copy in copies.get(day, ())}
        for path, entries in planned.items():
            if path in there:
                continue
            if elapsed() >= MAX_DURATION:
                return BronzeCompaction(written=written, objects=objects, removed=removed, finished=False)
            if _write(store, path, entries):
                written, objects = written + 1, objects + len(entries)
        for path in sorted(there - planned.keys()):
            store.remove(path)
            removed += 1
    return BronzeCompaction(written=written, objects=objects, removed=removed, finished=True)


def _since(began: timedelta, elapsed: Callable[[], timedelta]) -> Callable[[], timedelta]:
    return lambda: elapsed() - began


def _list_copies(store: BronzeStore, table: str) -> Mapping[date, Sequence[CopyName]]:
    found = defaultdict[date, list[CopyName]](list)
    for copy in map(CopyName.parse, store.list(f"{FOLDER}/{table}")):
        if copy is not None:
            found[copy.day].append(copy)
    return found


def _is_complete(copies: Collection[CopyName]) -> bool:
    """Return whether these are the copies of one listing, all of them."""
    counts = {copy.count for copy in copies}
    return len(counts) == 1 and sorted(copy.number for copy in copies) == list(range(1, counts.pop() + 1))


def _due(days: Collection[date], now: datetime) -> set[date]:
    """Return the days that are listed again in this hour: each has one within CHECKED_EVERY."""
    hours = CHECKED_EVERY // timedelta(hours=1)
    return {day for day in days if int(now.timestamp()) // 3600 % hours == day.toordinal() % hours}


def _days(
    store: BronzeStore, table: str, copies: Collection[date], complete: Collection[date], last: date
) -> Iterator[date]:
    """Yield the past days that are not known to be complete, also those whose objects are all gone."""
    with_objects = set()
    for day in capture_days(store, table, known=complete):
        if day > last:
            break
        with_objects.add(day)
        yield day
    yield from sorted(day for day in copies if day not in complete and day not in with_objects)


def _write(store: BronzeStore, path: str, entries: Sequence[Entry]) -> bool:
    """Write one copy, durably. Return False, and name the object in the log, if one of them cannot be read."""
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        try:
            read = pool.map(store.read, [entry.path for entry in entries])
            data = encode(zip(entries, read, strict=True))
        except CorruptObject as broken:
            log.warning("the compacted copy %s is left out: %s", path, broken)
            return False
    store.put(path, data)
    return True
