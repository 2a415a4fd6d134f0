"""Whether a Silver table contains a Bronze object, decided by the object's rows.

Belongs here: that one question. It is asked where no snapshot names the object: for an object that appeared in Bronze
too late, and for one whose batch changed nothing, because such a batch commits no snapshot.
"""

from __future__ import annotations

import duckdb

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.silver.bronze import read_object
from medallion_assets.silver.decode import decode
from medallion_assets.silver.table import EVENT_ID, QUARANTINE, SEQUENCE, SILVER


def silver_contains(lake: Lake, store: BronzeStore, contract: Contract, name: str) -> bool:
    """Return whether each change in the object is in the published table, replaced by a newer one, or in quarantine.

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
        published = _scan(lake, SILVER, contract, f"{keys}, {SEQUENCE} AS newest") or (
            f"SELECT {keys}, {SEQUENCE} AS newest FROM changes WHERE FALSE"
        )
        quarantined = _scan(lake, QUARANTINE, contract, "event_id") or "SELECT '' AS event_id WHERE FALSE"
        ((left,),) = connection.execute(f"""
            WITH quarantined AS ({quarantined})
            SELECT count(*) FROM (
                SELECT {EVENT_ID} AS event_id FROM changes LEFT JOIN ({published}) USING ({keys})
                WHERE newest IS NULL OR newest < {SEQUENCE}
                UNION ALL SELECT event_id FROM rejected
            ) ANTI JOIN quarantined USING (event_id)""").fetchall()
    return not left


def _scan(lake: Lake, namespace: str, contract: Contract, columns: str) -> str | None:
    """Return SQL of these columns of the table as published; None if it does not exist."""
    table = lake.find(namespace, contract.lake_name)
    return None if table is None else f"SELECT {columns} FROM {lake.scan_sql(table, None)}"
