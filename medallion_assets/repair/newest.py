"""The newest change that is known of a key that needs an amendment: Silver's own, or one in Bronze that Silver lost.

What a table contains of Bronze can be more than what is in its rows: it was rolled back, or rows were taken out of it.
An amendment must be newer than all of that, or running such a day again would put an older row in its place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medallion_assets.capture.naming import floor
from medallion_assets.capture.position import LATEST_WRITE
from medallion_assets.capture.store import BronzeStore
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.fingerprints import of_changes, select
from medallion_assets.reconciliation.reconcile import Reconciliation
from medallion_assets.silver.bronze import read_chunks
from medallion_assets.silver.table import CAPTURED_AT, SEQUENCE


def with_newest_changes(lake: Lake, store: BronzeStore, found: Reconciliation, folder: Path) -> Reconciliation:
    """`found`, each difference with the newest change of its key in Silver or in a merged Bronze object.

    Reads the objects from the oldest of those Silver rows on: all of them for a key that Silver knows nothing of.
    Objects that Silver does not contain yet are left out: what they hold is newer than the amendment. Raises
    CorruptObject, LakeUnavailable, SettingsError.
    """
    if not found.confirmed.rows:
        return found
    folder.mkdir()
    with lake.duckdb() as connection:
        ((oldest, unknown),) = connection.execute(
            f"SELECT min({CAPTURED_AT}), count(*) FILTER ({CAPTURED_AT} IS NULL) FROM {found.confirmed.sql}"
        ).fetchall()
    table = found.contract.table
    after = None if unknown or oldest is None else floor(table, oldest - LATEST_WRITE)
    waiting = set(found.position.pending(store, table))
    names = [name for name in store.list(table, after=after) if name not in waiting]
    if not names:
        return found
    chunks = (chunk.rows for chunk in read_chunks(store, names))
    changes = of_changes(lake, found.contract, chunks, folder / "changes", only=found.confirmed)
    newest = f"(SELECT _key_hash, max({SEQUENCE}) AS _newest FROM {changes.sql} GROUP BY ALL)"
    known = select(
        lake,
        f"SELECT c.* REPLACE (greatest(c._newest, n._newest) AS _newest) "
        f"FROM {found.confirmed.sql} c LEFT JOIN {newest} n USING (_key_hash)",
        folder / "known",
    )
    return replace(found, confirmed=known)
