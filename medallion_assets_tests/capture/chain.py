"""Whether the objects of one shard follow each other, by what they coverage. Shares no code with the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from medallion_assets.capture.coverage import ShardCoverage


def covered(coverages: Sequence[ShardCoverage]) -> int:
    """The number up to which the coverages on one shard follow each other from the beginning on."""
    reach = max((int(coverage.up_to) for coverage in coverages if coverage.after is None), default=-1)
    for after, up_to in sorted(
        (int(coverage.after), int(coverage.up_to)) for coverage in coverages if coverage.after is not None
    ):
        if after > reach:
            break
        reach = max(reach, up_to)
    return reach


def has_hole(coverages: Sequence[ShardCoverage]) -> bool:
    """Whether a part of some shard is missing between its objects."""
    by_shard: dict[str, list[ShardCoverage]] = defaultdict(list)
    for coverage in coverages:
        by_shard[coverage.shard_id].append(coverage)
    return any(max(int(coverage.up_to) for coverage in shard) > covered(shard) for shard in by_shard.values())
