"""Which Bronze objects no Silver commit contains yet, by the position each Silver table keeps, and its last commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import TableMissing
from medallion_assets.scheduling.planner import Pending

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake


@dataclass(frozen=True)
class Published:
    """A Silver table as it is published: how far it has come, and the last snapshot that changed its rows.

    `snapshot_id` and `run_id`, of the run that made it, are None where that is not known.
    """

    position: Position
    snapshot_id: int | None = None
    run_id: str | None = None


def position(lake: Lake, contract: Contract) -> Position:
    """How far the Silver table has come. Raises LakeUnavailable."""
    return published(lake, contract).position


def published(lake: Lake, contract: Contract) -> Published:
    """The Silver table as it is published, by one look at the catalog. Raises LakeUnavailable."""
    from medallion_assets.lake.history import last_change
    from medallion_assets.silver.table import POSITION, RUN_ID, SILVER

    try:
        table = lake.table(SILVER, contract.lake_name)
    except TableMissing:
        return Published(Position.start())
    text, change = table.properties.get(POSITION), last_change(table)
    return Published(
        Position.from_json(text) if text else Position.start(),
        change.snapshot_id if change else None,
        change.summary.additional_properties.get(RUN_ID) if change and change.summary else None,
    )


def list_pending(
    store: BronzeStore, contracts: Iterable[Contract], positions: Mapping[str, Position], today: date
) -> Pending:
    """The pending objects by Silver node and capture day, oldest first; positions by lake name.

    An object of a day to come, named by a clock that is ahead, waits for its day: there is no partition for it yet.
    """
    pending: dict[str, dict[date, list[str]]] = {}
    for contract in contracts:
        for name in positions[contract.lake_name].pending(store, contract.table):
            day = ObjectName.parse(name).captured_at.date()
            if day <= today:
                pending.setdefault(f"silver/{contract.lake_name}", {}).setdefault(day, []).append(name)
    return pending
