"""How soon Bronze is looked at again: quick while changes arrive, slow when nothing does.

A look is a listing of each table and a request to the catalog for each; on S3 both cost money. Belongs here: the pause
between two looks. Does not belong here: waiting for it (the sensor).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(seconds=30)
SHARE: Final = 10
"""The pause grows to a tenth of the time without news: what arrives after ten seconds is seen within one, what arrives
after five quiet minutes within thirty."""


def pause_after(quiet: timedelta) -> timedelta:
    """Return the pause before the next look; `quiet` is how long there has been no news."""
    return min(max(quiet / SHARE, SHORTEST), LONGEST)


def next_look(looked_at: datetime | None, news_at: datetime | None, now: datetime) -> datetime:
    """Return when Bronze is to be looked at next: now, if it never was."""
    if looked_at is None:
        return now
    return looked_at + pause_after(looked_at - (news_at or looked_at))
