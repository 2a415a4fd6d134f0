"""The rows of `ops.dropped_files`: what was done with each file.

Belongs here: reading and writing them. Does not belong here: the table's columns and its writer (ops).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from medallion_assets.dropped.inbox import DroppedFile
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import DROPPED_FILES
from medallion_assets.ops.upsert import upsert

State = Literal["taking", "taken", "repeated", "rejected"]


@dataclass(frozen=True)
class FileRecord:
    """One row.

    - file: the key, `<table>/<hash>/<name>`
    - rows, faults: of the whole file; None of a repeated one, which is not read
    - silver_snapshot_id, deleted_snapshot_id: the snapshots whose changes the rows follow; None: of no change
    """

    file: str
    table_name: str
    name: str
    hash: str
    bytes: int
    modified_at: datetime
    state: State
    rows: int | None
    faults: int | None
    silver_snapshot_id: int | None
    deleted_snapshot_id: int | None
    moved_to: str | None
    run_id: str
    recorded_at: datetime

    def write(self, lake: Lake) -> None:
        """Write the row in place of an earlier one of the file. Raises LakeUnavailable, CommitConflict."""
        upsert(lake, DROPPED_FILES, [self.__dict__])


def file_key(table_name: str, hash_: str, file: DroppedFile) -> str:
    """Return the key of a file's row."""
    return f"{table_name}/{hash_}/{file.name}"


def find_records(lake: Lake, table_name: str, hash_: str) -> list[FileRecord]:
    """Return the rows of the files of a table that have this content. Raises LakeUnavailable."""
    table = DROPPED_FILES.find(lake)
    if table is None:
        return []
    with lake.duckdb() as connection:
        found = connection.execute(
            f"SELECT * FROM {lake.scan_sql(table, None)} WHERE table_name = $table AND hash = $hash",
            {"table": table_name, "hash": hash_},
        ).to_arrow_table()
    return [FileRecord(**row) for row in found.to_pylist()]
