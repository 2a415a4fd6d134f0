"""Apply the records of a stream to counters: the one act that Lambda, the poller and the tests share.

Belongs here: a batch in, its parts applied one after the other, and what happens when two writers meet. Does not belong
here: what a change does to the numbers (step), where they are (store).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from medallion_assets.capture.envelope import table_of
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.errors import LakeUnavailable
from medallion_assets.live.change import Change, change_of
from medallion_assets.live.counter import Counter
from medallion_assets.live.step import step
from medallion_assets.live.store import LiveStore

log = logging.getLogger(__name__)

# Ten functions that write the same groups meet often in DynamoDB, and one of them always comes through.
_ATTEMPTS: Final = 40
_LONGEST_WAIT_SECONDS: Final = 1.0


def apply_records(
    records: Iterable[Mapping[str, Any]],
    *,
    counters: Sequence[Counter],
    store: LiveStore,
    names: SourceNames = SAME_NAMES,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Apply records to the counters of their tables; return how many changes were applied before.

    Raises CaptureError for a record that cannot be read, before anything of the batch is applied, and LakeUnavailable:
    the caller then sends the batch again, which is harmless.
    """
    batch = list(records)
    read: list[tuple[Counter, list[Change]]] = []
    for counter in counters:
        own = [record for record in batch if names.in_contract(table_of(record["eventSourceARN"])) == counter.table]
        read.append((counter, sorted((change_of(counter, record) for record in own), key=lambda one: one.place)))
    return sum(apply_changes(counter, changes, store, wait) for counter, changes in read)


def apply_changes(
    counter: Counter, changes: Sequence[Change], store: LiveStore, wait: Callable[[float], None] = time.sleep
) -> int:
    """Apply changes, those of each item in their order; return how many were applied before. Raises LakeUnavailable."""
    return sum(
        _apply(counter, changes[at : at + store.changes_at_once], store, wait)
        for at in range(0, len(changes), store.changes_at_once)
    )


def _apply(counter: Counter, changes: Sequence[Change], store: LiveStore, wait: Callable[[float], None]) -> int:
    """Apply changes, in halves if they are too many for one step; return how many were applied before."""
    for attempt in range(_ATTEMPTS):
        before = store.seen(counter.name, {change.key for change in changes})
        made = step(counter, changes, before)
        if made.entries > store.entries_at_once:
            half = len(changes) // 2
            return _apply(counter, changes[:half], store, wait) + _apply(counter, changes[half:], store, wait)
        if not made.seen or store.apply(counter.name, made, before) == "applied":
            return made.skipped
        wait(random.uniform(0, min(0.01 * 2**attempt, _LONGEST_WAIT_SECONDS)))  # noqa: S311 - spreads writers
    raise LakeUnavailable(f"counter {counter.name}: {len(changes)} changes could not be applied; they are sent again")
