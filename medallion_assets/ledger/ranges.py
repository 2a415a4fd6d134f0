"""Claims on one shard as ranges of sequence numbers: what they cover together, and the holes between them.

Belongs here: the arithmetic, values in and values out. Does not belong here: where claims come from (facts), or what a
hole means (look). Sequence numbers are padded text, so their order is the order of text; START sorts before them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from medallion_assets.silver.table import SEQUENCE_DIGITS

START: Final = ""
"""Where a capture began to read a shard: the oldest record it still had."""


class Range(NamedTuple):
    """Everything after `after` and up to `upto`."""

    after: str
    upto: str

    def __str__(self) -> str:
        return f"{self.after.lstrip('0') or 'start'}-{self.upto.lstrip('0')}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The range that `str` wrote."""
        after, _, upto = text.partition("-")
        return cls(START if after == "start" else padded(after), padded(upto))


def padded(number: str) -> str:
    """A sequence number as text of 40 digits; an amendment's keeps its suffix."""
    return number.rjust(SEQUENCE_DIGITS, "0")


def covered(claims: Iterable[Range]) -> list[Range]:
    """What the claims cover together, in order: ranges that neither overlap nor touch."""
    ranges: list[Range] = []
    for claim in sorted(claims):
        if ranges and claim.after <= ranges[-1].upto:
            ranges[-1] = Range(ranges[-1].after, max(ranges[-1].upto, claim.upto))
        else:
            ranges.append(claim)
    return ranges


def holes(claims: Iterable[Range], *, upto: str = START) -> list[Range]:
    """What the claims leave out between START and the greatest number that one of them, or `upto`, names."""
    found = []
    reached = START
    for part in covered(claims):
        if part.after > reached:
            found.append(Range(reached, part.after))
        reached = part.upto
    if upto > reached:
        found.append(Range(reached, upto))
    return found
