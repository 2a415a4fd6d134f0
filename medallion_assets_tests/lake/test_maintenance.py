from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from decimal import Decimal
from itertools import islice

import pytest
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from medallion_assets.lake import commit, maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged
from medallion_assets.lake.history import changed_rows
from medallion_assets.lake.maintenance import compact, expire
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import discard, publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows, stored

NOW = dt.timedelta(0)
COLUMNS = ["id", "day", "amount", "_sequence_number"]
PARTITIONING = pytest.mark.parametrize("partition_by", [[], [("day", "month")]], ids=["", "partitioned"])


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact after a few commits, so that tests need only a few."""
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 6)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 4)


def busy(lake: Lake, commits: int, partition_by: list[tuple[str, str]] | None = None) -> Table:
    """A table after that many small commits: a new row, one that changes every time, one that changes its month."""
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=partition_by or [])
    merge(lake, table, rows(ORDERS, *(order(f"big{n:04}", 1, day=dt.date(2026, 1, 5)) for n in range(500))))
    for n in range(1, commits):
        merge(
            lake,
            table,
            rows(
                ORDERS,
                order(f"n{n}", 1, day=dt.date(2026, 1, 5)),
                order("hot", n, amount=Decimal(n)),
                order("moving", n, day=dt.date(2026, 1 + n % 2, 1)),
                order(f"big{n:04}", n + 1, day=dt.date(2026, 1, 5), amount=Decimal(n)),
            ),
        )
    return table


def files_of_snapshots(lake: Lake) -> set[str]:
    """Every file of the tables but the metadata files, which go with later commits."""
    return {location for location in stored(lake) if not location.endswith(".json")}


def data_files(table: Table) -> list[DataFile]:
    return Contents.of(table, table.metadata.current_snapshot_id).data_files()


@pytest.mark.both_lakes
@PARTITIONING
def test_compaction_changes_files_and_no_row(lake: Lake, partition_by: list[tuple[str, str]]) -> None:
    table = busy(lake, 8, partition_by)
    before, rows_before = Contents.of(table, table.metadata.current_snapshot_id), read(lake, table, COLUMNS)
    assert compact(lake, table) is not None
    after = Contents.of(table, table.metadata.current_snapshot_id)
    assert read(lake, table, COLUMNS) == rows_before
    assert len(after.data_files()) < len(before.data_files()) / 2
    assert len(after.delete_files()) <= len({file.partition for file in after.data_files()})
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation is Operation.REPLACE
    assert snapshot.summary["total-records"] == str(sum(file.record_count for file in after.data_files()))
    assert snapshot.summary["total-delete-files"] == str(len(after.delete_files()))


@PARTITIONING
def test_merges_go_on_after_compaction_as_before(lake: Lake, partition_by: list[tuple[str, str]]) -> None:
    table = busy(lake, 8, partition_by)
    compact(lake, table)
    changes = rows(ORDERS, order("hot", 100, amount=Decimal(7)), order("n3", 0), order("big0400", 9), order("x", 1))
    staged = merge(lake, table, changes)
    assert (staged.inserted, staged.updated, staged.superseded) == (1, 2, 1)
    assert ("hot", Decimal("7.00")) in read(lake, table, ["id", "amount"])
    assert len(read(lake, table, ["id"])) == 500 + 7 + 3


def test_compaction_waits_for_enough_commits_and_does_not_repeat_itself(lake: Lake) -> None:
    table = busy(lake, maintenance.COMMITS_BETWEEN - 1)
    assert compact(lake, table) is None
    merge(lake, table, rows(ORDERS, order("one more", 1)))
    assert compact(lake, table) is not None
    assert compact(lake, table) is None


def test_a_larger_file_is_not_written_again_for_smaller_ones(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every compaction would write the whole table again."""
    monkeypatch.setattr(maintenance, "SMALLEST_BYTES", 1)
    table = busy(lake, 2)
    hashes = (hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(2000))
    merge(lake, table, rows(ORDERS, *(order(name, 1) for name in hashes)))
    largest = max(data_files(table), key=lambda file: file.file_size_in_bytes)
    for _ in range(2):
        for n in range(6):
            merge(lake, table, rows(ORDERS, order(f"later{n}", len(table.snapshots()))))
        assert compact(lake, table) is not None
        assert largest in data_files(table)
        assert len(data_files(table)) < 6


def test_one_compaction_writes_a_bounded_part_and_the_next_goes_on(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge of the table waits for a compaction."""
    table = busy(lake, 8, [("day", "month")])
    before, rows_before = len(data_files(table)), read(lake, table, COLUMNS)
    smallest = min(file.file_size_in_bytes for file in data_files(table))
    monkeypatch.setattr(maintenance, "MOST_BYTES", 5 * smallest)
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 0)
    counts = [before]
    while compact(lake, table) is not None:
        counts.append(len(data_files(table)))
        assert counts[-2] - counts[-1] < 5
        assert read(lake, table, COLUMNS) == rows_before
    assert len(counts) > 3
    assert max(Counter(str(file.partition) for file in data_files(table)).values()) < maintenance.FOLD_FILES


def test_files_with_some_deleted_rows_are_rewritten_in_turn_while_little_is_stored_twice(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(maintenance, "EARLY_SHARE", 0.01)
    monkeypatch.setattr(maintenance, "REPLACED_PART", 0.25)
    months, names = 8, [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(64_000)]
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[("day", "month")])

    def change(first: int, orders: int, number: int) -> None:
        numbers = [n % len(names) for n in range(first, first + orders)]
        merge(
            lake, table, rows(ORDERS, *(order(names[n], number, day=dt.date(2026, 1 + n % months, 5)) for n in numbers))
        )

    change(0, len(names), 1)
    paths = {file.file_path for file in data_files(table)}
    numbers = iter(range(2, 1000))

    def untouched_after_a_round() -> int:
        for number in islice(numbers, maintenance.COMMITS_BETWEEN):
            change(150 * number, 150, number)
        assert compact(lake, table) is not None
        return len(paths & {file.file_path for file in data_files(table)})

    assert len(paths) == months
    without_expiry = [untouched_after_a_round() for _ in range(3)]
    assert without_expiry[0] == without_expiry[-1] in {months - 1, months - 2}
    untouched = [without_expiry[-1]]
    while untouched[-1]:
        expire(lake, table, older_than=NOW)
        untouched.append(untouched_after_a_round())
        assert untouched[-2] - untouched[-1] <= 2
    changed = 150 * maintenance.COMMITS_BETWEEN * (len(without_expiry) + len(untouched))
    assert changed < maintenance.DELETED_SHARE * len(names), "without the turns no file has been rewritten yet"


def test_compaction_is_no_change_to_history(lake: Lake) -> None:
    table = busy(lake, 8)
    since = table.metadata.current_snapshot_id
    compact(lake, table)
    merge(lake, table, rows(ORDERS, order("hot", 100, amount=Decimal(100)), order("fresh", 1)))
    until = table.metadata.current_snapshot_id
    assert until is not None
    found = changed_rows(lake, table, since=since, until=until, columns=["id", "amount"])
    assert found is not None
    assert sorted((row["id"], row["_side"]) for row in found.to_pylist()) == [
        ("fresh", "new"),
        ("hot", "new"),
        ("hot", "old"),
    ]


def test_compaction_that_loses_a_race_changes_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = busy(lake, 8)

    def late(lake: Lake, compacted: Table, staged: Staged) -> None:
        merge(lake, lake.table("silver", "orders"), rows(ORDERS, order("hot", 100, amount=Decimal(1))))
        publish(lake, compacted, staged)

    monkeypatch.setattr(maintenance, "publish", late)
    assert compact(lake, table) is None, "it is left to the next commit"
    monkeypatch.setattr(maintenance, "publish", publish)
    table.refresh()
    assert ("hot", Decimal("1.00")) in read(lake, table, ["id", "amount"])
    assert compact(lake, table) is not None
    assert ("hot", Decimal("1.00")) in read(lake, table, ["id", "amount"])


def test_expiry_keeps_what_is_needed_and_deletes_the_rest(lake: Lake) -> None:
    table = busy(lake, 8)
    compact(lake, table)
    kept = merge(lake, table, rows(ORDERS, order("hot", 100))).snapshot_id
    merge(lake, table, rows(ORDERS, order("hot", 101)))
    left = stage_merge(lake, table, rows(ORDERS, order("left", 1)), key=["id"])
    discard(lake, table, left)
    assert kept is not None
    before, files_before = read(lake, table, COLUMNS), files_of_snapshots(lake)
    assert expire(lake, table, keep=[kept], older_than=dt.timedelta(hours=1)) == 0, "readers may be on them"
    expired = expire(lake, table, keep=[kept], older_than=NOW)
    assert expired == 8 + 1
    assert {s.snapshot_id for s in table.snapshots()} == {kept, table.metadata.current_snapshot_id}
    assert read(lake, table, COLUMNS) == before
    assert len(read(lake, table, ["id"], kept)) == len(before)
    until = table.metadata.current_snapshot_id
    assert until is not None
    assert changed_rows(lake, table, since=kept, until=until, columns=["id"]) is not None
    assert len(files_of_snapshots(lake)) < len(files_before) / 2
    merge(lake, table, rows(ORDERS, order("hot", 102, amount=Decimal(102))))
    assert ("hot", Decimal("102.00")) in read(lake, table, ["id", "amount"])


@pytest.mark.both_lakes
def test_expiry_leaves_no_file_of_a_forgotten_snapshot_and_none_missing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests that were written as one: the old ones go, the files they name are still live."""
    monkeypatch.setattr(commit, "SMALL_MANIFESTS", 3)
    table = busy(lake, 5)
    before = read(lake, table, COLUMNS)
    expire(lake, table, older_than=NOW)
    assert read(lake, table, COLUMNS) == before
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    needed = {file.file_path for file in [*contents.data_files(), *contents.delete_files()]}
    needed |= {manifest.manifest_path for manifest, _ in contents.manifests} | {snapshot.manifest_list}
    assert files_of_snapshots(lake) == needed
