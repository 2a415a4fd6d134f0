"""The name of a time zone in a contract or a mart.

Belongs here: which names there are. Does not belong here: reading a local time (silver.source_format).
"""

from __future__ import annotations

from typing import Final
from zoneinfo import available_timezones

UTC: Final = "UTC"


def known_zone(zone: str) -> str:
    """Return the name if it is UTC or one of the time zone database like Europe/Berlin. Raises ValueError."""
    if zone != UTC and (zone not in available_timezones() or "/" not in zone):
        raise ValueError(f"{zone!r:.80} is not the name of a time zone; expected UTC or one like Europe/Berlin")
    return zone
