"""Find the newest known change of every key that needs an amendment: in Silver, or in Bronze if Silver lost it.

Silver can have lost changes that it merged: the table was rolled back, or rows were deleted from it. An amendment must
be newer than all of them. Otherwise a rerun of such a day would replace it with an older row. Does not belong here:
which keys differ (reconciliation).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medallion_assets.bronze.chunks import read_chunks
from medallion_assets.capture.naming import floor
from medallion_assets.capture.position import LATEST_WRITE
from medallion_assets.capture.store import BronzeStore
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.fingerprints import of_changes, select
from medallion_assets.reconciliation.reconcile import Reconciliation
from medallion_assets.silver.table import CAPTURED_AT


def with_newest_changes(lake: Lake, store: BronzeStore, found: Reconciliation, folder: Path) -> Reconciliation:
    """Return `found`, each difference with the newest change of its key in Silver or in a merged Bronze object.

    Reads the Bronze objects since the oldest of those Silver rows; all of them if Silver has never seen one of the
    keys. Pending objects are left out: their changes are newer than the amendment. Raises CorruptObject,
    LakeUnavailable, SettingsError.
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
    pending = set(found.position.pending(store, table))
    names = [name for name in store.list(table, after=after) if name not in pending]
    if not names:
        return found
    chunks = (chunk.rows for chunk in read_chunks(store, names))
    changes = of_changes(lake, found.contract, chunks, folder / "changes", only=found.confirmed)
    newest = f"(SELECT _key_hash, max(_version) AS _newest FROM {changes.sql} GROUP BY ALL)"
    known = select(
        lake,
        f"SELECT c.* REPLACE (greatest(c._newest, n._newest) AS _newest) "
        f"FROM {found.confirmed.sql} c LEFT JOIN {newest} n USING (_key_hash)",
        folder / "known",
    )
    return replace(found, confirmed=known)
