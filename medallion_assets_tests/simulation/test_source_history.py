"""Which states of a key a reader may have seen, and in which order they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from medallion_assets.simulation.judge.source_history import BEFORE, SourceHistory

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_state_is_possible_while_it_was_the_keys() -> None:
    history = SourceHistory()
    history.unseen("T", {"k": {"v": 1}}, at=NOON)
    history.changed("T", "k", {"v": 2}, at=NOON + 10 * SECOND, event_id="a")
    history.changed("T", "k", None, at=NOON + 20 * SECOND, event_id="b")
    history.changed("T", "k", {"v": 1}, at=NOON + 30 * SECOND, event_id="c")

    def possible(image: object, since: int, until: int) -> list[int]:
        at = {"since": NOON + since * SECOND, "until": NOON + until * SECOND}
        return history.possible("T", "k", image, **at)  # type: ignore[arg-type]

    assert [history.place(event) for event in "abc"] == [1, 2, 3] and history.place("d") is None
    assert possible({"v": 1}, 5, 5) == [0]
    assert possible({"v": 2}, 5, 5) == []
    assert possible({"v": 1}, 10, 10) == [0], "a change in the same moment may have come before or after it"
    assert possible({"v": 1}, 5, 40) == [0, 3]
    assert possible(None, 21, 22) == [2]
    assert possible(None, -5, 25) == [BEFORE, 2]


def test_what_no_stream_told_is_a_state_of_every_key_that_differs() -> None:
    history = SourceHistory()
    history.unseen("T", {"a": {"v": 1}, "b": {"v": 1}}, at=NOON)
    history.changed("T", "c", {"v": 1}, at=NOON, event_id="c")
    history.unseen("T", {"a": {"v": 1}}, at=NOON + SECOND)
    assert {key: history.image("T", key) for key in history.keys("T")} == {"a": {"v": 1}, "b": None, "c": None}
    assert history.possible("T", "a", {"v": 1}, since=NOON, until=NOON + SECOND) == [0]
    assert history.keys("U") == []
