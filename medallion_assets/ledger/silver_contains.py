"""Whether a Silver table contains a Bronze object, decided by the object's rows.

Belongs here: that one question. It is asked where no snapshot names the object: for an object that appeared in Bronze
too late, and for one whose batch changed nothing, because such a batch commits no snapshot.
"""

from __future__ import annotations

import duckdb

from medallion_assets.bronze.chunks import read_object
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.silver.decode import decode
from medallion_assets.silver.table import EVENT_ID, QUARANTINE, VERSION, version_sql
from medallion_assets.silver.tombstones import newest_changes_sql


def silver_contains(lake: Lake, store: BronzeStore, contract: Contract, name: str) -> bool:
    """Return whether each change in the object is merged, replaced by a newer one, or in quarantine.

    False for an object that cannot be read. Raises LakeUnavailable.
    """
    with lake.duckdb() as connection:
        try:
            decoded = decode(connection, read_object(store, name), contract)
        except (CorruptObject, duckdb.InvalidInputException):
            return False
        keys = ", ".join(identifier(key) for key in contract.key_names)
        connection.register("changes", decoded.rows)
        connection.register("rejected", decoded.rejected)
        merged = newest_changes_sql(lake, contract) or f"(SELECT {keys}, {', '.join(VERSION)} FROM changes WHERE FALSE)"
        table, quarantined = lake.find(QUARANTINE, contract.lake_name), "SELECT '' AS event_id WHERE FALSE"
        if table is not None:
            quarantined = f"SELECT event_id FROM {lake.scan_sql(table, None)}"
        ((left,),) = connection.execute(f"""
            WITH _merged AS (SELECT {keys}, max({version_sql()}) AS _newest FROM {merged} GROUP BY {keys}),
            _quarantined AS ({quarantined})
            SELECT count(*) FROM (
                SELECT {EVENT_ID} AS event_id FROM changes LEFT JOIN _merged USING ({keys})
                WHERE _newest IS NULL OR _newest < {version_sql()}
                UNION ALL SELECT event_id FROM rejected
            ) ANTI JOIN _quarantined USING (event_id)""").fetchall()
    return not left
