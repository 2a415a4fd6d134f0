"""Compacted copies: what is read through them is what the objects hold, whatever happened to either before."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.bronze import compacted, copies
from medallion_assets.bronze.chunks import read_chunks, read_object
from medallion_assets.bronze.compacted import FOLDER, CompactedCopy, CopyName
from medallion_assets.bronze.object_stats import parse_stats
from medallion_assets.bronze.stats import read_stats
from medallion_assets.capture.store import BronzeStore, Entry
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import CaptureError, CorruptObject
from medallion_assets.maintenance import compact_bronze as maintenance
from medallion_assets.maintenance.compact_bronze import BronzeCompaction, compact_all, compact_bronze
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets_tests.silver.changes import record

TABLE = "Orders"
FIRST_DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 4, 5, tzinfo=UTC)
"""Three days are settled, and the fourth has begun."""

pytestmark = pytest.mark.usefixtures("small_copies")


@pytest.fixture(autouse=True, scope="module")
def small_copies() -> Iterator[None]:
    """Copies of some three objects, row groups of two, used for a single object; all days are always due."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compacted, "MAX_BYTES", 10_000)
        patch.setattr(compacted, "_ROW_GROUP_BYTES", 800)
        patch.setattr(copies, "MIN_OBJECTS", 1)
        patch.setattr(maintenance, "CHECKED_EVERY", timedelta(hours=1))
        yield


class Died(Exception):
    """The process ended here."""


class MortalStore(MemoryStore):
    """Dies at the call whose number is `dies_at`: a write is done before that, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.reads: list[str] = []
        self.dies_at: int | None = None
        self.after_it = False

    def _call(self, act: Callable[[], None] = lambda: None) -> None:
        self.calls += 1
        if self.calls != self.dies_at:
            act()
            return
        if self.after_it:
            act()
        raise Died

    def put(self, path: str, data: bytes) -> None:
        self._call(lambda: super(MortalStore, self).put(path, data))

    def remove(self, path: str) -> None:
        self._call(lambda: super(MortalStore, self).remove(path))

    def read(self, path: str) -> bytes:
        self._call()
        self.reads.append(path)
        return super().read(path)


def put_object(store: BronzeStore, at: datetime, chance: random.Random) -> None:
    """Capture some changes as one object."""
    records = [
        record(TABLE, chance.randrange(10**6), {"Id": {"S": f"o{chance.randrange(50)}"}}, {"Note": {"S": "x" * 9}})
        for _ in range(chance.randint(1, 4))
    ]
    assert write_bronze(records, store=store, captured_at=at) == []


def fill(store: BronzeStore, *, objects: int, seed: int = 0) -> None:
    chance = random.Random(seed)
    for _ in range(objects):
        put_object(store, some_time(chance), chance)


def some_time(chance: random.Random) -> datetime:
    start = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
    return start + timedelta(minutes=chance.randrange(4 * 24 * 6) * 10)  # often the same one


def compact(store: BronzeStore, *, now: datetime = NOW) -> BronzeCompaction:
    return compact_bronze(store, TABLE, now=now, elapsed=timedelta)


def of_copies(store: BronzeStore) -> list[str]:
    return list(store.list(FOLDER))


def read_through(store: BronzeStore) -> pa.Table | None:
    chunks = [chunk.rows for chunk in read_chunks(store, list(store.list(TABLE)))]
    return pa.concat_tables(chunks).unify_dictionaries() if chunks else None


def read_directly(store: BronzeStore) -> pa.Table | None:
    objects = [read_object(store, name) for name in store.list(TABLE)]
    return pa.concat_tables(objects).unify_dictionaries() if objects else None


def assert_same(store: BronzeStore) -> None:
    """The rows, in order, and what the ledger records of each object."""
    found, expected = read_through(store), read_directly(store)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.to_pylist() == expected.to_pylist()
    assert read_stats(store, store.list(TABLE)) == {name: parse_stats(store.read(name)) for name in store.list(TABLE)}


def copied(store: BronzeStore) -> list[tuple[str, str]]:
    """Every object in a copy, with the hash of its bytes."""
    found = []
    for path in of_copies(store):
        name = CopyName.parse(path)
        assert name is not None
        found += [(entry.path, stats.content_hash) for entry, stats in CompactedCopy(name, store.read(path))._originals]
    return found


def everything(name: CopyName, data: bytes) -> list[object]:
    """All that a copy says. Raises CorruptObject."""
    copy = CompactedCopy(name, data)
    rows = [copy.rows(entry) for entry, _ in copy._originals]
    return [copy._originals, [each.to_pylist() if each is not None else None for each in rows]]


ACTS = ("capture", "overwrite", "remove", "break a copy", "swap copies", "remove a copy", "compact", "die")


@settings(max_examples=10, deadline=None)
@given(acts=st.lists(st.sampled_from(ACTS), min_size=1, max_size=12), seed=st.integers(0, 2**32))
def test_rows_read_through_copies_are_those_of_the_objects_in_order(acts: list[str], seed: int) -> None:
    chance = random.Random(seed)
    store = MortalStore()
    fill(store, objects=chance.randint(0, 25), seed=seed)
    for act in ["compact", *acts]:
        names, written = list(store.list(TABLE)), of_copies(store)
        match act:
            case "capture":
                put_object(store, some_time(chance), chance)
            case "overwrite" if names:
                store.put(chance.choice(names), store.read(chance.choice(names)))
            case "remove" if names:
                store.remove(chance.choice(names))
            case "break a copy" if written:
                path = chance.choice(written)
                data = bytearray(store.read(path))
                data[chance.randrange(40, 400)] ^= 0xFF  # in the first pages
                store.put(path, bytes(data[: chance.choice([len(data), len(data) // 2])]))
            case "swap copies" if written:
                store.put(chance.choice(written), store.read(chance.choice(written)))
            case "remove a copy" if written:
                store.remove(chance.choice(written))
            case "compact":
                compact(store)
            case "die":
                store.dies_at, store.after_it = store.calls + chance.randint(1, 30), chance.random() < 0.5
                with suppress(Died):
                    compact(store, now=NOW - timedelta(days=chance.randint(0, 2)))
                store.dies_at = None
        assert_same(store)
    for path in of_copies(store):  # one that is broken has to be removed by hand, as the log says
        store.remove(path)
    assert compact(store).finished
    assert_same(store)
    settled = [name for name in store.list(TABLE) if f"/day={NOW:%d}/" not in name]
    assert copied(store) == [(name, parse_stats(store.read(name)).content_hash) for name in settled]


def test_a_day_that_has_its_copies_is_read_from_them_alone() -> None:
    store = MortalStore()
    fill(store, objects=60)
    done = compact(store)
    store.reads.clear()
    assert read_through(store) is not None
    today = [name for name in store.list(TABLE) if f"/day={NOW:%d}/" in name]
    assert sorted(store.reads) == sorted([*of_copies(store), *today])
    assert done.written == len(of_copies(store)) < 30


def test_each_byte_of_a_copy_is_checked_and_its_name(caplog: pytest.LogCaptureFixture) -> None:
    store = MortalStore()
    fill(store, objects=60)
    compact(store)
    path, other, *_ = of_copies(store)
    name, data = CopyName.parse(path), store.read(path)
    assert name is not None
    whole = everything(name, data)
    refused = 0
    for at in range(0, len(data), 13):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            assert everything(name, bytes(broken)) == whole, "a byte that says nothing of the rows"
        except CorruptObject:
            refused += 1
    assert refused > len(data) / 13 / 2
    store.put(path, store.read(other))
    assert_same(store)
    assert f"{path} is not used, because its objects are others" in caplog.text


def test_few_objects_are_read_one_by_one_without_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MortalStore()
    fill(store, objects=60)
    compact(store)
    names = list(store.list(TABLE))
    monkeypatch.setattr(copies, "MIN_OBJECTS", 64)
    monkeypatch.setattr(store, "list", None)
    store.reads.clear()
    read_stats(store, names)
    assert sorted(store.reads) == names


def test_what_came_late_or_was_written_again_is_read_by_itself_until_the_next_run_that_looks() -> None:
    store = MortalStore()
    fill(store, objects=60)
    compact(store)
    chance = random.Random(1)
    overwritten = next(name for name in store.list(TABLE, day=FIRST_DAY))
    before = set(store.list(TABLE))
    put_object(store, datetime.combine(FIRST_DAY, datetime.min.time(), UTC) + timedelta(hours=7), chance)
    (late,) = set(store.list(TABLE)) - before
    store.put(overwritten, store.read(next(store.list(TABLE, day=FIRST_DAY + timedelta(days=1)))))
    store.reads.clear()
    assert_same(store)
    through = store.reads[: len(store.reads) // 2]
    assert {late, overwritten} <= set(through)
    compact(store)
    assert (overwritten, parse_stats(store.read(overwritten)).content_hash) in copied(store)
    assert sorted(name for name, _ in copied(store)) == sorted(
        name for name in store.list(TABLE) if f"/day={NOW:%d}/" not in name
    )


def test_an_object_that_is_gone_leaves_its_copy_and_a_day_without_objects_has_none() -> None:
    store = MortalStore()
    fill(store, objects=60)
    compact(store)
    for name in list(store.list(TABLE, day=FIRST_DAY)):
        store.remove(name)
    forgotten = next(store.list(TABLE))
    store.remove(forgotten)
    assert_same(store)
    compact(store)
    assert list(store.list(f"{FOLDER}/{TABLE}", day=FIRST_DAY)) == []
    assert forgotten not in dict(copied(store))


def test_nothing_is_listed_or_written_again_of_a_day_that_is_not_due(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MortalStore()
    fill(store, objects=60)
    compact(store)
    monkeypatch.setattr(maintenance, "CHECKED_EVERY", timedelta(days=7))
    looked = []
    for hour in range(7 * 24):
        calls = MemoryEntries(store)
        assert compact_bronze(calls, TABLE, now=NOW + timedelta(hours=hour), elapsed=timedelta).removed == 0
        looked += [day for day in calls.days if day < NOW.date()]
    assert sorted(looked) == [FIRST_DAY + timedelta(days=number) for number in range(3)]


class MemoryEntries(MortalStore):
    """The same objects; notes the days that are listed with tags."""

    def __init__(self, store: MortalStore) -> None:
        super().__init__()
        self.__dict__.update(store.__dict__)
        self.days: list[date] = []

    def entries(self, table: str, *, after: str | None = None, day: date | None = None) -> Iterator[Entry]:
        assert day is not None, "only a day is listed with tags"
        self.days.append(day)
        return super().entries(table, after=after, day=day)


def test_an_object_that_cannot_be_read_leaves_out_its_copy_only(caplog: pytest.LogCaptureFixture) -> None:
    store = MortalStore()
    fill(store, objects=60)
    broken = next(store.list(TABLE))
    store.put(broken, store.read(broken)[:100])
    assert compact(store).finished
    assert broken in caplog.text
    assert broken not in dict(copied(store))
    with pytest.raises(CorruptObject, match=broken):
        read_through(store)


def test_a_run_ends_in_time_and_the_next_one_goes_on() -> None:
    store = MortalStore()
    fill(store, objects=60)
    elapsed = timedelta(0)

    def clock() -> timedelta:
        nonlocal elapsed
        elapsed += maintenance.MAX_DURATION / 3
        return elapsed

    first = compact_bronze(store, TABLE, now=NOW, elapsed=clock)
    assert (first.written, first.finished) == (2, False)
    assert_same(store)
    rest = compact(store)
    assert rest.finished
    assert first.written + rest.written == len(of_copies(store))


def test_tables_share_the_time_of_a_run_and_take_turns() -> None:
    tables = ["Customers", "Orders", "Products"]

    def begun(hour: int, *, minutes_each: int) -> list[str]:
        spent = iter(range(0, 1000, minutes_each))
        now = datetime(2026, 3, 4, tzinfo=UTC) + timedelta(hours=hour)
        return list(compact_all(MemoryStore(), tables, now=now, elapsed=lambda: timedelta(minutes=next(spent))))

    assert {begun(hour, minutes_each=10)[0] for hour in range(3)} == set(tables)
    assert [len(begun(0, minutes_each=minutes)) for minutes in (10, 5, 1)] == [1, 2, 3]


def test_a_foreign_name_in_one_table_stops_no_other() -> None:
    store = MortalStore()
    fill(store, objects=20)
    store.put("Customers/something else.parquet", b"")
    with pytest.raises(CaptureError, match="something else"):
        compact_all(store, ["Customers", TABLE], now=NOW, elapsed=timedelta)
    assert of_copies(store)
