"""Read what many Bronze objects contain.

Belongs here: reading objects side by side, or from compacted copies. Does not belong here: what the ledger makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from medallion_assets.bronze.copies import Copies
from medallion_assets.bronze.object_stats import ObjectStats, parse_stats
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

_CONCURRENCY: Final = 16


def read_stats(store: BronzeStore, names: Iterable[str]) -> dict[str, ObjectStats | None]:
    """Return the stats of objects by name; None for one that is gone or no complete object.

    Raises what the store raises when it does not answer.
    """
    listed = sorted(names)
    copies = Copies(store, listed)
    copied = {name: original[1] for name in listed if (original := copies.original(name)) is not None}
    others = [name for name in listed if name not in copied]
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return copied | dict(zip(others, pool.map(lambda name: _read(store, name), others), strict=True))


def _read(store: BronzeStore, name: str) -> ObjectStats | None:
    try:
        return parse_stats(store.read(name))
    except CorruptObject:
        return None
