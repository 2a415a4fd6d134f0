"""Maintain one table of a domain, and keep the history that the next refresh has to compare with.

Belongs here: which snapshots other tables refer to. Does not belong here: how a table is compacted (lake.maintenance).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import timedelta

from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.names import schema_and_table
from medallion_assets.gold.changes import INPUT_SNAPSHOTS
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import ABANDONED, compact, expire, remove_orphans
from medallion_assets.ledger.offset import FollowerOffset, read_properties
from medallion_assets.silver.table import ENRICHED_FROM, SILVER


def maintain(
    lake: Lake,
    domain: Domain,
    marts: Collection[Mart],
    *,
    layer: str,
    name: str,
    older_than: timedelta = timedelta(hours=1),
    abandoned: timedelta = ABANDONED,
) -> int:
    """Compact one table and expire its snapshots older than `older_than`. Return how many expired; 0 without a table.

    Files that a dead writer left are removed at the age `abandoned`. A Silver table or a mart keeps its
    history back to the snapshots that marts and enriched tables were last computed from, a Silver table also back to
    the ledger's offset. Raises LakeUnavailable, CommitConflict.
    """
    table = lake.find(layer, name)
    if table is None:
        return 0
    compact(lake, table, sort_by=next((mart.sort_order for mart in marts if (layer, name) == (GOLD, mart.name)), None))
    keep = _read_by_marts(lake, marts, layer, name)
    if layer == SILVER:
        keep |= _read_by_silver(lake, domain, name)
    expired = expire(lake, table, keep=keep, older_than=older_than)
    remove_orphans(lake, table, older_than=abandoned)
    return expired


def _read_by_marts(lake: Lake, marts: Iterable[Mart], layer: str, name: str) -> set[int]:
    """Return the snapshots of a table that the marts which read it were last computed from."""
    found = set()
    for mart in marts:
        for read in mart.inputs:
            if schema_and_table(read) == (layer, name) and (table := lake.find(GOLD, mart.name)) is not None:
                found.add(json.loads(table.properties.get(INPUT_SNAPSHOTS, "{}")).get(read))
    return {snapshot for snapshot in found if snapshot is not None}


def _read_by_silver(lake: Lake, domain: Domain, name: str) -> set[int]:
    """Return the snapshots of a Silver table that other Silver tables were enriched from and the ledger has read."""
    found = {FollowerOffset.read(read_properties(lake), name).snapshot_id}
    for contract in domain.tables:
        if (table := lake.find(SILVER, contract.lake_name)) is not None:
            text = table.properties.get(f"{ENRICHED_FROM}{name}")
            found.add(int(text) if text is not None else None)
    return {snapshot for snapshot in found if snapshot is not None}
