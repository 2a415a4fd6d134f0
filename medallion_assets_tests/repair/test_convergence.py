"""Repairs and real changes converge: lost changes, duplicates, any order, reruns of any day; and no key ever goes back.

Each image says which version of its key it is. Whatever is published, a key's version and sequence number never fall;
at the end, after one more repair and reruns, Silver has exactly the source's items.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from medallion_assets.repair.repair import repair
from medallion_assets_tests.repair.source import Clock, Item, Items
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, bench_on_files, contract, record

THINGS = contract("Things", {"H": "string", "R": "int", "V": "int"}, key=("H", "R"))
KEYS: list[Item] = [{"H": {"S": h}, "R": {"N": r}} for h, r in (("a", "1"), ("a", "2"), ("b", "1"))]

steps = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(KEYS), st.booleans(), st.booleans()),
    st.tuples(st.just("change"), st.sampled_from(KEYS), st.booleans(), st.booleans()),
    st.tuples(st.sampled_from(["deliver", "deliver", "merge_pending", "rerun", "repair", "midnight"])),
)


@dataclass
class World:
    """A source, changes on their way, and the pipeline; `seen` is what was published of each key last."""

    bench: Bench
    data: st.DataObject
    source: Items = field(default_factory=lambda: Items(THINGS))
    days: list[date] = field(default_factory=lambda: [DAY])
    version: int = 0
    delivered: list[dict[str, Any]] = field(default_factory=list)
    on_the_way: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[Any, tuple[str, int]] = field(default_factory=dict)
    repairs: int = 0

    def __post_init__(self) -> None:
        self.clock = Clock(waited=self.merge_pending)

    def change(self, keys: Item, gone: bool, lost: bool) -> None:
        self.version += 1
        item = None if gone else {**keys, "V": {"N": str(self.version)}}
        if item is None:
            self.source.delete(keys)
        else:
            self.source.put(item)
        if not lost:
            # Numbers of growing width: as text they have another order.
            self.on_the_way.append(record("Things", 7 * self.version**3, keys, item))

    def deliver(self, *, everything: bool = False) -> None:
        """Capture what is on the way, in any order, and some of what was captured before once more."""
        again = self.data.draw(st.lists(st.sampled_from(self.delivered), max_size=2)) if self.delivered else []
        now = self.data.draw(st.permutations(self.on_the_way))
        if not everything:
            now = now[: self.data.draw(st.integers(0, len(now)))]
        self.on_the_way = [one for one in self.on_the_way if one not in now]
        self.delivered += now
        if now or again:
            self.bench.put(*now, *again, day=self.days[-1])
            self.clock.time += timedelta(seconds=1)

    def merge_pending(self) -> None:
        for day in self.days:
            self.bench.merge_pending("things", day=day)
        self.check_order()

    def rerun(self) -> None:
        self.bench.remerge_day("things", day=self.data.draw(st.sampled_from(self.days)))
        self.check_order()

    def midnight(self) -> None:
        self.days.append(self.days[-1] + timedelta(days=1))
        self.clock.time = datetime.combine(self.days[-1], NOON.timetz())

    def repair(self) -> None:
        """Capture is not behind; the merge may be, and catches up while the repair waits."""
        self.deliver(everything=True)
        self.clock.time += timedelta(seconds=len(self.delivered))
        self.repairs += 1
        done = repair(
            self.bench.lake,
            self.bench.domain,
            THINGS,
            source=self.source,
            store=self.bench.store,
            reason="a test",
            run_id=f"repair{self.repairs}",
            catch_up=self.clock.catch_up(),
            merge_seconds=20,
        )
        assert done.complete
        self.check_order()
        assert self.live() == {
            (item["H"]["S"], int(item["R"]["N"])): int(item["V"]["N"]) for item in self.source.items.values()
        }

    def check_order(self) -> None:
        for row in self.bench.rows("things"):
            key = (row["h"], row["r"])
            sequence, version = self.seen.get(key, ("", 0))
            now = row["_sequence_number"], row["v"]
            assert now[0] >= sequence and now[1] >= version, f"{key} went back from {sequence, version} to {now}"
            self.seen[key] = now

    def live(self) -> dict[Any, int]:
        return {(row["h"], row["r"]): row["v"] for row in self.bench.rows("things")}


@pytest.mark.slow
@settings(max_examples=8, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_repairs_and_changes_converge_and_no_key_goes_back(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(steps, min_size=4, max_size=14))
    with tempfile.TemporaryDirectory() as folder, bench_on_files(Path(folder), THINGS) as bench:
        world = World(bench, data)
        world.merge_pending()
        for name, *arguments in drawn:
            getattr(world, name)(*arguments)
        world.repair()
        for _ in range(2):
            world.rerun()
        world.merge_pending()
        world.repair()
