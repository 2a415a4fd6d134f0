"""What is wrong with a dropped file, without any of its values.

Belongs here: one fault, and faults in bounded number. Does not belong here: finding them (read, check), writing them
down (report).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

MAX_FAULTS: Final = 100
"""Faults that are listed one by one; further ones are counted."""


@dataclass(frozen=True)
class Fault:
    """One fault: the row (from 1, without a header; None: the whole file), the attribute if it is one, the problem."""

    row: int | None
    attribute: str | None
    problem: str


class UnreadableFile(Exception):
    """A file that cannot be read on, or not at all; caught where a file is checked."""

    def __init__(self, problem: str, *, row: int | None = None) -> None:
        super().__init__(problem)
        self.fault = Fault(row, None, problem)


@dataclass
class Faults:
    """The first MAX_FAULTS faults of a file, and how many there are of each kind."""

    listed: list[Fault] = field(default_factory=list)
    counts: Counter[tuple[str | None, str]] = field(default_factory=Counter)

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults."""
        for fault in faults:
            self.counts[fault.attribute, fault.problem] += 1
            if len(self.listed) < MAX_FAULTS:
                self.listed.append(fault)

    @property
    def count(self) -> int:
        """How many faults there are."""
        return self.counts.total()
