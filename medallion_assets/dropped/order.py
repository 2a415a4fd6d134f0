"""The version of a file's rows among the changes of their keys, by what the contract says of its files.

- `older`: before every change of a stream. Of two such files the one that was modified later wins.
- `newer`: after the newest change of its key that Silver has when the file is taken, before every later one.

Belongs here: the stream and the sequence number of a row. Does not belong here: which row of a key wins (silver).

Rows of files come from no stream, so their `stream_arn` names the file. The rows of one file are of one time, that of
its modification: a file that is taken again after a crash gets the same versions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pyiceberg.table import Table

from medallion_assets.capture.sequence import UNLABELLED_STREAM, pad_sequence
from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.check import IMAGE, KEYS, ROW
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal
from medallion_assets.silver.table import VERSION, version_sql

_MICROSECOND: Final = timedelta(microseconds=1)


def rows_sql(prepared: Path, known: str | None, contract: Contract) -> str:
    """Return SQL of ROW, KEYS, IMAGE and the newest known change of the key, VERSION; null if none is known.

    `known` is SQL of key and version of known changes; a key may stand in it more than once. The rows are in no order,
    because DuckDB would need the memory of all of them to sort them.
    """
    file = f"read_parquet({literal(str(prepared))})"
    created, number = VERSION
    if known is None:
        return f"SELECT {ROW}, {KEYS}, {IMAGE}, NULL AS {created}, NULL AS {number} FROM {file}"
    key = ", ".join(map(identifier, contract.key_names))
    return f"""
        SELECT {ROW}, {KEYS}, {IMAGE}, v.created AS {created}, v.number AS {number}
        FROM {file} LEFT JOIN (
            SELECT {key}, max({version_sql()}) AS v
            FROM {known} SEMI JOIN (SELECT {key} FROM {file}) USING ({key}) GROUP BY {key}) USING ({key})"""


def known_changes_sql(lake: Lake, contract: Contract, tables: list[tuple[Table, int]]) -> str | None:
    """Return SQL of key and version of the changes in these snapshots of Silver and of its deleted keys."""
    columns = ", ".join([*map(identifier, contract.key_names), *VERSION])
    parts = [f"SELECT {columns} FROM {lake.scan_sql(table, snapshot)}" for table, snapshot in tables]
    return f"({' UNION ALL '.join(parts)})" if parts else None


def version(hash_: str, modified_at: datetime, newest: tuple[datetime, str] | None) -> tuple[str, str]:
    """Return `stream_arn` and sequence number of a row of the file with this hash.

    `newest` is the version of the newest known change of its key that the row shall follow; None: of no change.
    """
    microseconds = (modified_at - UNLABELLED_STREAM) // _MICROSECOND
    if newest is None:
        return f"file:{hash_}", f"{pad_sequence(0)}+{microseconds:016d}"
    created, known = newest
    number, _, before = known.partition("+")
    label = "" if created == UNLABELLED_STREAM else f"/stream/{created:%Y-%m-%dT%H:%M:%S.%f}"
    return f"file:{hash_}{label}", f"{number}+{max(microseconds, int(before or 0) + 1):016d}"
