"""The gate: how many queries run at the same time, and how many wait for their turn.

Belongs here: letting a query in or refusing it. Does not belong here: running it (reader).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from medallion_assets.serving.limits import Limits
from medallion_assets.serving.refusal import Refusal


class Gate:
    """Lets queries in, in the order in which they came. Used by one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = asyncio.Semaphore(limits.running)
        self._inside: Counter[str] = Counter()

    @asynccontextmanager
    async def enter(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place to run, and keep it while inside. Raises Refusal (429) if too many wait already."""
        for inside, limit, whose in (
            (self._inside.total(), self._limits.running + self._limits.waiting, ""),
            (self._inside[caller], self._limits.per_caller, " of this key"),
        ):
            if inside >= limit:
                raise Refusal(
                    429,
                    "too_many_queries",
                    f"{inside} queries{whose} run or wait, which is the limit. Try again in a second.",
                    {"Retry-After": "1"},
                )
        self._inside[caller] += 1
        try:
            async with self._running:
                yield
        finally:
            self._inside[caller] -= 1
            self._inside += Counter()  # drops callers with none
