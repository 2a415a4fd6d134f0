"""Copies of a snapshot's metadata for DuckDB: what they read, and that they do not stay."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from medallion_assets.lake import local_copy
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("n", pa.int64())])


def _write(lake: Lake, *keys: str, n: int) -> str:
    """Merge rows and return SQL that reads the snapshot."""
    table = lake.ensure("silver", "orders", SCHEMA, key=["id"])
    rows = pa.table({"id": list(keys), "n": [n] * len(keys)}, schema=SCHEMA)
    publish(lake, table, stage_merge(lake, table, rows, key=["id"], order_by=["n"]))
    return lake.scan_sql(lake.table("silver", "orders"), None)


def _read(lake: Lake, scan: str) -> list[tuple[str, int]]:
    with lake.duckdb() as connection:
        return connection.execute(f"SELECT id, n FROM {scan} ORDER BY id").fetchall()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_every_snapshot_has_its_own_rows_and_nothing_stays_after_closing(glue_lake: Lake, folders: Path) -> None:
    first = _write(glue_lake, "a", "b", n=1)
    second = _write(glue_lake, "b", "c", n=2)
    assert _read(glue_lake, first) == [("a", 1), ("b", 1)]
    assert _read(glue_lake, second) == [("a", 1), ("b", 2), ("c", 2)]
    assert len(list(folders.iterdir())) == 1
    glue_lake.close()
    assert list(folders.iterdir()) == []


def test_a_process_that_goes_on_keeps_two_folders(
    glue_lake: Lake, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copy, "KEPT", 1)
    scans = [_write(glue_lake, "a", n=number) for number in range(4)]
    [root] = folders.iterdir()
    assert len(list(root.iterdir())) == 2
    assert _read(glue_lake, scans[-2]) == [("a", 2)]
    assert _read(glue_lake, scans[-1]) == [("a", 3)]


@pytest.mark.parametrize("how", ["root gone", "folder gone", "manifest gone", "manifest cut", "metadata gone"])
def test_copies_that_somebody_took_away_are_written_again(glue_lake: Lake, folders: Path, how: str) -> None:
    _write(glue_lake, "a", n=1)
    table = glue_lake.table("silver", "orders")
    assert _read(glue_lake, glue_lake.scan_sql(table, None)) == [("a", 1)]
    [root] = folders.iterdir()
    [folder] = root.iterdir()
    if how == "root gone":
        shutil.rmtree(root)
    elif how == "folder gone":
        shutil.rmtree(folder)
    for path in folder.glob("*.json" if how == "metadata gone" else "*-m0.avro"):
        content = path.read_bytes()
        path.unlink()
        if how == "manifest cut":
            path.write_bytes(content[:100])
    assert _read(glue_lake, glue_lake.scan_sql(table, None)) == [("a", 1)]
    _write(glue_lake, "b", n=2)
    assert _read(glue_lake, glue_lake.scan_sql(glue_lake.table("silver", "orders"), None)) == [("a", 1), ("b", 2)]
