"""A merge and a query in a container that has less memory than the data: they use the disk, and are not killed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data
from medallion_assets_tests.fixtures.container import run_python

CONTAINER_MB, DUCKDB_MB = 1400, 300
"""Some 250 MB from either side: the query takes 1,150 MB with this share for DuckDB, and 1,700 without."""

TABLE_ROWS, FILE_ROWS, BATCH_ROWS = 10_000_000, 2_500_000, 500_000

ROWS = """
    SELECT 'k' || (i * 7919 % 100000007) AS id, lpad(({version} + i)::VARCHAR, 40, '0') AS _sequence_number
    FROM range({first}, {last}) r(i)"""

WORK = """
import sys, duckdb
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish

settings, changes = LakeSettings.model_validate_json(sys.argv[1]), sys.argv[2]
with Lake.open(settings) as lake, lake.duckdb() as connection:
    table = lake.table("silver", "big")
    staged = stage_merge(lake, table, connection.execute(changes).to_arrow_table(), key=["id"])
    publish(lake, table, staged)
    grouped = f"SELECT id, max(_sequence_number) AS newest FROM {lake.scan_sql(table, None)} GROUP BY id"
    ((groups,),) = connection.execute(f"SELECT count(newest) FROM ({grouped})").fetchall()
print(staged.updated, groups)
"""


@pytest.mark.slow
def test_a_merge_and_a_query_of_more_than_the_memory_use_the_disk_where_their_share_is_said(tmp_path: Path) -> None:
    settings = LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region="eu-central-1")
    with duckdb.connect() as source, Lake.open(settings) as lake:
        for first in range(0, TABLE_ROWS, FILE_ROWS):
            rows = source.execute(ROWS.format(version=0, first=first, last=first + FILE_ROWS)).to_arrow_table()
            table = lake.ensure("silver", "big", rows.schema, key=["id"])
            files = write_data(table, rows, sort_by=["id"], prune_by=["id", "_sequence_number"])
            contents = Contents.of(table, table.metadata.current_snapshot_id)
            publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))

    changes = ROWS.format(version=1, first=0, last=BATCH_ROWS)
    killed = run_python(WORK, settings.model_dump_json(), changes, memory_mb=CONTAINER_MB)
    assert killed.returncode == -9, "DuckDB takes the machine's memory for its own"
    share = settings.model_copy(update={"duckdb_memory_mb": DUCKDB_MB, "spill_folder": str(tmp_path)})
    done = run_python(
        WORK, share.model_dump_json(), ROWS.format(version=2, first=0, last=BATCH_ROWS), memory_mb=CONTAINER_MB
    )
    assert (done.returncode, done.stdout) == (0, f"{BATCH_ROWS} {TABLE_ROWS}\n"), done.stderr
    assert not list(tmp_path.glob("medallion-spill-*")), "what went to the disk is gone with the process"
