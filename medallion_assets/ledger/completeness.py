"""Up to when a table is complete: what the poller says it has read, held against what the ledger has recorded.

Belongs here: the judgement, values in and values out. Does not belong here: reading markers and tables (look).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.capture.heartbeat import PollerHeartbeat
from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence
from medallion_assets.ledger.ranges import Range

TOLD: Final = timedelta(hours=24)
"""How long the poller's marker tells of a shard that has ended."""


@dataclass(frozen=True)
class ShardEnd:
    """How far the recorded objects of one shard reach, and the newest change in them."""

    up_to: str
    newest_change: datetime | None


@dataclass(frozen=True)
class Assessment:
    """Up to when the table has every change that its stream shows; None: nobody can tell yet.

    `tails` are ranges that the poller wrote to Bronze and that are in no object there, by shard.
    """

    complete_to: datetime | None
    tails: Mapping[str, Range]


def assess_completeness(
    polled: PollerHeartbeat,
    reached: Mapping[str, ShardEnd],
    *,
    waiting: Iterable[datetime],
    behind: bool,
    before: datetime | None,
) -> Assessment:
    """Judge a table by the newest marker of its poller.

    `reached` is by shard of the marker's stream. `waiting` are the capture times of objects in Bronze that are not in
    the table, as listed after the marker was read; `behind` says that objects in the table are not recorded yet.
    `before` is the last judgement: what was complete stays so.

    A shard that is recorded as far as the poller has written it is complete up to the time the poller has read to. One
    whose objects wait is complete up to the newest change recorded of it: a shard's records are in the order of time.
    """
    early = [at for at in waiting if at <= polled.written_at]
    if behind or polled.read_up_to is None or any(at < polled.written_at - TOLD for at in early):
        return Assessment(before, {})
    bounds: list[datetime | None] = [polled.read_up_to]
    tails = {}
    for shard in polled.shards:
        if shard.up_to is None:
            continue
        known = reached.get(shard.shard_id)
        up_to = pad_sequence(shard.up_to)
        if known is not None and known.up_to >= up_to:
            continue
        if early:
            bounds.append(known.newest_change if known else None)
        else:
            tails[shard.shard_id] = Range(known.up_to if known else SEQUENCE_START, up_to)
    times = [bound for bound in bounds if bound is not None]
    if tails or len(times) < len(bounds):
        return Assessment(before, tails)
    complete_to = min(times)
    return Assessment(max(complete_to, before) if before else complete_to, tails)
