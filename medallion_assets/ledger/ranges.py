"""Claims on one shard as ranges of sequence numbers: what they cover together, and the holes between them.

Belongs here: the arithmetic, values in and values out. Does not belong here: where claims come from (facts), or what a
hole means (look). Sequence numbers are padded text, so their order is the order of
text; SEQUENCE_START sorts before them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence


class Range(NamedTuple):
    """Everything after `after` and up to `up_to`."""

    after: str
    up_to: str

    def __str__(self) -> str:
        return f"{self.after.lstrip('0') or 'start'}-{self.up_to.lstrip('0')}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The range that `str` wrote."""
        after, _, up_to = text.partition("-")
        return cls(SEQUENCE_START if after == "start" else pad_sequence(after), pad_sequence(up_to))


def union(claims: Iterable[Range]) -> list[Range]:
    """What the claims cover together, in order: ranges that neither overlap nor touch."""
    ranges: list[Range] = []
    for coverage in sorted(claims):
        if ranges and coverage.after <= ranges[-1].up_to:
            ranges[-1] = Range(ranges[-1].after, max(ranges[-1].up_to, coverage.up_to))
        else:
            ranges.append(coverage)
    return ranges


def missing(claims: Iterable[Range], *, up_to: str = SEQUENCE_START) -> list[Range]:
    """What the claims leave out between SEQUENCE_START and the greatest number that one of them, or `up_to`, names."""
    found = []
    reached = SEQUENCE_START
    for part in union(claims):
        if part.after > reached:
            found.append(Range(reached, part.after))
        reached = part.up_to
    if up_to > reached:
        found.append(Range(reached, up_to))
    return found
