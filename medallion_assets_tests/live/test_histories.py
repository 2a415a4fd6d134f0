"""Counters on the simulated event source mapping: bisected batches, shards that split, ten lanes, what comes again."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.errors import LakeUnavailable
from medallion_assets.live.apply import apply_records
from medallion_assets.live.redis_store import RedisStore
from medallion_assets.live.step import Step
from medallion_assets.live.store import LiveStore
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import MappingSettings
from medallion_assets.simulation.faults import Rates
from medallion_assets_tests.live.shop import BY_STATUS, expected, order

_numbers = itertools.count()

HISTORIES = {
    "seed": st.integers(0, 2**32),
    "batch_size": st.integers(1, 20),
    "factor": st.sampled_from([1, 2, 10]),
    "bisect": st.booleans(),
    "writes": st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["put", "put", "put", "delete"]), st.integers(0, 3_000)),
        min_size=1,
        max_size=40,
    ),
}


def play(
    store: LiveStore, *, seed: int, batch_size: int, factor: int, bisect: bool, writes: list[tuple[int, str, int]]
) -> int:
    """Play a history; compare the counter with the items after every batch that was acknowledged, and at the end.

    Returns how many changes had been applied before.
    """
    counter = f"history_{next(_numbers)}"
    counted = replace(BY_STATUS, name=counter)
    cloud = Cloud(seed, rates=Rates(before=0.1, after=0.1, delay=0.1, death=0.05, outage=0.02, odd=0.1))
    table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.3)
    dice = cloud.dice("function")
    latest: dict[str, tuple[int, Any]] = {}
    skipped = 0
    wrong: list[int] = []  # the mapping takes an error of the function for a reason to call again

    def function(event: dict[str, Any], context: Any) -> Any:
        nonlocal skipped
        for part in (event["Records"][:1], event["Records"][1:]):
            if dice.random() < 0.15:
                raise LakeUnavailable("the function failed before a part")
            skipped += apply_records(part, counters=[counted], store=store)
            for record in part:
                change, key = record["dynamodb"], record["dynamodb"]["Keys"]["id"]["S"]
                if int(change["SequenceNumber"]) > latest.get(key, (-1, None))[0]:
                    latest[key] = (int(change["SequenceNumber"]), change.get("NewImage"))
            if store.totals(counter) != expected(item for _, item in latest.values() if item is not None):
                wrong.append(len(latest))

    mapping = cloud.mapping(
        table, function, MappingSettings(batch_size=batch_size, bisect=bisect, parallelization_factor=factor)
    )
    for item, kind, pause_s in writes:
        if kind == "delete":
            table.delete({"id": {"S": str(item)}})
        else:
            status = dice.choice(["new", "paid", None])
            amount = dice.choice([None, "0", "-1.5", "12345678.91", f"{dice.randrange(10**6) / 100:.2f}"])
            table.put(
                order(str(item), status=status, amount=amount, at=f"2026-12-0{dice.randrange(1, 4)}T23:30:00-01:00")
            )
        mapping.step()
        cloud.clock.advance(pause_s)
    mapping.drain()
    assert not wrong
    assert store.totals(counter) == expected(table)
    return skipped


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**HISTORIES)
def test_a_counter_equals_its_table_after_every_acknowledged_batch(redis_store: RedisStore, **history: Any) -> None:
    play(redis_store, **history)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**HISTORIES)
def test_a_counter_equals_its_table_after_every_acknowledged_batch_often(store: LiveStore, **history: Any) -> None:
    play(store, **history)


class Forgetful:
    """A store that applies every change it gets, as counters without positions do."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def seen(self, counter: str, keys: Any) -> dict[str, Any]:
        return {}

    def apply(self, counter: str, step: Step, before: Any) -> str:
        self._store.correct(counter, step.deltas)
        return "applied"


def test_the_histories_find_a_counter_without_positions(redis_store: RedisStore) -> None:
    """In this history records come again, so the right counter skips some, and a forgetful one is wrong."""
    writes = [(number % 5, "put", 400) for number in range(40)]
    history: Any = {"seed": 11, "batch_size": 5, "factor": 10, "bisect": True, "writes": writes}
    assert play(redis_store, **history) > 0
    with pytest.raises(AssertionError):
        play(Forgetful(redis_store), **history)  # type: ignore[arg-type]
