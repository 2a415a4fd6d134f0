"""The pieces of texts that are put together with #, as composite keys of DynamoDB are: USER#123, ORDER#4711#2.

Belongs here: which pieces all texts of an attribute share, and the template that follows. Does not belong here: whole
texts (forms).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from medallion_assets.contracts.names import snake_case

_BETWEEN = "#"
_LONGEST_WORD = 40


@dataclass
class Pieces:
    """`common`: the pieces of the texts, None for one that differs from text to text; None if their numbers differ."""

    common: list[str | None] | None = None
    seen: int = 0

    def see(self, text: str) -> None:
        """Look at a text."""
        self.seen += 1
        if self.seen > 1 and self.common is None:
            return
        pieces = text.split(_BETWEEN)
        if self.seen == 1 and len(pieces) > 1 and all(pieces):
            self.common = list(pieces)
        elif self.common is None or len(pieces) != len(self.common) or not all(pieces):
            self.common = None
        else:
            self.common = [one if one == other else None for one, other in zip(self.common, pieces, strict=True)]

    def template(self, attribute: str, free: Callable[[str], str]) -> tuple[str, list[str]] | None:
        """Return a template that every text fits, and the names of its parts; None if there is none.

        `free` returns a name that no other column has. A part is called by the word before it.
        """
        if self.common is None or None not in self.common or not any(map(_is_word, self.common)):
            return None
        if any(piece is not None and not _is_word(piece) for piece in self.common):
            return None
        parts, names = [], []
        for at, piece in enumerate(self.common):
            if piece is None:
                before = self.common[at - 1] if at else None
                names.append(free(f"{snake_case(before)}_id" if before else f"{snake_case(attribute)}_{at + 1}"))
            parts.append(f"{{{names[-1]}}}" if piece is None else piece)
        return _BETWEEN.join(parts), names


def _is_word(piece: str | None) -> bool:
    """Return whether a piece says what kind of thing follows, as USER does in USER#123, and is no data."""
    if piece is None or len(piece) > _LONGEST_WORD:
        return False
    return piece.isascii() and piece.replace("_", "").replace("-", "").isalpha()
