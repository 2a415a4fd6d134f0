"""Hours of micro-batches under the project's own maintenance: what is there of a table stays bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.bench.growth import PlayedDay

BATCHES, MINUTES_BETWEEN = 36, 5
# Of one batch: files of data and deletes in seven partitions, manifests, and their list.
BATCH_BYTES = 250 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_files_snapshots_metadata_and_storage_stay_bounded(lake: Lake, tmp_path: Path) -> None:
    """Three hours of a batch every five minutes: an expiry keeps one hour, and the next comes an hour later."""
    day = PlayedDay(lake, open_store(str(tmp_path / "bronze")), maintained=True)
    with day.playing():
        day.load(2_000)
        points = [day.measure(0)]
        for batch in range(BATCHES):
            day.play(1, minutes_between=MINUTES_BETWEEN)
            if batch % 6 == 5:
                points.append(day.measure(batch * MINUTES_BETWEEN))
    assert max(point.most_files for point in points) <= 20
    assert max(point.snapshots for point in points) <= 2 * 60 // MINUTES_BETWEEN * 9 // 8 + 2
    files = [path.name for path in Path(day.table().location()).rglob("*.json")]
    assert len(files) <= 11
    for point in points:
        assert point.metadata_bytes <= 5_000 + 1_600 * point.snapshots
        allowed = point.live_bytes + BATCH_BYTES * point.snapshots + len(files) * point.metadata_bytes
        assert point.stored_bytes <= allowed
