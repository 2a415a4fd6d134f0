"""Ranges of sequence numbers of one shard: their union, and what they leave out.

Belongs here: the arithmetic, from values to values. Does not belong here: where ranges come from (object_stats), and
what a missing range means (shards). Sequence numbers are padded text; SEQUENCE_START sorts before all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence


class Range(NamedTuple):
    """Everything after `after` and up to and including `up_to`."""

    after: str
    up_to: str

    def __str__(self) -> str:
        return f"{self.after.lstrip('0') or 'start'}-{self.up_to.lstrip('0')}"

    def contains(self, other: Range) -> bool:
        """Return whether all of `other` is in this range."""
        return self.after <= other.after and other.up_to <= self.up_to

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the range that `str` wrote."""
        after, _, up_to = text.partition("-")
        return cls(SEQUENCE_START if after == "start" else pad_sequence(after), pad_sequence(up_to))


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of the ranges, in order: ranges that neither overlap nor touch."""
    joined: list[Range] = []
    for part in sorted(ranges):
        if joined and part.after <= joined[-1].up_to:
            joined[-1] = Range(joined[-1].after, max(joined[-1].up_to, part.up_to))
        else:
            joined.append(part)
    return joined


def missing(ranges: Iterable[Range], *, up_to: str = SEQUENCE_START) -> list[Range]:
    """Return what the ranges leave out between SEQUENCE_START and the greatest number in them, or `up_to`."""
    found = []
    end = SEQUENCE_START
    for part in union(ranges):
        if part.after > end:
            found.append(Range(end, part.after))
        end = part.up_to
    if up_to > end:
        found.append(Range(end, up_to))
    return found
