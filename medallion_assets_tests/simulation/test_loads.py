"""A load that dies at any of its calls: the next one goes on, and nothing is missing, doubled or older than before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from medallion_assets.simulation.faults import DEATH_AFTER, DEATH_BEFORE, Fault
from medallion_assets.simulation.harness.histories import Act, Capture, History, draw
from medallion_assets.simulation.harness.play import Played, play
from medallion_assets_tests.simulation.mutations import MUTATIONS


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _order(key: str, amount: str) -> dict[str, Any]:
    return {
        "OrderID": {"S": key},
        "CustomerID": {"S": "c1"},
        "OrderDate": {"S": "2026-01-04T10:13:51Z"},
        "Amount": {"N": amount},
    }


def _put(key: str, amount: str) -> dict[str, Any]:
    return {"table": "Orders", "put": _order(key, amount), "bad": False}


def _delete(key: str) -> dict[str, Any]:
    return {"table": "Orders", "delete": {"OrderID": {"S": key}}}


def _load(source: str, death: Fault | None, *, capture: str = "calm") -> History:
    """Return a history of one load, of which `death` ends the first try: keys change before, while and after it."""
    stock = Act("stock", {"table": "Orders", "items": [_order(f"o{number}", "1") for number in range(1, 6)]})
    load = {
        "table": "Orders",
        "source": source,
        "seconds": 0.0,
        "page_seconds": 0.0 if source == "export" else 1.0,
        "before": [_put("o7", "2"), _put("o1", "3"), _put("o1", "4"), _put("o1", "5"), _delete("o2")],
        "changes": [_put("o3", "2"), _delete("o4"), _put("o4", "7"), _put("o6", "2"), _delete("o6")],
        "remade": None,
    }
    acts = (
        stock,
        Act("write", {"changes": [_put("o7", "1")], "gap_s": 0.0}),
        Act("wait", {"seconds": 120.0}),
        Act("tick", {"times": 1}),
        Act("backfill", load, script=() if death is None else (death,)),
        *(one for _ in range(5) for one in (Act("wait", {"seconds": 30.0}), Act("tick", {"times": 1}))),
        Act("backfill", {**load, "before": [], "changes": [_put("o5", "9")]}),
    )
    settings = {"window_s": 0.0, "batch_size": 1, "poll_s": 5.0}
    captured = Capture("lambda", settings, skew_s=0, lag_s=0, fault_profile=capture)
    return replace(draw(26), seed=2, shards=1, capture=captured, acts=acts, layered=False, entities=False)


def _deaths(source: str, point: str) -> Iterator[Played]:
    """Yield the load with each death in turn, until the load has no such call."""
    for nth in count():
        for kind in (DEATH_BEFORE, DEATH_AFTER):
            played = play(_load(source, Fault(point, nth, kind)))
            if not played.scripts[4]:
                return
            yield played


@pytest.mark.slow
@pytest.mark.parametrize(("source", "point"), [("export", "bronze.put"), ("scan", "bronze.put"), ("scan", "scan.page")])
def test_a_load_that_dies_at_any_call_goes_on(source: str, point: str) -> None:
    died = list(_deaths(source, point))
    assert len(died) >= 6
    assert [played.violations for played in died] == [()] * len(died)
    assert all(played.counts["crashes"] == 1 for played in died)


@pytest.mark.slow
def test_a_part_that_is_noted_before_its_rows_is_found() -> None:
    with MUTATIONS["note_a_part_before_its_rows_are_written"]():
        assert any(played.violations for played in _deaths("export", "bronze.put"))


@pytest.mark.slow
def test_a_load_that_does_not_wait_for_earlier_changes_is_found() -> None:
    """Capture takes up to two minutes for each change that was made before the snapshot."""
    slow = _load("export", None, capture="slow")
    assert not play(slow).violations
    with MUTATIONS["load_before_earlier_changes_are_merged"]():
        assert any("showed its state" in one for one in play(slow).violations)
