from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError

from medallion_assets.errors import CommitConflict, LakeUnavailable
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import discard, publish
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows, stored


@pytest.fixture
def table(lake: Lake) -> Table:
    made = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, made, rows(ORDERS, order("a", 1)))
    return made


@pytest.fixture
def other_lake(lake: Lake) -> Iterator[Lake]:
    """Another process's handle on the same lake."""
    with Lake.open(lake.settings) as opened:
        yield opened


def stage(lake: Lake, table: Table, *changes: dict[str, Any]) -> Staged:
    return stage_merge(lake, table, rows(ORDERS, *changes), key=["id"])


@pytest.mark.both_lakes
def test_nobody_sees_a_staged_row_before_it_is_published(lake: Lake, table: Table, other_lake: Lake) -> None:
    staged = stage(lake, table, order("a", 2, amount=Decimal(1)), order("b", 1))
    assert read(lake, staged.applied_to(table), ["id", "amount"]) == [("a", Decimal("1.00")), ("b", None)]
    assert read(other_lake, other_lake.table("silver", "orders"), ["id", "amount"]) == [("a", None)]
    publish(lake, table, staged, properties={"medallion.position": "p1"})
    seen = other_lake.table("silver", "orders")
    assert read(other_lake, seen, ["id", "amount"]) == [("a", Decimal("1.00")), ("b", None)]
    assert seen.properties["medallion.position"] == "p1"
    assert len(seen.metadata.metadata_log) == 2, (
        "one commit for the staged rows, after the one that made the table and the first rows"
    )


def test_the_first_rows_of_a_table_are_staged_too(lake: Lake, other_lake: Lake) -> None:
    table = lake.ensure("silver", "empty", ORDERS, key=["id"])
    staged = stage(lake, table, order("a", 1))
    assert staged.base_snapshot_id is None
    assert read(other_lake, other_lake.table("silver", "empty"), ["id"]) == []
    assert read(lake, staged.applied_to(table), ["id"]) == [("a",)]
    publish(lake, table, staged)
    assert read(other_lake, other_lake.table("silver", "empty"), ["id"]) == [("a",)]


@pytest.mark.both_lakes
def test_main_that_moved_meanwhile_is_a_conflict_and_planning_again_loses_nothing(
    lake: Lake, table: Table, other_lake: Lake
) -> None:
    mine = stage(lake, table, order("a", 3), order("mine", 1))
    merge(other_lake, other_lake.table("silver", "orders"), rows(ORDERS, order("a", 2), order("theirs", 1)))
    with pytest.raises(CommitConflict, match="try again"):
        publish(lake, table, mine, properties={"medallion.position": "lost"})
    assert "medallion.position" not in lake.table("silver", "orders").properties
    again = stage(lake, table, order("a", 3), order("mine", 1))
    publish(lake, table, again)
    assert [id for (id,) in read(lake, table, ["id"])] == ["a", "mine", "theirs"]
    assert again.updated == 1


@pytest.mark.both_lakes
def test_two_publishers_at_the_same_moment_do_not_both_win(
    lake: Lake, table: Table, other_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen main as it was; only the catalog's own comparison can tell them apart."""
    mine = stage(lake, table, order("mine", 1))
    theirs = other_lake.table("silver", "orders")
    their_staged = stage(other_lake, theirs, order("theirs", 1))
    commit = Table._do_commit

    def late(self: Table, *args: Any) -> None:
        monkeypatch.setattr(Table, "_do_commit", commit)
        publish(other_lake, theirs, their_staged)
        commit(self, *args)

    monkeypatch.setattr(Table, "_do_commit", late)
    with pytest.raises(CommitConflict):
        publish(lake, table, mine)
    assert [id for (id,) in read(lake, lake.table("silver", "orders"), ["id"])] == ["a", "theirs"]


def test_writers_racing_with_retries_lose_no_row(lake: Lake, table: Table) -> None:
    conflicts: list[CommitConflict] = []
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with Lake.open(lake.settings) as own:
                handle = own.table("silver", "orders")
                for number in range(3):
                    changes = [order(f"w{writer}-{number}", 1), order("a", 10 * number + writer + 2)]
                    while True:
                        try:
                            publish(own, handle, stage(own, handle, *changes))
                            break
                        except CommitConflict as conflict:
                            conflicts.append(conflict)
        except BaseException as failure:
            failures.append(failure)
            raise

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert failures == []
    assert conflicts, "the race was one"
    table.refresh()
    expected = ["a", *(f"w{writer}-{number}" for writer in range(3) for number in range(3))]
    found = read(lake, table, ["id", "_sequence_number"])
    assert [id for id, _ in found] == expected
    assert int(found[0][1]) == 24, "the highest sequence number of all writers won"


def test_what_a_crash_left_staged_cannot_be_published_later(lake: Lake, table: Table) -> None:
    left = stage(lake, table, order("never", 1))
    publish(lake, table, stage(lake, table, order("b", 1)))
    with pytest.raises(CommitConflict):
        publish(lake, table, left)
    assert [id for (id,) in read(lake, table, ["id"])] == ["a", "b"]


@pytest.mark.both_lakes
def test_a_discarded_stage_leaves_no_file_and_the_table_as_it_was(lake: Lake, table: Table) -> None:
    before = stored(lake)
    staged = stage(lake, table, order("a", 2), order("b", 1))
    assert stored(lake) - before == set(staged.files) and len(staged.files) == 5, "data, deletes, two manifests, a list"
    discard(lake, table, staged)
    assert stored(lake) == before
    publish(lake, table, stage(lake, table, order("c", 1)))
    assert [id for (id,) in read(lake, table, ["id"])] == ["a", "c"]


def test_nothing_to_publish_still_sets_properties_under_the_same_guard(
    lake: Lake, table: Table, other_lake: Lake
) -> None:
    nothing = stage(lake, table, order("a", 1))
    assert not nothing.changed
    publish(lake, table, nothing, properties={"medallion.position": "p2"})
    assert other_lake.table("silver", "orders").properties["medallion.position"] == "p2"
    merge(other_lake, other_lake.table("silver", "orders"), rows(ORDERS, order("b", 1)))
    with pytest.raises(CommitConflict):
        publish(lake, table, nothing, properties={"medallion.position": "p3"})
    assert other_lake.table("silver", "orders").properties["medallion.position"] == "p2"


def test_publishing_twice_is_once(lake: Lake, table: Table) -> None:
    staged = stage(lake, table, order("b", 1))
    publish(lake, table, staged)
    location = table.metadata_location
    publish(lake, table, staged)
    assert table.metadata_location == location


@pytest.mark.both_lakes
@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    commit = Table._do_commit
    lost: dict[str, Exception] = {
        "glue": ReadTimeoutError(endpoint_url="http://127.0.0.1"),
        "sqlite": OperationalError("UPDATE", {}, Exception("disk I/O error")),
    }

    def answer_lost(self: Table, *args: Any) -> None:
        monkeypatch.setattr(Table, "_do_commit", commit)
        if landed:
            commit(lake.table("silver", "orders"), *args)
        raise lost[lake.settings.catalog]

    staged = stage(lake, table, order("b", 1))
    monkeypatch.setattr(Table, "_do_commit", answer_lost)
    if landed:
        publish(lake, table, staged)
        assert [id for (id,) in read(lake, table, ["id"])] == ["a", "b"]
    else:
        with pytest.raises(LakeUnavailable):
            publish(lake, table, staged)
        assert [id for (id,) in read(lake, lake.table("silver", "orders"), ["id"])] == ["a"]


def test_a_repeated_request_refused_for_its_own_first_try_is_a_success(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 repeats a Glue update whose answer was lost; the repeat finds the version taken - by ourselves."""
    staged = stage(lake, table, order("b", 1))
    commit = Table._do_commit

    def twice(self: Table, *args: Any) -> None:
        monkeypatch.setattr(Table, "_do_commit", commit)
        commit(lake.table("silver", "orders"), *args)
        commit(self, *args)

    monkeypatch.setattr(Table, "_do_commit", twice)
    publish(lake, table, staged)
    assert [id for (id,) in read(lake, table, ["id"])] == ["a", "b"]


def test_a_stage_of_one_table_is_not_published_to_another(lake: Lake, table: Table) -> None:
    other = lake.ensure("silver", "other", ORDERS, key=["id"])
    staged = stage(lake, table, order("b", 1))
    with pytest.raises(ValueError, match=r"silver\.orders was staged"):
        publish(lake, other, staged)


def test_an_emulated_catalog_refuses_a_stale_version(aws: object) -> None:
    """What the conflict tests rest on: Glue's VersionId is checked, not ignored."""
    glue = boto3.client("glue")
    glue.create_database(DatabaseInput={"Name": "d"})
    glue.create_table(DatabaseName="d", TableInput={"Name": "t"})
    version = glue.get_table(DatabaseName="d", Name="t")["Table"]["VersionId"]
    glue.update_table(DatabaseName="d", TableInput={"Name": "t"}, VersionId=version)
    with pytest.raises(glue.exceptions.ConcurrentModificationException):
        glue.update_table(DatabaseName="d", TableInput={"Name": "t"}, VersionId=version)
