"""The capture days of a table, found without listing every object."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from medallion_assets.bronze import days as module
from medallion_assets.bronze.days import capture_days
from medallion_assets.capture.naming import ObjectName
from medallion_assets.simulation.objects import MemoryStore

DAYS = [date(2026, 2, 27), date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 4)]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
@pytest.mark.parametrize("known", [[], DAYS[:1], DAYS[1:3], DAYS[3:], DAYS])
def test_every_day_that_is_not_known_comes_once_in_order(
    page: int, known: list[date], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    store = MemoryStore()
    for day in DAYS:
        for hour in (0, 5, 23):
            at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(minutes=59)
            store.put(ObjectName("Orders", at, 1, "0" * 16).path, b"")
    assert list(capture_days(store, "Orders", known=known)) == [day for day in DAYS if day not in known]
    assert list(capture_days(store, "Products")) == []
