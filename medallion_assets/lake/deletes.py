"""Gather new position deletes with the small delete files of their partitions, so that each partition keeps few.

A reader opens every delete file before the first row, and one costs it more than a small data file: of 70 delete files
and 78 data files over seven partitions, the delete files were three quarters of a scan.

Belongs here: which delete files a commit replaces. Does not belong here: writing them (write), compaction
(maintenance).
"""

from __future__ import annotations

from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile

from medallion_assets.lake.files import deletes_sql
from medallion_assets.lake.snapshot import Contents

SMALL_BYTES: Final = 8 * 1024
"""A delete file of this size stays, some 2,300 positions: all that are smaller are written again with each commit."""


def gather_deletes(
    connection: duckdb.DuckDBPyConnection, contents: Contents, positions: pa.Table
) -> tuple[pa.Table, list[DataFile], list[DataFile]]:
    """Return what to write in place of `positions` (file_path, pos), which delete rows of the snapshot `contents`.

    These are: all positions to write; the data files of the partitions that they are in; and the delete files to
    remove, whose positions are among those to write.
    """
    data_files = contents.data_files()
    paths = set(pc.unique(positions["file_path"]).to_pylist())
    touched = {(file.spec_id, file.partition) for file in data_files if file.file_path in paths}
    replaced = [
        file
        for file in contents.delete_files()
        if (file.spec_id, file.partition) in touched and file.file_size_in_bytes < SMALL_BYTES
    ]
    if replaced:
        before = connection.execute(f"FROM {deletes_sql(replaced)}").to_arrow_table()
        positions = pa.concat_tables([positions, before.cast(positions.schema)])
    return positions, [file for file in data_files if (file.spec_id, file.partition) in touched], replaced
