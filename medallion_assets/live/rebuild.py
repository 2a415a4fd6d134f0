"""Make a counter right by Silver, while it is written and read: `medallion live rebuild`.

Belongs here: the order of the writes. Does not belong here: what is wrong (compare).

This is also how a counter begins over a table with history: its consumer starts, and what the table had before is
added. Every write is either conditional or an addition, so the consumer goes on, and a rebuild that ends half-way has
made nothing worse than another one makes right.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from medallion_assets.contracts.model import Contract
from medallion_assets.errors import NotCaughtUp
from medallion_assets.lake.catalog import Lake
from medallion_assets.live.apply import apply_changes
from medallion_assets.live.change import Change
from medallion_assets.live.compare import Comparison, compare
from medallion_assets.live.counter import Counter
from medallion_assets.live.step import Step
from medallion_assets.live.store import LiveStore

_ATTEMPTS: Final = 5


def rebuild(
    lake: Lake, contract: Contract, counter: Counter, store: LiveStore, *, clock: Callable[[], datetime]
) -> Comparison:
    """Add to the counter what it lacks; return what that was.

    First it learns the last changes that only Silver knows: those of items that the consumer has not seen, so that
    their records count no second time, and those that are later than the consumer's, as a repair makes. Raises
    NotCaughtUp if Silver stays ahead, and what `compare` raises.
    """
    for _ in range(_ATTEMPTS):
        found = compare(lake, contract, counter, store, now=clock())
        if not found.ahead and not found.unseen:
            store.correct(counter.name, found.wrong)
            return found
        keys = list(found.unseen)
        for at in range(0, len(keys), store.changes_at_once):
            part = {key: found.unseen[key] for key in keys[at : at + store.changes_at_once]}
            store.apply(counter.name, Step(part, {}, 0), {})
        apply_changes(counter, [Change(key, one.place, None, one.adds) for key, one in found.ahead.items()], store)
    raise NotCaughtUp(
        f"counter {counter.name} lacks {len(found.ahead) + len(found.unseen)} changes of silver.{contract.lake_name}. "
        "Start its consumer, wait until it has caught up, and rebuild again."
    )
