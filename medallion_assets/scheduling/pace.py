"""How soon Bronze is looked at again: quick while changes arrive, slow when nothing does, or at a fixed pace.

A look is a listing of each table, and now and then a question to the catalog for each; on S3 both cost money, and a run
that follows costs more. Belongs here: the pause between two looks. Does not belong here: waiting for it (the sensor).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from medallion_assets.settings import Freshness

SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(seconds=30)
SHARE: Final = 10
"""With the freshness of seconds, the pause grows to a tenth of the quiet time: what arrives after ten seconds is
seen within one, what arrives after five quiet minutes within thirty."""

ASK_AGAIN: Final = timedelta(minutes=5)
"""How long the catalog is not asked while nothing is pending after the positions that it last gave. A commit of another
process, and a table that was rolled back or rebuilt, are seen after this time, or with the next run."""

GATHERED: Final = {"minutes": timedelta(minutes=1), "hourly": timedelta(hours=1)}
"""With the others, changes are gathered for this long."""


def next_look(looked_at: datetime | None, busy_at: datetime | None, now: datetime, freshness: Freshness) -> datetime:
    """Return when Bronze is to be looked at next: now, if it never was.

    `busy_at` is when a run was requested or ended last.
    """
    if looked_at is None:
        return now
    if freshness in GATHERED:
        return looked_at + GATHERED[freshness]
    quiet = looked_at - (busy_at or looked_at)
    return looked_at + min(max(quiet / SHARE, SHORTEST), LONGEST)
