"""Where a counter's numbers are: what its two stores have in common.

Belongs here: the protocol, how an item's last change is written as text, and opening a store by its address. Does not
belong here: the stores themselves (redis_store, dynamodb_store), and what is written (step).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, Protocol

import orjson

from medallion_assets.errors import SettingsError
from medallion_assets.live.change import Key
from medallion_assets.live.contribution import Contribution
from medallion_assets.live.step import Seen, Step, Totals

VARIABLE: Final = "MEDALLION_LIVE"
"""The environment variable with the address of the store."""

FROZEN_SECONDS: Final = 60
"""After this time a counter is written again, whatever became of who reads it as a whole."""

Outcome = Literal["applied", "changed", "frozen"]
"""What became of a step: applied; another writer has changed an item's last change; the counter is being read."""


@dataclass(frozen=True)
class Snapshot:
    """A counter as it was at one moment: its numbers, and the items' last changes that they contain."""

    totals: Totals
    seen: Mapping[Key, Seen]


class LiveStore(Protocol):
    """Keeps counters. Every method raises LakeUnavailable if the service does not answer.

    `changes_at_once` is how many changes are worth one read, `entries_at_once` how many entries one step may write.
    """

    changes_at_once: int
    entries_at_once: int

    def seen(self, counter: str, keys: Collection[Key]) -> dict[Key, Seen]:
        """Return the last changes of those items that have one."""

    def apply(self, counter: str, step: Step, before: Mapping[Key, Seen]) -> Outcome:
        """Apply a step in one atomic write, if the items' last changes are still those in `before`."""

    def totals(self, counter: str) -> Totals:
        """Return the groups that have an item, and their numbers."""

    def snapshot(self, counter: str) -> Snapshot:
        """Return a counter as it is at one moment. Its writers wait; its readers do not."""

    def correct(self, counter: str, deltas: Totals) -> None:
        """Add deltas; changes that are applied at the same time stay."""

    def forget(self, counter: str) -> None:
        """Delete all that is kept of a counter."""


@contextmanager
def open_store(url: str) -> Iterator[LiveStore]:
    """Open the store at `redis://`, `rediss://`, or `dynamodb:<table>`. Raises SettingsError."""
    if url.startswith(("redis://", "rediss://")):
        from medallion_assets.live.redis_store import RedisStore

        with RedisStore.open(url) as store:
            yield store
    elif url.startswith("dynamodb:"):
        from medallion_assets.live.dynamodb_store import DynamoStore

        yield DynamoStore.open(url.removeprefix("dynamodb:"))
    else:
        raise SettingsError(
            f"{url.partition('@')[0]!r:.40} is no store of counters; expected redis://host:port, rediss://… (TLS) or "
            f"dynamodb:<table>. Set {VARIABLE}."
        )


def seen_text(one: Seen) -> str:
    """Return an item's last change as text."""
    adds = None if one.adds is None else [one.adds.group, *(_text(amount) for amount in one.adds.amounts)]
    return orjson.dumps([one.place, adds]).decode()


def read_seen(text: str | bytes) -> Seen:
    """Return the last change that `seen_text` wrote."""
    place, adds = orjson.loads(text)
    if adds is None:
        return Seen(place, None)
    return Seen(place, Contribution(adds[0], tuple(None if one is None else Decimal(one) for one in adds[1:])))


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
