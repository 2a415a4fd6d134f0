"""Rebuild a table of the lake: Silver from Bronze, a mart from its inputs.

Belongs here: the act. Does not belong here: merging (silver), refreshing (gold), and rows that differ from the source,
which need no new table (repair).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import takewhile

from medallion_assets.bronze.days import capture_days
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.engines.engine import Engine
from medallion_assets.errors import LakeDamaged
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.schema import iceberg_schema, stored_types
from medallion_assets.repair.rebuild_history import rebuild_history
from medallion_assets.repair.rebuilt import Rebuilt
from medallion_assets.repair.replace_mart import replace_mart
from medallion_assets.repair.replace_silver import replace_silver
from medallion_assets.repair.require_published import require_published
from medallion_assets.silver.batches import merge_pending, remerge_day
from medallion_assets.silver.table import DELETED, HISTORY, QUARANTINE, SILVER, deleted_schema


def rebuild(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    marts: Collection[Mart],
    *,
    layer: str,
    name: str,
    run_id: str,
    now: datetime,
    engine: Engine,
) -> Rebuilt:
    """Rebuild a table.

    A Silver table or mart that the catalog can load is made beside the old one and takes its place in one step, unless
    the table of its deleted keys has other key columns. Any other table is removed from the catalog first, also if its
    files cannot be read. Then a table of Silver is merged
    from all of Bronze, together with the table of its deleted keys; a table of quarantine is filled again, without what
    was decided by hand; a mart is computed; a table of `ops` is left to the next run of `observe`. Marts over a Silver
    table are not touched: the next run computes them. Raises AuditFailed if a batch or the mart is not published, and
    as replace_silver does; CorruptObject, LakeUnavailable, and what the engine raises.
    """
    if layer == GOLD and _can_load(lake, layer, name):
        (mart,) = (one for one in marts if one.name == name)
        return Rebuilt((), 0, replace_mart(lake, mart, engine=engine, run_id=run_id, now=now), replaced=True)
    if layer == SILVER and _can_load(lake, layer, name) and _has_its_keys(lake, domain.by_name[name]):
        done = replace_silver(lake, store, domain, domain.by_name[name], run_id=run_id, now=now)
        return Rebuilt((), done.days, done.changes, replaced=True)
    if layer == HISTORY:
        return rebuild_history(lake, store, domain, domain.by_name[name], run_id=run_id, now=now)
    dropped = [SILVER, DELETED] if layer in (SILVER, DELETED) else [layer]
    removed = tuple(f"{one}.{name}" for one in dropped if lake.drop(one, name))
    if layer == GOLD:
        (mart,) = (one for one in marts if one.name == name)
        mart_done = refresh(lake, mart, today=now.date(), now=now, run_id=run_id, whole=True, engine=engine)
        require_published(f"gold.{name}", mart_done.checks, published=mart_done.published)
        return Rebuilt(removed, 0, mart_done.rows)
    if name not in domain.by_name or layer not in (SILVER, DELETED, QUARANTINE):
        return Rebuilt(removed, 0, 0)
    return _from_bronze(lake, store, domain, domain.by_name[name], removed, layer=layer, run_id=run_id, now=now)


def _can_load(lake: Lake, layer: str, name: str) -> bool:
    try:
        return lake.find(layer, name) is not None
    except LakeDamaged:
        return False


def _has_its_keys(lake: Lake, contract: Contract) -> bool:
    """Return whether the contract's deleted keys, if there are any, have the contract's key columns."""
    table = lake.find(DELETED, contract.lake_name)
    if table is None:
        return True
    wanted = stored_types(iceberg_schema(deleted_schema(contract), contract.key_names))
    present, keys = stored_types(table.schema()), table.schema().identifier_field_names()
    names = [(one.name, one.name if one.name in present else one.renamed_from) for one in contract.key_columns]
    return keys == {old for _, old in names} and all(wanted[name] == present[str(old)] for name, old in names)


def _from_bronze(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    contract: Contract,
    removed: tuple[str, ...],
    *,
    layer: str,
    run_id: str,
    now: datetime,
) -> Rebuilt:
    merge = remerge_day if layer == QUARANTINE else merge_pending
    days = rows = 0
    for day in takewhile(lambda day: day <= now.date(), capture_days(store, contract.table)):
        days += 1
        for batch in merge(lake, store, contract, domain, day=day, run_id=run_id, now=now):
            require_published(f"silver.{contract.lake_name} of {day}", batch.checks, published=batch.published)
            rows += batch.rows_in
    return Rebuilt(removed, days, rows)
