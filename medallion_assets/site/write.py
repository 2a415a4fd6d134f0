"""Write a site so that a reader never sees half of a refresh: what the pointer names is there before the pointer.

Belongs here: the order of the writes, the pointer, and which documents may go. Does not belong here: what is in a
document (panels), where files go (place).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from medallion_assets.panels.document import FORMAT, Document
from medallion_assets.site.files import SiteFile, page_files, site_file
from medallion_assets.site.place import SitePlace

POINTER: Final = "data/latest.json"

KEPT: Final = timedelta(hours=1)
"""So long a document stays after it was written: a reader who has an old pointer still gets what it names."""


@dataclass(frozen=True)
class Written:
    """What one call wrote: the version of the document, whether it is new, and how many old documents it removed."""

    version: str
    is_new: bool
    removed: int


def pointer(
    document: Document,
    states: Mapping[str, Mapping[str, Any]],
    *,
    now: datetime,
    poll_seconds: float,
    events: str | None = None,
) -> SiteFile:
    """Return the pointer to a document, with the states of the marts (panels.state).

    `events` is where a server says that the pointer has changed; None: a reader only asks again.
    """
    content = {
        "format": FORMAT,
        "written_at": now.isoformat(),
        "panels": f"{document.version}.json",
        "poll_seconds": poll_seconds,
        "events": events,
        "marts": states,
    }
    return site_file(POINTER, json.dumps(content, ensure_ascii=False).encode(), changes=True)


def write_site(
    place: SitePlace,
    document: Document,
    states: Mapping[str, Mapping[str, Any]],
    *,
    now: datetime,
    poll_seconds: float,
) -> Written:
    """Write the document and the page where they are missing, then the pointer; remove documents that nobody reads.

    Calls may overlap: each writes a pointer to a document that is there. Raises SettingsError, LakeUnavailable.
    """
    newest = f"data/{document.version}.json"
    there = place.list("data")
    # One that is old already is written again, so that no other writer removes it while the pointer names it.
    is_new = newest not in there or now - there[newest] > KEPT / 2
    if is_new:
        place.put(newest, site_file(newest, document.content, changes=False))
    page = page_files()
    if list(page)[-1] not in place.list("page"):
        for path, file in page.items():
            place.put(path, file)
    place.put(POINTER, pointer(document, states, now=now, poll_seconds=poll_seconds))
    old = [path for path, at in there.items() if path not in {newest, POINTER} and now - at > KEPT]
    for path in old:
        place.remove(path)
    return Written(document.version, is_new, len(old))
