"""Work that waits without sleeping."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from medallion_assets.capture.poller.steps import Steps, drive, has_elapsed

NOW = datetime(2026, 2, 3, tzinfo=UTC)


def test_a_thread_does_the_work_to_its_end_and_raises_what_it_raises() -> None:
    done: list[int] = []

    def work() -> Steps[None]:
        for step in range(3):
            done.append(step)
            yield 0.001
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(work(), threading.Event())
    assert done == [0, 1, 2]


def test_a_halt_ends_the_work_at_its_next_wait_however_long() -> None:
    halt, cleaned = threading.Event(), threading.Event()

    def work() -> Steps[None]:
        try:
            while True:
                threading.Timer(0.05, halt.set).start()
                yield 3_600
        finally:
            cleaned.set()

    drive(work(), halt)
    assert cleaned.is_set()


def test_a_clock_that_is_set_back_prolongs_no_wait() -> None:
    def at(seconds: float) -> bool:
        return has_elapsed(10, since=NOW, now=NOW + timedelta(seconds=seconds))

    assert [at(seconds) for seconds in (0, 9.999, 10, 3_600)] == [False, False, True, True]
    assert at(-0.001)
    assert has_elapsed(0, since=NOW, now=NOW)
