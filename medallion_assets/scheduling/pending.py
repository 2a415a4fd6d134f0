"""Which Bronze objects no Silver commit contains yet, by the position each Silver table keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import TableMissing
from medallion_assets.scheduling.news import Pending

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake


def position(lake: Lake, contract: Contract) -> Position:
    """How far the Silver table has come. Raises LakeUnavailable."""
    from medallion_assets.silver.table import POSITION, SILVER

    try:
        text = lake.table(SILVER, contract.lake_name).properties.get(POSITION)
    except TableMissing:
        text = None
    return Position.from_json(text) if text else Position.start()


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
