"""The pause between two looks at Bronze."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from medallion_assets.scheduling.pace import next_look

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "pause"), [(0, 1), (5, 1), (60, 6), (300, 30), (86_400, 30)], ids=lambda seconds: f"{seconds}s"
)
def test_the_pause_is_a_tenth_of_the_quiet_time_between_a_second_and_half_a_minute(quiet: int, pause: int) -> None:
    assert next_look(NOW, NOW - timedelta(seconds=quiet), NOW, "seconds") == NOW + timedelta(seconds=pause)


def test_the_first_look_is_at_once() -> None:
    assert next_look(None, None, NOW, "hourly") == NOW


def test_the_other_paces_are_fixed() -> None:
    assert next_look(NOW, NOW, NOW, "minutes") == NOW + timedelta(minutes=1)
    assert next_look(NOW, NOW, NOW, "hourly") == NOW + timedelta(hours=1)
