"""Days as a few ranges, so that an engine can skip files by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta


def day_ranges(days: Sequence[date], *, at_most: int) -> list[tuple[date, date]]:
    """Return ranges (first, last) that cover the days, split at the widest gaps between them."""
    ordered = sorted(set(days))
    gaps = sorted(
        (at for at in range(1, len(ordered)) if ordered[at] - ordered[at - 1] > timedelta(days=1)),
        key=lambda at: ordered[at] - ordered[at - 1],
        reverse=True,
    )
    starts = [0, *sorted(gaps[: at_most - 1])]
    return [(ordered[start], ordered[end - 1]) for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True)]
