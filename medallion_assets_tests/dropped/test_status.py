"""The status of dropped files: what waits and since when, what was taken, what was rejected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from medallion_assets.dropped.status import read_dropped_files
from medallion_assets_tests.dropped.folder import folder_on_files, machines


def test_files_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    with folder_on_files(tmp_path, machines()) as folder:
        lake, tables = folder.bench.lake, folder.bench.domain.tables
        (empty,) = read_dropped_files(lake, folder.inbox, tables)
        assert (empty.waiting, empty.taken, empty.rejected, empty.waiting_since) == (0, 0, 0, None)
        folder.load("a.csv", "Id,Name\nm1,x\n")
        folder.load("b.csv", "Id,Amount\nm1,many\n")
        folder.drop("c.csv", "Id,Name\nm2,x\n", age_seconds=300)
        folder.drop("d.csv", "Id,Name\nm3,x\n", age_seconds=30)
        (status,) = read_dropped_files(lake, folder.inbox, tables)
        assert (status.table, status.waiting, status.taking, status.taken, status.rejected) == ("machines", 2, 0, 1, 1)
        assert status.last_taken_at is not None and status.last_rejected_at is not None
        assert status.waiting_since is not None
        assert datetime.now(UTC) - status.waiting_since >= timedelta(seconds=299)
