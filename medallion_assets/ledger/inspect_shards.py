"""Inspect the shards of one table: what its objects and the poller's heartbeat say about missing records.

Belongs here: which ranges are read, and in which order. Does not belong here: the rules for one shard (shards), and for
the time up to which a table is complete (completeness).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from medallion_assets.capture.sequence import pad_sequence
from medallion_assets.ledger.completeness import ShardEnd, assess_completeness
from medallion_assets.ledger.findings import Findings
from medallion_assets.ledger.gap import Gap, ShardKey, dead_lettered, missing_range, stream_replaced
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.row import Row
from medallion_assets.ledger.shards import (
    covered_range,
    extend_past_gaps,
    extend_shard,
    find_filled,
    find_restart,
    find_shard_gaps,
    group_by_shard,
    select_open_ranges,
)
from medallion_assets.ledger.view import TableView


def inspect_shards(
    ledger: LedgerReader, view: TableView, rows: Mapping[str, Row]
) -> tuple[Findings, Mapping[ShardKey, ShardEnd]]:
    """Compare what the new rows cover with how far each shard was recorded before; return the new ends, too."""
    by_shard = group_by_shard(rows.values())
    shards, streams = set(by_shard), {shard.stream_arn for shard in by_shard}
    if view.heartbeat:
        streams.add(view.heartbeat.stream_arn)
        shards |= {
            ShardKey(view.heartbeat.stream_arn, shard.shard_id)
            for shard in view.heartbeat.shards
            if shard.up_to is not None
        }
    ends = extend_past_gaps(ledger.shard_ends(view.name, shards), view.name, view.gaps.closed_at, streams)
    gaps: list[Gap] = []
    filled: frozenset[str] = frozenset()
    for shard, new in by_shard.items():
        before = ends.get(shard)
        gaps += find_shard_gaps(shard, new, before, offset=view.offset, now=view.now)
        if lost := select_open_ranges(view.gaps.open, view.name, shard):
            filled |= find_filled(lost, [*ledger.covered_ranges(view.name, shard), *map(covered_range, new)])
        ends[shard] = extend_shard(new, before)
    return Findings(gaps=gaps, over=filled), ends


def inspect_restart(view: TableView, marked: Iterable[Gap]) -> list[Gap]:
    """Return the gap before the start of this capture, if any; `marked` are stream gaps that are not recorded yet."""
    if view.heartbeat is None:
        return []
    keys = [*view.gaps.closed_at, *(gap.gap for gap in marked)]
    restart = find_restart(view.name, view.heartbeat, view.offset.complete_to, keys, now=view.now)
    return [restart] if restart else []


def inspect_stream(view: TableView, marked: Iterable[Gap]) -> list[Gap]:
    """Return the gap of a stream that took the place of another since the last inspection, if any.

    A stream that was created before the last completed repair began leaves no gap, and no second one is found where the
    poller has marked the end of the old stream; `marked` are such gaps that are not recorded yet.
    """
    created_at, before = view.stream_created_at, view.offset.stream_created_at
    if created_at is None or before is None or created_at <= before:
        return []
    repaired = view.repaired_at is not None and view.repaired_at > created_at
    if repaired or any(gap.kind == "stream_gap" for gap in [*view.gaps.open, *marked]):
        return []
    return [stream_replaced(view.name, created_at, now=view.now)]


def inspect_heartbeat(
    view: TableView, ends: Mapping[ShardKey, ShardEnd], pending: Sequence[datetime]
) -> tuple[datetime | None, list[Gap]]:
    """Return up to when the table is complete by the heartbeat, and what the heartbeat shows as missing."""
    if view.heartbeat is None:
        return None, []
    stream, before = view.heartbeat.stream_arn, view.offset.complete_to
    assessed = assess_completeness(
        view.heartbeat,
        {shard.shard_id: end for shard, end in ends.items() if shard.stream_arn == stream},
        pending_since=pending,
        behind=view.merged.behind,
        before=before,
    )
    gaps = []
    for shard_id, lost in assessed.missing.items():
        shard = ShardKey(stream, shard_id)
        since = before or (ends[shard].newest_change if shard in ends else None)
        gaps.append(missing_range(view.name, shard, lost, since=since, now=view.now))
    for one in view.heartbeat.shards:
        if count := one.dead_lettered:
            after = pad_sequence(one.up_to) if one.up_to else None
            shard = ShardKey(stream, one.shard_id)
            gaps.append(dead_lettered(view.name, shard, after=after, count=count, since=before, now=view.now))
    return assessed.complete_to, gaps
