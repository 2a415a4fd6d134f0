"""One table as an inspection reads it first: heartbeat, position, listing, and what Silver has merged.

Belongs here: that first read, and its order. Does not belong here: what follows from it (inspect_objects,
inspect_shards).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from medallion_assets.capture.heartbeat import PollerHeartbeat, read_heartbeat
from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.findings import KnownGaps
from medallion_assets.ledger.follow import Merged, follow, read_history
from medallion_assets.ledger.listing import Listing, list_bronze
from medallion_assets.ledger.offset import FollowerOffset, repaired_property
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.silver.table import SILVER, STREAM, read_position


@dataclass(frozen=True)
class ScanCursor:
    """What one inspection leaves to the next: the name after which it lists older objects, and the last `complete_to`.

    If it is lost, the listing of older objects starts again, and `complete_to` may be a few minutes older.
    """

    page: str | None = None
    complete_to: datetime | None = None


@dataclass(frozen=True)
class Sources:
    """What an inspection reads from while it goes on."""

    lake: Lake
    store: BronzeStore
    ledger: LedgerReader


@dataclass(frozen=True)
class TableView:
    """One table as it was read at the start of an inspection.

    `stream_created_at` is when the latest stream was created that a merged change came from; `repaired_at` is when the
    last completed repair began.
    """

    contract: Contract
    heartbeat: PollerHeartbeat | None
    position: Position
    listing: Listing
    merged: Merged
    current_snapshot: int | None
    stream_created_at: datetime | None
    repaired_at: datetime | None
    gaps: KnownGaps
    now: datetime

    @property
    def name(self) -> str:
        """The lake name of the table."""
        return self.contract.lake_name

    @property
    def offset(self) -> FollowerOffset:
        """How far the ledger follows the table with this inspection."""
        return self.merged.offset


def read_view(sources: Sources, contract: Contract, gaps: KnownGaps, *, cursor: ScanCursor, now: datetime) -> TableView:
    """Read in this order: the objects that a heartbeat names are in the listing that follows it, and what Silver
    publishes after its position was read counts as pending."""
    heartbeat = read_heartbeat(sources.store, contract.table, now=now)
    silver = sources.lake.find(SILVER, contract.lake_name)
    position = read_position(silver)
    listing = list_bronze(sources.store, contract.table, position, page=cursor.page)
    offset = FollowerOffset.read(sources.ledger.properties, contract.lake_name)
    if cursor.complete_to is not None:
        offset = replace(offset, complete_to=cursor.complete_to)
    history = read_history(silver, since=offset.snapshot_id)
    merged = follow(history, offset, position, listing.pending(position), table=contract.table)
    stream, repaired = (
        silver.properties.get(STREAM) if silver is not None else None,
        sources.ledger.properties.get(repaired_property(contract.lake_name)),
    )
    return TableView(
        contract=contract,
        heartbeat=heartbeat,
        position=position,
        listing=listing,
        merged=merged,
        current_snapshot=history.current,
        stream_created_at=datetime.fromisoformat(stream) if stream else None,
        repaired_at=datetime.fromisoformat(repaired) if repaired else None,
        gaps=gaps,
        now=now,
    )
