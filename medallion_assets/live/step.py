"""Apply changes to a counter exactly once, as a pure function.

Belongs here: which changes count, and by how much the groups change. Does not belong here: where the numbers are kept
(store), and what happens when two writers meet (apply).

Why the place of every item's last change is kept: a stream delivers at least once, and Lambda says that a record which
it sends again may come out of order; halved batches, a shard that splits and a parallelisation factor above one all
change which records come together. What stays true in all of these is that the changes of one item come in their order
the first time. So a change is applied if it is later than the last one that was applied to its item, and the place of
that one moves in the same atomic step as the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from medallion_assets.capture.sequence import STREAM_RETENTION
from medallion_assets.live.change import Change, Key, Place
from medallion_assets.live.contribution import EXACT, Contribution, Group
from medallion_assets.live.counter import COUNT, Counter, sum_of, values_of

SEEN_FOR: Final = STREAM_RETENTION + timedelta(hours=1)
"""How long an item's last change is kept: when its record has left the stream, nobody can send it again."""


class Seen(NamedTuple):
    """The last change of an item that was applied: its place, and what the item adds since."""

    place: Place
    adds: Contribution | None


Measures = dict[str, Decimal]
"""Numbers by the names that `Counter.measures` gives."""

Totals = dict[Group, Measures]


@dataclass(frozen=True)
class Step:
    """What a batch changes: the items' last changes, and by how much the groups grow.

    `skipped` is the number of changes that were applied before.
    """

    seen: Mapping[Key, Seen]
    deltas: Totals
    skipped: int

    @property
    def entries(self) -> int:
        """How many entries of a store it writes."""
        return len(self.seen) + len(self.deltas)


def step(counter: Counter, changes: Iterable[Change], seen: Mapping[Key, Seen]) -> Step:
    """Return what changes do to a counter whose items' last changes are `seen`; an item that is not there has none.

    The changes of one item are in their order, as a stream has them.
    """
    moved: dict[Key, Seen] = {}
    deltas: Totals = {}
    skipped = 0
    for change in changes:
        known = moved.get(change.key) or seen.get(change.key)
        if known is not None and change.place <= known.place:
            skipped += 1
            continue
        add(counter, deltas, change.before if known is None else known.adds, -1)
        add(counter, deltas, change.after, 1)
        moved[change.key] = Seen(change.place, change.after)
    return Step(moved, without_zeros(deltas), skipped)


def add(counter: Counter, totals: Totals, one: Contribution | None, times: int) -> None:
    """Add an item's contribution to `totals`, that many times."""
    if one is None:
        return
    measures = totals.setdefault(one.group, {})
    grown: list[tuple[str, Decimal]] = [(COUNT, Decimal(1))]
    for value, amount in zip(counter.sums, one.amounts, strict=True):
        if amount is not None:
            grown += [(sum_of(value.name), amount), (values_of(value.name), Decimal(1))]
    for name, number in grown:
        measures[name] = EXACT.fma(Decimal(times), number, measures.get(name, Decimal(0)))


def without_zeros(totals: Totals) -> Totals:
    """Return totals without the measures that are zero, and without the groups that have no other."""
    kept = {group: {name: one for name, one in found.items() if one} for group, found in totals.items()}
    return {group: measures for group, measures in kept.items() if measures}
