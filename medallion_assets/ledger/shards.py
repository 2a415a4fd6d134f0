"""Rules for the shards of a table: whether what its Bronze objects cover joins without a missing range.

Belongs here: the rules, from values to values. Does not belong here: reading the ledger (reader), and the time up to
which the table is complete (completeness).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from medallion_assets.capture.heartbeat import PollerHeartbeat
from medallion_assets.capture.sequence import SEQUENCE_START, STREAM_RETENTION
from medallion_assets.ledger.completeness import ShardEnd
from medallion_assets.ledger.gap import (
    Gap,
    ShardKey,
    capture_restarted,
    dead_lettered,
    gap_key,
    missing_range,
    stream_label,
)
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.ledger.ranges import Range, missing, union
from medallion_assets.ledger.row import PRESENT, Row


def group_by_shard(rows: Iterable[Row]) -> dict[ShardKey, list[Row]]:
    """Return the rows of present objects that say what they cover, by shard, in the order of their ranges."""
    groups: defaultdict[ShardKey, list[Row]] = defaultdict(list)
    for row in rows:
        if row["shard_id"] is not None and row["state"] == PRESENT:
            groups[ShardKey(row["stream_arn"], row["shard_id"])].append(row)
    return {shard: sorted(found, key=covered_range) for shard, found in groups.items()}


def covered_range(row: Row) -> Range:
    """Return the range that the object of a row covers."""
    return Range(row["after"] or SEQUENCE_START, row["up_to"])


def extend_past_gaps(
    ends: Mapping[ShardKey, ShardEnd], table: str, gap_keys: Iterable[str], streams: Iterable[str]
) -> dict[ShardKey, ShardEnd]:
    """Return the ends of the shards of `streams`, moved past the missing ranges that are recorded already."""
    by_label = {stream_label(stream): stream for stream in streams}
    extended = dict(ends)
    prefix = gap_key(table, "missing_range", "")
    for key in gap_keys:
        if not key.startswith(prefix):
            continue
        label, shard_id, text = key.removeprefix(prefix).rsplit("/", 2)
        if label not in by_label:
            continue
        shard, up_to = ShardKey(by_label[label], shard_id), Range.parse(text).up_to
        before = extended.get(shard)
        if before is None or before.up_to < up_to:
            extended[shard] = ShardEnd(up_to, before.newest_change if before else None)
    return extended


def extend_shard(rows: Sequence[Row], before: ShardEnd | None) -> ShardEnd:
    """Return the end of a shard after `rows`, which are not empty."""
    changes = [row["newest_change"] for row in rows if row["newest_change"]]
    changes += [before.newest_change] if before and before.newest_change else []
    up_to = max([row["up_to"] for row in rows] + ([before.up_to] if before else []))
    return ShardEnd(up_to, max(changes, default=None))


def find_shard_gaps(
    shard: ShardKey, rows: Sequence[Row], before: ShardEnd | None, *, offset: FollowerOffset, now: datetime
) -> list[Gap]:
    """Return what is missing between the end of a shard and its new rows: ranges, and dead-lettered records.

    The beginning of a shard may be from before the ledger, if the ledger started on an old table.
    """
    table, gaps = rows[0]["table_name"], []
    known = [Range(SEQUENCE_START, before.up_to)] if before else []
    for lost in missing([*map(covered_range, rows), *known]):
        if lost.after == SEQUENCE_START and offset.assumed_through is not None:
            continue
        earlier = [row["newest_change"] for row in rows if row["up_to"] <= lost.after and row["newest_change"]]
        since = offset.complete_to or max(earlier, default=before.newest_change if before else None)
        gaps.append(missing_range(table, shard, lost, since=since, now=now))
    for row in rows:
        if count := row["dead_lettered"]:
            gaps.append(dead_lettered(table, shard, after=row["after"], count=count, since=offset.complete_to, now=now))
    return gaps


def select_open_ranges(gaps: Iterable[Gap], table: str, shard: ShardKey) -> list[Gap]:
    """Return the open gaps that are missing ranges of the shard."""
    prefix = gap_key(table, "missing_range", f"{shard.label}/")
    return [gap for gap in gaps if gap.gap.startswith(prefix)]


def find_filled(gaps: Iterable[Gap], covered: Iterable[Range]) -> frozenset[str]:
    """Return the keys of the missing ranges that the covered ranges contain by now."""
    parts = union(covered)
    lost = {gap.gap: Range.parse(gap.subject.rpartition("/")[2]) for gap in gaps}
    return frozenset(key for key, range_ in lost.items() if any(part.contains(range_) for part in parts))


def find_restart(
    table: str, heartbeat: PollerHeartbeat, complete_to: datetime | None, gap_keys: Iterable[str], *, now: datetime
) -> Gap | None:
    """Return the gap between the time up to which the table was complete and the start of this capture, if any.

    A capture starts with the oldest records that the stream still has; older ones are lost. If the poller was started
    again because of a stream gap, the loss is recorded as that gap already.
    """
    started_at = heartbeat.started_at
    if complete_to is None or started_at - complete_to <= STREAM_RETENTION:
        return None
    prefix = gap_key(table, "stream_gap", "")
    marked = [datetime.fromisoformat(key.removeprefix(prefix)) for key in gap_keys if key.startswith(prefix)]
    if any(complete_to <= at <= started_at for at in marked):
        return None
    return capture_restarted(table, started_at, since=complete_to, now=now)
