"""What is parked of one table, and waits for a redrive: counts and an age.

Belongs here: the value, and how it is stored. Does not belong here: the gap that it is (inspect_parked), the objects
(capture.dead_letter, capture.given_up).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from medallion_assets.capture.dead_letter import failed_at
from medallion_assets.capture.given_up import GivenUp


@dataclass(frozen=True)
class Parked:
    """What waits for a redrive.

    `dead_letters`: records that capture set aside. `batches`: what Lambda gave up (see GivenUp). `since`: when the
    oldest of both was parked, aware UTC; None if nothing is.
    """

    dead_letters: int = 0
    batches: int = 0
    since: datetime | None = None

    @classmethod
    def count(cls, letters: Sequence[str], given_up: GivenUp | None) -> Self:
        """Count the paths of a table's letters, the oldest first, and its batches. Raises CorruptObject."""
        times = [failed_at(path) for path in letters[:1]] + ([given_up.oldest] if given_up else [])
        return cls(len(letters), given_up.batches if given_up else 0, min(times, default=None))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_json` has stored."""
        since = fields["since"]
        return cls(fields["dead_letters"], fields["batches"], datetime.fromisoformat(since) if since else None)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values of JSON."""
        return {
            "dead_letters": self.dead_letters,
            "batches": self.batches,
            "since": self.since.isoformat() if self.since else None,
        }


NOTHING_PARKED: Final = Parked()
