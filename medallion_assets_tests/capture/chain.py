"""Whether the objects of one shard follow each other, by what they claim. Shares no code with the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from medallion_assets.capture.claim import Claim


def covered(claims: Sequence[Claim]) -> int:
    """The number up to which the claims follow each other from the beginning on."""
    reach = max((int(claim.upto) for claim in claims if claim.after is None), default=-1)
    while farther := [c for c in claims if c.after is not None and int(c.after) <= reach < int(c.upto)]:
        reach = max(int(claim.upto) for claim in farther)
    return reach


def has_hole(claims: Sequence[Claim]) -> bool:
    return any(int(claim.upto) > covered(claims) for claim in claims)
