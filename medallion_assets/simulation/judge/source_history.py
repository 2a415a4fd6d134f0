"""What the source had of each key, and when: one list of states for each key, oldest first.

A stream tells only of changes that it has seen. Items from before a stream, and items that went with their table, are
states here, too. So one number, the place of a state in its key's list, says which of two published values is older.

Belongs here: the states, and which of them a reader may have seen at a time. Does not belong here: what the lake shows
(oracle).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Image = Mapping[str, Any]

BEFORE: Final = -1
"""The place of the state before the first: there was no item."""


@dataclass(frozen=True)
class State:
    """What a key was from `at` on: an item, or None if it had none."""

    at: datetime
    image: Image | None


class SourceHistory:
    """The states of all keys. Tables and keys are text."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], list[State]] = {}
        self._places: dict[str, int] = {}

    def changed(self, table: str, key: str, image: Image | None, *, at: datetime, event_id: str) -> None:
        """Add the state that a change made."""
        states = self._states.setdefault((table, key), [])
        self._places[event_id] = len(states)
        states.append(State(at, image))

    def unseen(self, table: str, items: Mapping[str, Image], *, at: datetime) -> None:
        """Add the states of a table that no stream told: it has these items, by key, and no other."""
        for key in {*items, *self.keys(table)}:
            if self.image(table, key) != (image := items.get(key)):
                self._states.setdefault((table, key), []).append(State(at, image))

    def keys(self, table: str) -> list[str]:
        """Return the keys that a table ever had."""
        return [key for name, key in self._states if name == table]

    def image(self, table: str, key: str) -> Image | None:
        """Return the item that a key has now."""
        states = self._states.get((table, key))
        return states[-1].image if states else None

    def place(self, event_id: str) -> int | None:
        """Return the place of the state that a change made; None for an event that is no change."""
        return self._places.get(event_id)

    def possible(self, table: str, key: str, image: Image | None, *, since: datetime, until: datetime) -> list[int]:
        """Return the places of the states with this image that were the key's at a time from `since` to `until`."""
        states = self._states.get((table, key), [])
        first = BEFORE if not states or states[0].at >= since else 0
        return [
            place
            for place in range(first, len(states))
            if (states[place].image if place >= 0 else None) == image
            and (place < 0 or states[place].at <= until)
            and (place + 1 == len(states) or states[place + 1].at >= since)
        ]
