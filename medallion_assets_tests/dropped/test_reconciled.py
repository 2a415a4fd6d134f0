"""A comparison with the source knows rows that only a file has; a repair leaves them, and corrects all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.repair.repair import repair
from medallion_assets_tests.dropped.folder import Folder, folder_on_files, machines
from medallion_assets_tests.repair.source import Clock, Items
from medallion_assets_tests.silver.changes import record


def item(key: str, name: str) -> dict[str, Any]:
    return {"Id": {"S": key}, "Name": {"S": name}}


def repaired(folder: Folder, source: Items) -> Comparison:
    clock = Clock(waited=folder.merge)
    clock.time = folder.bench.clock()
    bench = folder.bench
    found = repair(
        bench.lake,
        bench.domain,
        folder.contract,
        source=source,
        store=bench.store,
        reason="test",
        run_id="repair",
        catch_up=clock.catch_up(),
        merge_seconds=60,
    )
    folder.merge()
    return found.comparison


@pytest.mark.parametrize("order", ["older", "newer"])
def test_rows_that_only_a_file_has_are_no_difference(tmp_path: Path, order: str) -> None:
    with folder_on_files(tmp_path, machines(files=order)) as folder:
        source = Items(folder.contract)
        folder.load("a.csv", "Id,Name\nm1,file\nm2,file\nm3,file\n")
        assert repaired(folder, source).agrees, "the source is empty"
        folder.bench.put(record("Machines", 5, {"Id": {"S": "m9"}}, {"Name": {"S": "lost"}}))
        folder.merge()
        source.put(item("m1", "file"))
        source.put(item("m2", "of the source"))
        found = repaired(folder, source)
        assert (found.equal, found.different, found.extra, found.missing) == (1, 1, 1, 0)
        names = {key: row["name"] for key, row in folder.rows().items()}
        assert names == {"m1": "file", "m2": "of the source", "m3": "file"}
        assert repaired(folder, source).agrees
