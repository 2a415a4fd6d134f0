"""Several mistakes in one part of a file, reported together, each with its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value, from the part of the file that is being checked."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: where it is, what was seen and what was expected."""

    place: Place
    text: str

    def below(self, place: Place) -> Mistake:
        """Return the same mistake with `place` in front of its own place."""
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
