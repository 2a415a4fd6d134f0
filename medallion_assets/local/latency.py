"""The time from a write in DynamoDB to published Gold, for every change, from what the layers record.

Belongs here: joining Bronze's creation times with the objects of each Silver snapshot and the Silver snapshots of each
Gold snapshot. Does not belong here: a clock of this process, or sampling.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.gold.changes import INPUT_SNAPSHOTS
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import literal
from medallion_assets.lake.history import snapshot_summary
from medallion_assets.silver.table import OBJECTS, SILVER


@dataclass(frozen=True)
class Latency:
    """The latencies of the changes that are in Gold.

    `changes`: their number. `p50`, `p95`, `longest`: 50 %, 95 % and all of them took at most that long.
    `waiting`: how many changes are captured and not in Gold yet.
    DynamoDB gives a change's time in whole seconds, rounded down, so each latency may be up to a second too long.
    """

    changes: int
    waiting: int
    p50: timedelta | None
    p95: timedelta | None
    longest: timedelta | None


def measure(lake: Lake, store: BronzeStore, domain: Domain, marts: Sequence[Mart], *, since: datetime) -> Latency:
    """Return the latencies of the changes that DynamoDB dates at `since` or later.

    A change is in Gold when every mart that reads its table is published from a Silver snapshot that contains it. The
    changes of a table that no mart reads are not counted: they reach Gold only as enrichment of other rows.
    """
    latencies: list[timedelta] = []
    waiting = 0
    for contract in domain.tables:
        readers = [mart for mart in marts if contract.lake_name in mart.tables]
        if not readers:
            continue
        reached = gold_times(lake, contract, readers)
        for created, objects in _changes(lake, store, contract, since):
            times = [reached[name] for name in objects if name in reached]
            if times:
                latencies.append(min(times) - created)
            else:
                waiting += 1
    latencies.sort()
    return Latency(
        changes=len(latencies),
        waiting=waiting,
        p50=_percentile(latencies, 0.50),
        p95=_percentile(latencies, 0.95),
        longest=_percentile(latencies, 1.0),
    )


def _percentile(ordered: Sequence[timedelta], share: float) -> timedelta | None:
    """Return the smallest value that is not below that share of the values (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def _changes(lake: Lake, store: BronzeStore, contract: Contract, since: datetime) -> list[tuple[datetime, list[str]]]:
    """Return the creation time of each change, with the Bronze objects that contain it."""
    paths = {store.uri(path): path for path in store.list(contract.table)}
    if not paths:
        return []
    with lake.duckdb() as connection:
        found = connection.execute(
            f"""
            SELECT min(approximate_creation_time), list(filename)
            FROM read_parquet([{", ".join(map(literal, paths))}], filename = true, hive_partitioning = false)
            WHERE approximate_creation_time >= ? GROUP BY event_id
            """,
            [since],
        ).fetchall()
    return [(created, [paths[uri] for uri in uris]) for created, uris in found]


def gold_times(lake: Lake, contract: Contract, readers: Sequence[Mart]) -> dict[str, datetime]:
    """Return when all of the readers first contained each Bronze object; objects that one lacks are left out."""
    place_of_snapshot, place_of_object = _silver_order(lake.table(SILVER, contract.lake_name))
    published = [_published(lake, mart, contract.lake_name, place_of_snapshot) for mart in readers]
    times: dict[str, datetime] = {}
    for name, place in place_of_object.items():
        firsts = [min((at for at, upto in log if upto >= place), default=None) for log in published]
        known = [first for first in firsts if first is not None]
        if len(known) == len(firsts):
            times[name] = max(known)
    return times


def _silver_order(table: Table) -> tuple[Mapping[int, int], Mapping[str, int]]:
    """Return the place of each published snapshot in the table's history, and the first place of each object."""
    lineage = list(ancestors_of(table.current_snapshot(), table.metadata))[::-1]
    snapshots = {snapshot.snapshot_id: place for place, snapshot in enumerate(lineage)}
    objects: dict[str, int] = {}
    for snapshot_id, place in snapshots.items():
        for name in json.loads(snapshot_summary(table, snapshot_id).get(OBJECTS, "[]")):
            objects.setdefault(name, place)
    return snapshots, objects


def _published(lake: Lake, mart: Mart, silver: str, places: Mapping[int, int]) -> list[tuple[datetime, int]]:
    """Return when the mart was published, each time with the place of the Silver snapshot it was computed from."""
    moved: list[tuple[datetime, int]] = []
    for entry in lake.table(GOLD, mart.name).metadata.snapshot_log:
        place = _place(lake, mart, entry.snapshot_id, silver, places)
        if place is not None:
            moved.append((_utc(entry.timestamp_ms), place))
    return moved


def _place(lake: Lake, mart: Mart, snapshot_id: int | None, silver: str, places: Mapping[int, int]) -> int | None:
    """Return the place of the Silver snapshot that a mart's snapshot was computed from, the oldest if it read several.

    None if one of them, or the snapshot of a mart between, is not known any more.
    """
    table = lake.table(GOLD, mart.name)
    if snapshot_id is None or table.snapshot_by_id(snapshot_id) is None:
        return None
    read = json.loads(snapshot_summary(table, snapshot_id).get(INPUT_SNAPSHOTS, "{}"))
    found = [places.get(read.get(silver))] if silver in mart.inputs else []
    for name, upstream in mart.upstream.items():
        if silver in upstream.tables:
            found.append(_place(lake, upstream, read.get(name), silver, places))
    known = [place for place in found if place is not None]
    return min(known) if len(known) == len(found) else None


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
