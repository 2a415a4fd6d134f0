"""Up to when a table is complete: what the poller has read, compared with what the ledger has recorded.

Belongs here: the rule, from values to values. Does not belong here: reading heartbeats and tables (inspect).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from medallion_assets.capture.heartbeat import FINISHED_SHARDS_LISTED_FOR, PollerHeartbeat
from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence
from medallion_assets.ledger.ranges import Range


@dataclass(frozen=True)
class ShardEnd:
    """The end of what is recorded of one shard (padded sequence number), and the time of the newest change in it."""

    up_to: str
    newest_change: datetime | None


@dataclass(frozen=True)
class Assessment:
    """Up to when the table has every change that its stream shows; None: this cannot be known yet.

    `missing` are ranges that the poller wrote to Bronze and that are in no object there, by shard id.
    """

    complete_to: datetime | None
    missing: Mapping[str, Range]


def assess_completeness(
    heartbeat: PollerHeartbeat,
    ends: Mapping[str, ShardEnd],
    *,
    pending_since: Iterable[datetime],
    behind: bool,
    before: datetime | None,
) -> Assessment:
    """Return up to when a table is complete by the newest heartbeat of its poller.

    `ends` is by shard id, of the heartbeat's stream. `pending_since` are the capture times of the Bronze objects that
    are not in the table yet, as listed after the heartbeat was read. `behind`: objects in the table are not recorded
    yet. `before` is the result of the last pass: what was complete stays complete.

    A shard that is recorded as far as the poller has written it is complete up to the time that the poller has read up
    to. A shard with pending objects is complete up to the newest change recorded of it, because the records of a shard
    are ordered by time.
    """
    early = [at for at in pending_since if at <= heartbeat.written_at]
    forgotten_before = heartbeat.written_at - FINISHED_SHARDS_LISTED_FOR
    if behind or heartbeat.read_up_to is None or any(at < forgotten_before for at in early):
        return Assessment(before, {})
    bounds: list[datetime | None] = [heartbeat.read_up_to]
    missing = {}
    for shard in heartbeat.shards:
        if shard.up_to is None:
            continue
        end = ends.get(shard.shard_id)
        up_to = pad_sequence(shard.up_to)
        if end is not None and end.up_to >= up_to:
            continue
        if early:
            bounds.append(end.newest_change if end else None)
        else:
            missing[shard.shard_id] = Range(end.up_to if end else SEQUENCE_START, up_to)
    times = [bound for bound in bounds if bound is not None]
    if missing or len(times) < len(bounds):
        return Assessment(before, missing)
    complete_to = min(times)
    return Assessment(max(complete_to, before) if before else complete_to, missing)
