"""Follow a Silver table: which Bronze objects it has merged since the ledger's offset.

Belongs here: reading the table's snapshots, and the rule what they say. Does not belong here: recording the objects
(objects).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.position import Position
from medallion_assets.lake.history import snapshot_summary
from medallion_assets.ledger.listing import after_last_name
from medallion_assets.ledger.offset import FollowerOffset
from medallion_assets.silver.table import OBJECTS, RUN_ID

MAX_OBJECTS: Final = 1000
"""Objects taken from Silver's snapshots in one pass; the next pass takes the others."""


class Origin(NamedTuple):
    """The snapshot that is the first known to contain an object, and the run that merged it; None: not known."""

    snapshot_id: int | None
    run_id: str | None


class Commit(NamedTuple):
    """One snapshot of Silver and the objects that it merged."""

    snapshot_id: int
    objects: Sequence[str]
    run_id: str | None


@dataclass(frozen=True)
class SilverHistory:
    """The snapshots of a Silver table after the offset, oldest first.

    `interrupted`: snapshots between the offset and the first of them have expired, so it is not known what they merged.
    `current` is the id of the published snapshot, None before the first.
    """

    commits: Sequence[Commit]
    interrupted: bool
    current: int | None


@dataclass(frozen=True)
class Merged:
    """The objects that Silver has merged, by name, and the offset after them.

    `behind`: the table contains more objects, which a later pass takes.
    """

    objects: Mapping[str, Origin]
    offset: FollowerOffset
    behind: bool


def read_history(silver: Table | None, *, since: int | None) -> SilverHistory:
    """Read the snapshots of the published table after snapshot `since`; none of a table that does not exist."""
    if silver is None:
        return SilverHistory((), interrupted=False, current=None)
    lineage = []
    reached = False
    for snapshot in ancestors_of(silver.current_snapshot(), silver.metadata):
        if reached := snapshot.snapshot_id == since:
            break
        lineage.append(snapshot)
    commits = []
    for snapshot in reversed(lineage):
        summary = snapshot_summary(silver, snapshot.snapshot_id)
        commits.append(Commit(snapshot.snapshot_id, json.loads(summary.get(OBJECTS, "[]")), summary.get(RUN_ID)))
    interrupted = not reached and bool(lineage) and lineage[-1].parent_snapshot_id is not None
    return SilverHistory(commits, interrupted, silver.metadata.current_snapshot_id)


def follow(
    history: SilverHistory, offset: FollowerOffset, position: Position, pending: Collection[str], *, table: str
) -> Merged:
    """Return the objects that Silver has merged after the offset.

    A capture day may be merged before an older object that is still pending. Its snapshot waits for that object:
    recorded alone, it would look as if the older object were missing. `table` is the name of the DynamoDB table.
    """
    if history.interrupted:
        offset = replace(offset, assumed_through=position.newest)
    merged = {name for commit in history.commits for name in commit.objects}
    oldest_pending = min(set(pending) - merged, default=after_last_name(table))
    objects: dict[str, Origin] = {}
    for commit in history.commits:
        if len(objects) >= MAX_OBJECTS or any(name > oldest_pending for name in commit.objects):
            return Merged(objects, offset, behind=True)
        for name in commit.objects:
            objects.setdefault(name, Origin(commit.snapshot_id, commit.run_id))
        offset = replace(offset, snapshot_id=commit.snapshot_id)
    # A batch that changed nothing commits no snapshot; only the position contains its objects.
    for name in position.seen:
        if name < oldest_pending:
            objects.setdefault(name, Origin(history.current, None))
    return Merged(objects, offset, behind=False)
