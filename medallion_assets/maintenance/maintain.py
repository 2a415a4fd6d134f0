"""Maintain one table of a domain, and keep the history that the next refresh has to compare with.

Belongs here: which snapshots other tables refer to. Does not belong here: how a table is compacted (lake.maintenance).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.changes import INPUT_SNAPSHOTS
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import ABANDONED, compact, drop_branches, expire, remove_orphans
from medallion_assets.ledger.offset import FollowerOffset, read_properties
from medallion_assets.silver.table import ENRICHED_FROM, SILVER


def maintain(
    lake: Lake,
    domain: Domain,
    marts: Iterable[Mart],
    *,
    layer: str,
    name: str,
    older_than: timedelta = timedelta(hours=1),
    abandoned: timedelta = ABANDONED,
) -> int:
    """Compact one table and expire its snapshots older than `older_than`. Return how many expired; 0 without a table.

    Branches and files that a dead writer left are removed at the age `abandoned`. A Silver table keeps its history back
    to the snapshots that marts and enriched tables were last computed from, and back to the ledger's offset. Raises
    LakeUnavailable, CommitConflict.
    """
    table = lake.find(layer, name)
    if table is None:
        return 0
    compact(lake, table)
    keep = _referred_to(lake, domain, marts, name) if layer == SILVER else ()
    drop_branches(lake, table, older_than=abandoned)
    expired = expire(lake, table, keep=keep, older_than=older_than)
    remove_orphans(lake, table, older_than=abandoned)
    return expired


def _referred_to(lake: Lake, domain: Domain, marts: Iterable[Mart], name: str) -> set[int]:
    referred = set()
    for mart in marts:
        if (table := lake.find(GOLD, mart.name)) is not None:
            referred.add(json.loads(table.properties.get(INPUT_SNAPSHOTS, "{}")).get(name))
    for contract in domain.tables:
        if (table := lake.find(SILVER, contract.lake_name)) is not None:
            referred.add(table.properties.get(f"{ENRICHED_FROM}{name}"))
    referred.add(FollowerOffset.read(read_properties(lake), name).snapshot_id)
    return {int(snapshot) for snapshot in referred if snapshot is not None}
