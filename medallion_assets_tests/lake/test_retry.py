"""Planning again after a conflict. Eight writers on one table are `make soak`'s; three of them are here."""

from __future__ import annotations

import itertools

import pytest

from medallion_assets.errors import CommitConflict, LakeUnavailable
from medallion_assets.lake import retry
from medallion_assets.lake.retry import retry_on_conflict


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def test_it_is_planned_again_until_nobody_was_faster(pauses: list[float]) -> None:
    results = iter([CommitConflict("1"), CommitConflict("2"), "done"])

    def act() -> str:
        result = next(results)
        if isinstance(result, CommitConflict):
            raise result
        return str(result)

    assert retry_on_conflict(act, what="silver.orders") == "done"
    assert len(pauses) == 2


def test_the_pauses_spread_and_grow_up_to_a_limit(pauses: list[float]) -> None:
    for failures in itertools.chain(range(1, 20), [1_000]):
        for _ in range(20):
            retry.back_off(failures)
        tried, pauses[:] = list(pauses), []
        longest = min(retry.MAX_BACKOFF_SECONDS, retry.FIRST_BACKOFF_SECONDS * 2 ** (failures - 1))
        assert all(0 <= pause <= longest for pause in tried) and len(set(tried)) == 20


def test_who_is_never_faster_is_told_so_and_no_other_error_is_tried_again(pauses: list[float]) -> None:
    tries = 0

    def never() -> None:
        nonlocal tries
        tries += 1
        raise CommitConflict("always another")

    with pytest.raises(CommitConflict, match="always another"):
        retry_on_conflict(never, what="silver.orders")
    assert tries == retry.MAX_ATTEMPTS == len(pauses) + 1

    def away() -> None:
        raise LakeUnavailable("S3 did not answer")

    with pytest.raises(LakeUnavailable):
        retry_on_conflict(away, what="silver.orders")
    assert len(pauses) == retry.MAX_ATTEMPTS - 1
