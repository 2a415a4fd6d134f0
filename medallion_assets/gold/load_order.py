"""Which mart reads which, and the order that follows: each mart after those that it reads.

Belongs here: names of marts, and circles of them. Does not belong here: loading a mart (spec).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadOrder:
    """The order of marts, and what stands in its way.

    - names: all marts, each after those that it reads; a mart of a circle comes before some of them
    - circles: marts that read each other, in the order in which they do, without the first one again
    """

    names: tuple[str, ...]
    circles: tuple[tuple[str, ...], ...]


def load_order(reads: Mapping[str, Set[str]]) -> LoadOrder:
    """Return the order of marts; `reads` has for each the marts that it reads. Among equals the names decide."""
    waiting = {name: reads[name] & reads.keys() for name in sorted(reads)}
    names: list[str] = []
    circles: list[tuple[str, ...]] = []
    while waiting:
        ready = [name for name, others in waiting.items() if not others & waiting.keys()]
        if not ready:
            circle = _circle(waiting)
            circles.append(circle)
            ready = sorted(circle)
        names += ready
        for name in ready:
            del waiting[name]
    return LoadOrder(tuple(names), tuple(circles))


def _circle(waiting: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """Return one circle of marts that all wait for another; it begins with its first name."""
    path = [next(iter(waiting))]
    while (following := min(waiting[path[-1]] & waiting.keys())) not in path:
        path.append(following)
    circle = path[path.index(following) :]
    first = circle.index(min(circle))
    return (*circle[first:], *circle[:first])
