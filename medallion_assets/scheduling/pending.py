"""Read which Bronze objects no Silver commit contains yet, and how far each Silver table has come.

Belongs here: one read of the catalog for all tables, and one listing per table. Does not belong here: what to run
(planner).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import LakeDamaged
from medallion_assets.scheduling.planner import Pending

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake

_CONCURRENCY: Final = 16
"""Tables listed side by side; the wait is the store's round trip."""


@dataclass(frozen=True)
class PublishedTable:
    """A published Silver table: its position in Bronze, and the last snapshot that changed rows with its run's id.

    `snapshot_id` and `run_id` are None where they are not known.
    """

    position: Position
    snapshot_id: int | None = None
    run_id: str | None = None


def read_published(
    lake: Lake, contracts: Collection[Contract]
) -> tuple[dict[str, PublishedTable], dict[str, LakeDamaged]]:
    """Return the Silver tables as published, and the errors of those that cannot be read, by lake name.

    A table that does not exist yet is at the start. Raises LakeUnavailable.
    """
    from medallion_assets.lake.history import last_change
    from medallion_assets.silver.table import RUN_ID, SILVER, read_position

    found: dict[str, PublishedTable] = {}
    damaged: dict[str, LakeDamaged] = {}
    for name, table in lake.find_all(SILVER, [contract.lake_name for contract in contracts]).items():
        if isinstance(table, LakeDamaged):
            damaged[name] = table
            continue
        change = last_change(table) if table is not None else None
        found[name] = PublishedTable(
            read_position(table),
            change.snapshot_id if change else None,
            change.summary.additional_properties.get(RUN_ID) if change and change.summary else None,
        )
    return found, damaged


def list_pending(
    store: BronzeStore, contracts: Collection[Contract], positions: Mapping[str, Position], today: date
) -> Pending:
    """Return the pending objects by Silver node and capture day, oldest first; `positions` are by lake name.

    An object of a future day (from a clock that is ahead) waits for its day, because there is no partition for it yet.
    """
    pending: dict[str, dict[date, list[str]]] = {}

    def list_one(contract: Contract) -> list[str]:
        return list(positions[contract.lake_name].pending(store, contract.table))

    with ThreadPoolExecutor(_CONCURRENCY) as threads:
        listed = list(threads.map(list_one, contracts))
    for contract, names in zip(contracts, listed, strict=True):
        for name in names:
            day = ObjectName.parse(name).captured_at.date()
            if day <= today:
                pending.setdefault(f"silver/{contract.lake_name}", {}).setdefault(day, []).append(name)
    return pending
