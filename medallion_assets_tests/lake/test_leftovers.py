"""Writers that die, at every file and every commit they make: nobody sees what they left, and it is cleaned."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFile
from pyiceberg.table import Table

from medallion_assets.lake import file_io, maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import ABANDONED, compact, expire, remove_orphans
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.lake.snapshot import Contents
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows, stored

NOW = dt.timedelta(0)


class Died(BaseException):
    """The process is gone."""


@contextmanager
def dying_at(step: int) -> Iterator[list[str]]:
    """The process dies at that step: after half a file, before a commit, or after it. Yields the steps so far."""
    create, commit = PyArrowFile.create, Table._do_commit
    steps: list[str] = []

    def reach(name: str) -> None:
        steps.append(name)
        if len(steps) > step:
            raise Died(name)

    def half_written(self: PyArrowFile, overwrite: bool = False) -> Any:
        if len(steps) == step:
            with create(self, overwrite) as stream:
                stream.write(b"half")
        reach(f"file {self.location.rpartition('.')[2]}")
        return create(self, overwrite)

    def half_committed(self: Table, *arguments: Any) -> None:
        reach("before a commit")
        commit(self, *arguments)
        reach("after a commit")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PyArrowFile, "create", half_written)
        patch.setattr(Table, "_do_commit", half_committed)
        yield steps


def needed(table: Table) -> set[str]:
    """What the metadata of a table with one snapshot leads to."""
    (snapshot,) = table.snapshots()
    contents = Contents.of(table, snapshot.snapshot_id)
    return {
        table.metadata_location,
        *(entry.metadata_file for entry in table.metadata.metadata_log),
        snapshot.manifest_list,
        *(manifest.manifest_path for manifest, _ in contents.manifests),
        *(file.file_path for file in [*contents.data_files(), *contents.delete_files()]),
    }


def by_merge(lake: Lake, table: Table) -> None:
    changes = rows(ORDERS, order("a", 2), order("b", 1))
    publish(lake, table, stage_merge(lake, table, changes, key=["id"]))


def by_replace(lake: Lake, table: Table) -> None:
    fresh = rows(ORDERS, order("a", 2), order("b", 1))
    publish(lake, table, stage_replace(lake, table, fresh))


@pytest.mark.parametrize("act", [by_merge, by_replace])
def test_what_a_writer_left_at_any_step_is_never_seen_and_goes_in_a_day(
    lake: Lake, act: Callable[[Lake, Table], None]
) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1)))
    before = [("a", f"{1:040}")]
    after = [("a", f"{2:040}"), ("b", f"{1:040}")]
    found, step = before, 0
    while found == before:
        with dying_at(step) as reached, pytest.raises(Died):
            act(lake, lake.table("silver", "orders"))
        found = read(lake, lake.table("silver", "orders"), ["id", "_sequence_number"])
        step += 1
    assert found == after
    assert reached[-1] == "after a commit" and len(reached) >= 6, "died last in the moment it was published"
    merge(lake, lake.table("silver", "orders"), rows(ORDERS, order("a", 3)))

    tidied = lake.table("silver", "orders")
    published = read(lake, tidied, ["id", "_sequence_number"])
    assert remove_orphans(lake, tidied) == 0, "their writers may be alive"
    expire(lake, tidied, older_than=NOW)
    assert remove_orphans(lake, tidied, older_than=NOW) > 0
    assert stored(lake) == needed(tidied)
    assert read(lake, tidied, ["id", "_sequence_number"]) == published
    merge(lake, tidied, rows(ORDERS, order("c", 1)))
    assert ("c", f"{1:040}") in read(lake, tidied, ["id", "_sequence_number"])


def test_maintenance_that_dies_is_finished_by_the_next(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 3)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 3)
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    for number in range(4):
        merge(lake, table, rows(ORDERS, order(f"o{number}", 1), order("hot", number)))
    before = read(lake, table, ["id", "_sequence_number"])

    def maintain() -> None:
        compact(lake, table)
        expire(lake, table, older_than=NOW)
        remove_orphans(lake, table, older_than=NOW)

    delete = file_io.delete_files
    step = 0
    while True:
        with dying_at(step) as steps, suppress(Died):
            maintain()
            break
        assert read(lake, lake.table("silver", "orders"), ["id", "_sequence_number"]) == before, steps
        step += 1
    assert step >= 7
    merge(lake, table, rows(ORDERS, order("hot", 9)))

    def dies(io: FileIO, paths: set[str]) -> None:
        delete(io, sorted(paths)[:1])
        raise Died

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
        patch.setattr(maintenance, "delete_files", dies)
        expire(lake, table, older_than=NOW)
    maintain()
    assert stored(lake) == needed(table)


def test_a_branch_of_somebodys_own_stays_however_old(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1)))
    table.manage_snapshots().create_branch(table.metadata.current_snapshot_id, "experiment").commit()  # type: ignore[arg-type]
    merge(lake, table, rows(ORDERS, order("b", 1)))
    expire(lake, table, older_than=NOW)
    remove_orphans(lake, table, older_than=NOW)
    assert [id for (id,) in read(lake, table, ["id"], table.refs()["experiment"].snapshot_id)] == ["a"]
    assert [id for (id,) in read(lake, table, ["id"])] == ["a", "b"]


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_the_age_that_counts_is_the_files_own(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1)))
    young, old = (Path(table.location(), "data", name) for name in ("young.parquet", "old.parquet"))
    for path, age in ((young, ABANDONED - dt.timedelta(minutes=1)), (old, ABANDONED + dt.timedelta(minutes=1))):
        path.write_bytes(b"left")
        moment = (dt.datetime.now(dt.UTC) - age).timestamp()
        os.utime(path, (moment, moment))
    for needed_path in map(Path, needed(table)):
        os.utime(needed_path, (0, 0))
    assert remove_orphans(lake, table) == 1
    assert young.exists() and not old.exists()
    assert [id for (id,) in read(lake, table, ["id"])] == ["a"]
