"""One thread at a time for one thing, and no two threads that wait for each other."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import pytest

from medallion_assets.lake.one_at_a_time import OneAtATime

WANTED = ["orders", "customers", "products"]


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads are changed as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_threads_that_want_the_same_things_in_any_order_take_turns() -> None:
    things = OneAtATime()
    inside: Counter[str] = Counter()
    most: set[int] = set()

    def take(wanted: tuple[str, ...]) -> None:
        for _ in range(1000):
            with things.all_alone(wanted):
                inside.update(wanted)
                most.update(inside.values())
                inside.subtract(wanted)

    threads = [threading.Thread(target=take, args=(wanted,), daemon=True) for wanted in permutations(WANTED)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not [thread for thread in threads if thread.is_alive()], "they wait for each other"
    assert most == {1}


def test_a_thread_that_is_inside_may_come_in_again() -> None:
    things = OneAtATime()
    with things.alone("orders"), things.alone("orders"), things.all_alone(["orders", "orders"]):
        pass
