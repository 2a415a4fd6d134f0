"""What the ledger says about a table: how complete it is.

Belongs here: the values, and reading them back from the ledger. Does not belong here: inspecting Bronze (inspect).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ledger.gap import Gap
from medallion_assets.ledger.gaps import list_open_gaps
from medallion_assets.ledger.offset import FollowerOffset, read_properties
from medallion_assets.ledger.parked import Parked


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How complete a table is.

    `complete_to`: the table has every change that its stream shows as made before this time, aware UTC. None: this is
    not known, which is always so where a Lambda function captures, because it does not see shards.
    `gaps` are the open ones, oldest first. `parked` is what waits for a redrive.
    """

    complete_to: datetime | None
    gaps: tuple[Gap, ...]
    parked: Parked

    @property
    def needs_backfill(self) -> bool:
        """Whether changes are known to be missing from the table."""
        return any(gap.lossy for gap in self.gaps)


@dataclass(frozen=True, kw_only=True)
class LedgerStatus(Completeness):
    """One table (its lake name) as an inspection found it.

    `merged_to`: every object captured before this time is in the table, aware UTC.
    `pending_objects`: objects captured later that are not in the table yet.
    `is_captured`: a poller has written its heartbeat, or Bronze has had an object of the table.
    """

    table: str
    merged_to: datetime
    pending_objects: int
    is_captured: bool


@translate_outages()
def read_completeness(lake: Lake, tables: Sequence[str]) -> dict[str, Completeness]:
    """Return how complete these tables (lake names) are by the last pass of the ledger, by name.

    Costs two requests to the catalog. Raises LakeUnavailable.
    """
    properties = read_properties(lake)
    gaps = list_open_gaps(lake)
    return {
        name: Completeness(
            complete_to=offset.complete_to,
            gaps=tuple(gap for gap in gaps if gap.table == name),
            parked=offset.parked,
        )
        for name in tables
        for offset in [FollowerOffset.read(properties, name)]
    }
