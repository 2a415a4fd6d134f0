"""How far the ledger has followed each Silver table, and the states of an object in it.

Belongs here: values that `ops.ledger` stores. Does not belong here: its columns (ops.tables), its queries (reader), and
which rows are written (update).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

# FollowerOffset by the lake name of a table: a property of `ops.ledger` that says how far it has followed that table.
OFFSET_PROPERTY: Final = "medallion.ledger-offset."

# The state of a recorded object: as it was recorded; no longer in Bronze; there with other contents.
PRESENT, MISSING, CHANGED = "present", "missing", "changed"


@dataclass(frozen=True)
class FollowerOffset:
    """How far the ledger has followed a Silver table.

    `snapshot_id` is the last published snapshot whose objects are all recorded.
    `assumed_through`: the table's history no longer says which objects it contains up to this name (the ledger started
    later, or snapshots expired), so it is assumed to contain all of them.
    `complete_to`: up to this time the table has every change, aware UTC; None before that was ever known.
    """

    snapshot_id: int | None = None
    assumed_through: str | None = None
    complete_to: datetime | None = None

    @classmethod
    def read(cls, properties: Mapping[str, str], table: str) -> Self:
        """What the properties of `ops.ledger` say about the table of that lake name."""
        text = properties.get(OFFSET_PROPERTY + table)
        if text is None:
            return cls()
        fields = json.loads(text)
        complete_to = fields["complete_to"]
        return cls(
            fields["snapshot_id"],
            fields["assumed_through"],
            datetime.fromisoformat(complete_to) if complete_to else None,
        )

    @property
    def text(self) -> str:
        """It as the value of the table property."""
        complete_to = self.complete_to.isoformat() if self.complete_to else None
        return json.dumps(
            {"snapshot_id": self.snapshot_id, "assumed_through": self.assumed_through, "complete_to": complete_to}
        )
