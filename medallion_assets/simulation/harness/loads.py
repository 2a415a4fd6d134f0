"""The loads of a history: what one table had before its stream, and the exports and scans that a person loads.

Belongs here: which loads there are, and what happens before, while and after them. Does not belong here: how they are
played (play), whether the result is right (judge).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from medallion_assets.simulation.harness.shop_items import Item, ShopItems

_HOURS: Final = 3600.0


class Loads:
    """Draws the loads of one table as acts: a name and what it is given.

    - late: the stream is switched on in the second round
    - closes_gaps: streams lose changes in this history, and a load brings what they lost
    - slow: capture brings the changes of a burst one by one
    """

    def __init__(self, seed: int, table: str, items: ShopItems, *, closes_gaps: bool) -> None:
        self._dice = random.Random(f"loads/{seed}")  # noqa: S311 - dice
        self._items = items
        self.table = table
        self.closes_gaps = closes_gaps
        self.late = self._dice.random() < 0.25
        self.slow = self._dice.random() < 0.5

    def round(self, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what happens at the end of a round; rounds count from 0."""
        dice = self._dice
        if number == 0 and dice.random() < 0.7:
            yield self._load()  # before the stream is on, if it is late: that load must be refused
        if self.late and number == 1:
            yield "switch_on", {"table": self.table}
            yield "wait", {"seconds": dice.choice([0.0, 60.0, 600.0])}
        if self.closes_gaps:
            yield "resume", {}
            yield "look", {}
        if number > 0 and dice.random() < 0.6:
            yield self._load()
            for _ in range(4 if self.slow else 0):  # Silver shows what is captured so far
                yield "wait", {"seconds": dice.choice([15.0, 30.0])}
                yield "tick", {"times": 1}

    def stock(self) -> tuple[str, dict[str, Any]]:
        """Return the act that gives the table items from before its stream."""
        return "stock", {"table": self.table, "items": [self._items.good(self.table) for _ in range(6)]}

    def _load(self) -> tuple[str, dict[str, Any]]:
        dice = self._dice
        remade = None
        if self.closes_gaps and dice.random() < 0.3:
            remade = {"after": dice.randint(0, 4), "emptied": dice.random() < 0.5}
        return "backfill", {
            "table": self.table,
            "source": dice.choice(["export", "scan"]),
            "seconds": dice.choice([0.0, 0.0, 600.0, 26 * _HOURS]),
            "page_seconds": dice.choice([0.0, 0.0, 1.0, 90.0, 9 * _HOURS]),
            "before": self._burst() if dice.random() < 0.7 else [],
            "changes": [self._change(self._items.key(self.table)) for _ in range(dice.randint(0, 8))],
            "remade": remade,
        }

    def _burst(self) -> list[dict[str, Any]]:
        """Return changes of two keys, made in the moment before the snapshot."""
        keys = [self._items.key(self.table) for _ in range(2)]
        return [self._change(self._dice.choice(keys)) for _ in range(self._dice.randint(3, 8))]

    def _change(self, key: Item) -> dict[str, Any]:
        if self._dice.random() < 0.3:
            return {"table": self.table, "delete": key}
        return {"table": self.table, "put": {**self._items.good(self.table), **key}, "bad": False}
