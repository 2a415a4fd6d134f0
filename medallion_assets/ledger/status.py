"""What the ledger says of tables without looking anew: for steps, checks and oracles.

Belongs here: reading the ledger back. Does not belong here: a look at Bronze (look).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.ledger.gaps import Gap, list_open_gaps
from medallion_assets.ledger.ranges import Range, union
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.table import FollowerOffset
from medallion_assets.ops.tables import LEDGER


class Completeness(Protocol):
    """What a check needs to know of a table, from a look or from the ledger."""

    @property
    def complete_to(self) -> datetime | None:
        """Up to when the table has every change."""

    @property
    def gaps(self) -> Sequence[Gap]:
        """What is missing of it."""


@dataclass(frozen=True)
class Known:
    """A table as the last look left it. At most a few minutes older than a look now."""

    complete_to: datetime | None
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class LedgerClaims:
    """All that the ledger claims of a table, for who knows the truth.

    `objects`: the Bronze objects each Silver snapshot was the first to contain, None for those from before the ledger.
    `ranges`: what is captured of each shard, by stream ARN and shard id, as padded sequence numbers.
    """

    complete_to: datetime | None
    gaps: tuple[Gap, ...]
    objects: Mapping[int | None, frozenset[str]]
    ranges: Mapping[tuple[str, str], Sequence[Range]]


@translate_outages()
def read_completeness(lake: Lake, tables: Sequence[str]) -> dict[str, Known]:
    """What is known of these tables (lake names). Costs two look-ups in the catalog. Raises LakeUnavailable."""
    ledger = LEDGER.find(lake)
    properties = ledger.properties if ledger else {}
    gaps = list_open_gaps(lake)
    return {
        name: Known(FollowerOffset.read(properties, name).complete_to, tuple(gap for gap in gaps if gap.table == name))
        for name in tables
    }


@translate_outages()
def read_claims(lake: Lake, table: str) -> LedgerClaims:
    """All that the ledger claims of a table (its lake name). Reads all its rows. Raises LakeUnavailable."""
    now = read_completeness(lake, [table])[table]
    with LedgerReader.open(lake) as recorded:
        return LedgerClaims(
            complete_to=now.complete_to,
            gaps=now.gaps,
            objects={snapshot: frozenset(names) for snapshot, names in recorded.snapshots(table).items()},
            ranges={shard: union(recorded.claims(table, *shard)) for shard in recorded.shards(table)},
        )
