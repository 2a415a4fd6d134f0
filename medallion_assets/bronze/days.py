"""The capture days of a table's Bronze objects.

Belongs here: finding the days without listing every object. Does not belong here: what a day's objects are for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from medallion_assets.capture.naming import ObjectName, floor
from medallion_assets.capture.store import BronzeStore

_PAGE: Final = 1000
"""Names in one answer of S3."""


def capture_days(store: BronzeStore, table: str, *, known: Collection[date] = ()) -> Iterator[date]:
    """Yield the days with objects that are not in `known`, oldest first.

    Costs one request for a day with many objects, one for many days with few, and one for days in a row that are known.
    Raises CaptureError for a foreign name, and what the store raises.
    """
    after: str | None = None
    while True:
        current, seen = None, 0
        for name in store.list(table, after=after):
            day = ObjectName.parse(name).captured_at.date()
            if day in known:
                while day + timedelta(days=1) in known:
                    day += timedelta(days=1)
                break
            if day != current:
                current, seen = day, 0
                yield day
            seen += 1
            if seen == _PAGE:
                break
        else:
            return
        after = floor(table, datetime.combine(day + timedelta(days=1), time(), UTC))
