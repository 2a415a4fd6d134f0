"""What a run remembers of the catalog, and when it forgets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import MetastoreCatalog

from medallion_assets.errors import CommitConflict, TableMissing
from medallion_assets.lake import memory
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.memory import TableMemory
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("n", pa.int64())])


@pytest.fixture
def other(lake: Lake) -> Iterator[Lake]:
    """The same lake, opened by somebody else."""
    with Lake.open(lake.settings) as opened:
        yield opened


def _write(lake: Lake, name: str, key: str, n: int, *, table: object = None) -> None:
    found = lake.ensure("silver", name, SCHEMA, key=["id"]) if table is None else table
    rows = pa.table({"id": [key], "n": [n]}, schema=SCHEMA)
    publish(lake, found, stage_merge(lake, found, rows, key=["id"], order_by=["n"]))  # type: ignore[arg-type]


def _keys(lake: Lake, name: str) -> list[str]:
    with lake.duckdb() as connection:
        rows = connection.execute(f"SELECT id FROM {lake.scan_sql(lake.table('silver', name), None)} ORDER BY id")
        return [key for (key,) in rows.fetchall()]


def test_a_table_is_as_it_was_when_it_was_first_asked_for(lake: Lake, other: Lake) -> None:
    _write(lake, "orders", "a", 1)
    lake.remember_tables(TableMemory())
    assert _keys(lake, "orders") == ["a"]
    _write(other, "orders", "b", 1)
    assert _keys(lake, "orders") == ["a"]
    lake.remember_tables(None)
    assert _keys(lake, "orders") == ["a", "b"]


def test_own_commits_are_seen_at_once(lake: Lake) -> None:
    lake.remember_tables(TableMemory())
    assert lake.find("silver", "orders") is None
    _write(lake, "orders", "a", 1)
    _write(lake, "orders", "b", 1)
    assert _keys(lake, "orders") == ["a", "b"]


def test_a_table_is_asked_for_once_whether_or_not_it_exists(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(lake, "orders", "a", 1)
    asked: list[object] = []
    kind: Any = next(one for one in type(lake._catalog).__mro__[2:] if "load_table" in vars(one))
    load = kind.load_table

    def counted(self: MetastoreCatalog, identifier: object) -> Any:
        asked.append(identifier)
        return load(self, identifier)

    monkeypatch.setattr(kind, "load_table", counted)
    lake.remember_tables(TableMemory())
    for _ in range(3):
        lake.table("silver", "orders")
        assert lake.find("silver", "customers") is None
    assert asked == [("silver", "orders"), ("silver", "customers")]


def test_a_lost_race_makes_it_forget_every_table(lake: Lake, other: Lake) -> None:
    for name in ("orders", "customers"):
        _write(lake, name, "a", 1)
    lake.remember_tables(TableMemory())
    orders = lake.table("silver", "orders")
    lake.table("silver", "customers")
    for name in ("orders", "customers"):
        _write(other, name, "b", 1)
    with pytest.raises(CommitConflict):
        _write(lake, "orders", "c", 1, table=orders)
    assert _keys(lake, "customers") == ["a", "b"]
    _write(lake, "orders", "c", 1)
    assert _keys(lake, "orders") == ["a", "b", "c"]


def test_it_forgets_after_a_while(lake: Lake, other: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(lake, "orders", "a", 1)
    lake.remember_tables(TableMemory())
    with pytest.raises(TableMissing):
        lake.table("silver", "customers")
    lake.table("silver", "orders")
    _write(other, "customers", "b", 1)
    monkeypatch.setattr(memory, "SECONDS", -1.0)
    assert _keys(lake, "customers") == ["b"]


def test_a_table_is_not_remembered_from_before_a_snapshot_that_somebody_has_read(lake: Lake, other: Lake) -> None:
    _write(lake, "orders", "a", 1)
    lake.remember_tables(TableMemory())
    first = lake.table("silver", "orders").metadata.current_snapshot_id
    _write(other, "orders", "b", 1)
    later = other.table("silver", "orders").metadata.current_snapshot_id

    def found(since: int | None) -> int | None:
        table = lake.find_since("silver", "orders", since)
        assert table is not None
        return table.metadata.current_snapshot_id

    assert (found(None), found(first)) == (first, first)
    assert found(later) == later
    assert found(first) == later


def _at_once(*acts: Callable[[], object]) -> None:
    """Run acts in threads, which begin together."""
    together = threading.Barrier(len(acts))

    def begin(act: Callable[[], object]) -> None:
        together.wait(30)
        act()

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(begin, acts))


def test_steps_at_once_ask_for_a_table_once_and_for_the_first_one_before(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(lake, "orders", "a", 1)
    asked: list[object] = []
    kind: Any = next(one for one in type(lake._catalog).__mro__[2:] if "load_table" in vars(one))
    load = kind.load_table

    def slow(self: MetastoreCatalog, identifier: object) -> Any:
        time.sleep(0.02)
        found = load(self, identifier)
        asked.append(identifier)
        return found

    monkeypatch.setattr(kind, "load_table", slow)
    first = ("silver", "orders")
    _write(lake, "customers", "a", 1)
    asked.clear()
    lake.remember_tables(TableMemory(first))
    _at_once(*[lambda: lake.table("silver", "customers"), lambda: lake.find("silver", "orders")] * 3)
    assert asked == [first, ("silver", "customers")]


def test_steps_at_once_remember_each_table_as_it_was_committed_last(lake: Lake) -> None:
    names = ["orders", "customers", "products"]
    lake.remember_tables(TableMemory())

    def writes(name: str) -> None:
        for key in "abc":
            _write(lake, name, key, 1)

    def reads() -> None:
        for name in names * 5:
            lake.find("silver", name)

    _at_once(*[lambda name=name: writes(name) for name in names], reads, reads)
    assert [_keys(lake, name) for name in names] == [["a", "b", "c"]] * 3


def test_what_a_step_committed_after_all_was_forgotten_is_asked_for_again() -> None:
    seen: Any = object()
    tables = TableMemory()
    since = tables.tables()
    tables.committed(("silver", "orders"), seen, since=since)
    assert tables.tables() == {("silver", "orders"): seen}
    tables.forget()
    tables.tables()[("silver", "orders")] = seen  # as another step read it before the commit
    tables.committed(("silver", "orders"), seen, since=since)
    assert tables.tables() == {}
