"""Whether the objects of one shard follow each other, by what they claim. Shares no code with the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from medallion_assets.capture.coverage import Claim


def covered(claims: Sequence[Claim]) -> int:
    """The number up to which the claims on one shard follow each other from the beginning on."""
    reach = max((int(claim.upto) for claim in claims if claim.after is None), default=-1)
    for after, upto in sorted((int(claim.after), int(claim.upto)) for claim in claims if claim.after is not None):
        if after > reach:
            break
        reach = max(reach, upto)
    return reach


def has_hole(claims: Sequence[Claim]) -> bool:
    """Whether a part of some shard is missing between its objects."""
    by_shard: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_shard[claim.shard_id].append(claim)
    return any(max(int(claim.upto) for claim in shard) > covered(shard) for shard in by_shard.values())
