"""A request that is refused: the HTTP status, a code for programs, a sentence for people, and mismatches.

Belongs here: what every refusal has. Does not belong here: when a request is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from medallion_assets.errors import MedallionError
from medallion_assets.ingest.mismatch import Mismatch

SHOWN_MISMATCHES: Final = 20
"""How many mismatches an answer has; it says how many more there are. An item may have as many as it has attributes."""


class Refused(MedallionError):
    """A request that is not done. `code` stays the same between versions."""

    def __init__(self, status: int, code: str, message: str, mismatches: Sequence[Mismatch] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.mismatches = tuple(mismatches)

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.mismatches:
            error["mismatches"] = [one.as_json() for one in self.mismatches[:SHOWN_MISMATCHES]]
            if (more := len(self.mismatches) - SHOWN_MISMATCHES) > 0:
                error["more_mismatches"] = more
        return {"error": error}


def mismatched(mismatches: Sequence[Mismatch]) -> Refused:
    """Return the refusal of an item that its contract does not allow."""
    return Refused(422, "mismatch", "The item does not fit its contract.", mismatches)
