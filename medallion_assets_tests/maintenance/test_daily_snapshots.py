"""A table as it was at the end of a day: the day's changes are in it, later ones are not, and it stays for its days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import MartError
from medallion_assets.lake.maintenance import compact, expire
from medallion_assets.lake.tags import tags_of
from medallion_assets.maintenance.daily_snapshots import keep_daily_snapshots
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

FIRST = date(2026, 3, 1)
THINGS = contract("Things", {"Id": "string", "Value": "bigint"}, key="Id")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


class Days:
    """A table whose days are played: each change is captured at noon of a day, and merged when it is said."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._sequence = 0

    def change(self, on: date, key: str, value: int | None) -> None:
        self._sequence += 1
        new = None if value is None else {"Value": {"N": str(value)}}
        self.bench.put(record("Things", self._sequence, {"Id": {"S": key}}, new), day=on)

    def merge(self, on: date) -> None:
        self.bench.merge_pending("things", day=on)

    def keep(self, on: date, *, days: int = 400, at: time = time(0, 30)) -> list[date]:
        """Maintain the table as the job does at that time; everything expires that may."""
        now = datetime.combine(on, at, UTC)
        found = keep_daily_snapshots(self.bench.lake, self.bench.store, THINGS, days=days, now=now)
        if (table := self.bench.lake.find("silver", "things")) is not None:
            expire(self.bench.lake, table, older_than=timedelta(0))
        return found

    def read(self, on: date) -> dict[str, int]:
        with Embedded(self.bench.lake) as session:
            rows = session.run_published(
                f"SELECT id, value FROM silver.things FOR DATE '{on}' AS t ORDER BY t.id", today=day(99)
            )
        return {row["id"]: row["value"] for row in rows.to_pylist()}

    def tags(self) -> list[str]:
        table = self.bench.lake.find("silver", "things")
        return sorted(tags_of(table)) if table is not None else []


@pytest.fixture
def days(tmp_path: Path) -> Any:
    with bench_on_files(tmp_path, THINGS) as bench:
        yield Days(bench)


def test_each_day_is_read_as_it_ended_and_the_present_as_it_is(days: Days) -> None:
    days.change(day(0), "a", 1)
    days.change(day(0), "b", 2)
    days.merge(day(0))
    assert days.keep(day(1)) == [day(0)]
    days.change(day(1), "a", 3)
    days.change(day(1), "b", None)
    days.merge(day(1))
    assert days.keep(day(2)) == [day(1)]
    days.change(day(2), "a", 4)
    days.merge(day(2))
    assert days.read(day(0)) == {"a": 1, "b": 2}
    assert days.read(day(1)) == {"a": 3}
    with Embedded(days.bench.lake) as session:
        joined = session.run_published(
            "SELECT was.value AS was, things.value AS is FROM silver.things FOR VERSION AS OF 'day-2026-03-01' AS was "
            "JOIN silver.things ON things.id = was.id",
            today=day(9),
        )
    assert joined.to_pylist() == [{"was": 1, "is": 4}]


def test_a_change_merged_after_midnight_belongs_to_the_day_on_which_it_was_captured(days: Days) -> None:
    days.change(day(0), "a", 1)
    days.merge(day(0))
    days.change(day(0), "b", 2)
    assert days.keep(day(1)) == [], "an object of the day is not merged yet"
    days.merge(day(0))
    days.change(day(1), "a", 9)
    days.merge(day(1))
    assert days.keep(day(1)) == [day(0)]
    assert days.read(day(0)) == {"a": 1, "b": 2}


def test_a_day_is_over_when_its_last_object_may_be_there(days: Days) -> None:
    days.change(day(0), "a", 1)
    days.merge(day(0))
    assert days.keep(day(1), at=time(0, 14)) == []
    assert days.keep(day(1), at=time(0, 15)) == [day(0)]


def test_days_without_changes_and_days_without_maintenance_are_made_up_for(days: Days) -> None:
    days.change(day(0), "a", 1)
    days.merge(day(0))
    days.keep(day(1))
    days.change(day(3), "a", 2)
    days.merge(day(3))
    assert days.keep(day(5)) == [day(1), day(2), day(3), day(4)]
    assert [days.read(day(number))["a"] for number in range(5)] == [1, 1, 1, 2, 2]


def test_a_day_goes_when_its_time_is_over_and_other_tags_stay(days: Days) -> None:
    for number in range(4):
        days.change(day(number), "a", number)
        days.merge(day(number))
        days.keep(day(number + 1), days=2)
    assert days.tags() == ["day-2026-03-03", "day-2026-03-04"]
    with pytest.raises(MartError, match=r"no snapshot day-2026-03-01: there are the days 2026-03-03 to 2026-03-04"):
        days.read(day(0))
    days.keep(day(4), days=0)
    assert days.tags() == []


def test_a_day_has_the_columns_that_the_table_had_then(days: Days) -> None:
    days.change(day(0), "a", 1)
    days.merge(day(0))
    days.keep(day(1))
    renamed = {"type": "bigint", "rename": "amount", "renamed_from": "value"}
    days.bench.domain = domain(contract("Things", {"Id": "string", "Value": renamed, "Old": "string"}, key="Id"))
    days.change(day(1), "a", 2)
    days.merge(day(1))
    assert days.read(day(0)) == {"a": 1}
    with Embedded(days.bench.lake) as session:
        now = session.run_published("SELECT amount, old FROM silver.things", today=day(9))
    assert now.to_pylist() == [{"amount": 2, "old": None}]


def test_a_table_that_is_not_there_or_began_today_has_no_day(days: Days) -> None:
    assert days.keep(day(1)) == []
    days.change(day(1), "a", 1)
    days.merge(day(1))
    assert days.keep(day(1)) == []
    with pytest.raises(MartError, match="it has no day"):
        days.read(day(0))


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ("silver.things FOR DATE 'yesterday'", r"FOR DATE 'yesterday': expected a day, '2026-01-31'"),
        ("silver.things FOR VERSION AS OF 17", "a tag's name in quotes"),
        ("silver.things FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01 00:00:00 UTC'", "expected FOR DATE"),
        ("silver.nothing FOR DATE '2026-03-01'", "no such table"),
    ],
)
def test_what_is_no_day_is_one_sentence(days: Days, asked: str, wrong: str) -> None:
    days.change(day(0), "a", 1)
    days.merge(day(0))
    with Embedded(days.bench.lake) as session, pytest.raises(MartError, match=wrong):
        session.run_published(f"SELECT * FROM {asked}", today=day(1))


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from("abc"), st.none() | st.integers(0, 9)),
        st.tuples(st.sampled_from(["merge", "merge", "keep", "compact", "next day"])),
    ),
    min_size=8,
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(ACTS)
def test_whatever_happens_a_tagged_day_has_the_changes_captured_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[Any, ...]]
) -> None:
    with bench_on_files(tmp_path_factory.mktemp("days"), THINGS) as bench:
        days, today = Days(bench), 0
        rows: dict[str, int | None] = {}
        ended: dict[date, dict[str, int]] = {}
        unmerged: list[int] = []
        for act in acts:
            match act:
                case ("change", key, value):
                    days.change(day(today), key, value)
                    unmerged.append(today)
                    rows = {**rows, key: value}
                case ("merge",):
                    for number in sorted({*unmerged}):
                        days.merge(day(number))
                    unmerged = []
                case ("keep",):
                    days.keep(day(today))
                case ("compact",) if (table := bench.lake.find("silver", "things")) is not None:
                    compact(bench.lake, table)
                case ("next day",):
                    ended[day(today)] = {key: value for key, value in rows.items() if value is not None}
                    today += 1
        days.keep(day(today))
        for tag in days.tags():
            on = date.fromisoformat(tag.removeprefix("day-"))
            assert days.read(on) == ended[on]
