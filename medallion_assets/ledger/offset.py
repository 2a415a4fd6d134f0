"""How far the ledger has followed each Silver table: a property of `ops.ledger` per table.

Belongs here: the offset, and how it is stored. Does not belong here: advancing it (follow), and writing it (update).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.parked import NOTHING_PARKED, Parked
from medallion_assets.ops.tables import LEDGER

_TIMES: Final = ("complete_to", "stream_created_at")


@dataclass(frozen=True)
class FollowerOffset:
    """How far the ledger has followed a Silver table.

    `snapshot_id` is the last published snapshot whose objects are all recorded.
    `assumed_through`: the table's history no longer says which objects it contains up to this name (the ledger started
    later, or snapshots expired), so it is assumed to contain all of them.
    `complete_to`: up to this time the table has every change, aware UTC; None before that was ever known.
    `stream_created_at`: when the stream was created that the table's latest changes came from; None before the first.
    `parked`: what waits for a redrive.
    """

    snapshot_id: int | None = None
    assumed_through: str | None = None
    complete_to: datetime | None = None
    stream_created_at: datetime | None = None
    parked: Parked = NOTHING_PARKED

    @classmethod
    def read(cls, properties: Mapping[str, str], table: str) -> Self:
        """Return the offset of a table (its lake name) from the properties of `ops.ledger`."""
        text = properties.get(cls.property_name(table))
        if text is None:
            return cls()
        fields = json.loads(text)
        times = {name: datetime.fromisoformat(at) if (at := fields[name]) else None for name in _TIMES}
        parked = Parked.from_json(fields["parked"]) if "parked" in fields else NOTHING_PARKED
        return cls(fields["snapshot_id"], fields["assumed_through"], **times, parked=parked)

    @staticmethod
    def property_name(table: str) -> str:
        """Return the name of the property of `ops.ledger` that holds the offset of a table (its lake name)."""
        return f"medallion.ledger-offset.{table}"

    def to_json(self) -> str:
        """Return the offset as the value of its property."""
        times = {name: at.isoformat() if (at := getattr(self, name)) else None for name in _TIMES}
        fields = {"snapshot_id": self.snapshot_id, "assumed_through": self.assumed_through, **times}
        return json.dumps({**fields, "parked": self.parked.to_json()})


def repaired_property(table: str) -> str:
    """Return the name of the property of `ops.ledger`: when the last completed repair of a table began."""
    return f"medallion.repaired-at.{table}"


def read_properties(lake: Lake) -> Mapping[str, str]:
    """Return the properties of `ops.ledger`; none before its first row. Raises LakeUnavailable."""
    table = LEDGER.find(lake)
    return table.properties if table else {}
