"""Several mistakes in one part of a file, told together, each with the place that it stands at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value, from the part of the file that is being checked."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: what was seen and expected, and where."""

    place: Place
    text: str

    def below(self, place: Place) -> Mistake:
        """Return the same mistake, seen from further outside."""
        return Mistake((*place, *self.place), self.text)

    def __str__(self) -> str:
        return ": ".join(filter(None, [".".join(map(str, self.place)), self.text]))


class Mistakes(ValueError):
    """All mistakes of one part."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def raise_all(mistakes: Sequence[Mistake]) -> None:
    """Raise Mistakes if there is one."""
    if mistakes:
        raise Mistakes(mistakes)
