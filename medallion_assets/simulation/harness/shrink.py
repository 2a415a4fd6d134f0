"""Shrink a failing history: remove acts, changes and faults as long as it still fails in the same place.

Belongs here: what is taken away, and in which order. Does not belong here: playing (play), showing (cli).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from medallion_assets.simulation.faults import Fault
from medallion_assets.simulation.harness.histories import Act, History, scripted
from medallion_assets.simulation.harness.play import Played, play

T = TypeVar("T")

_SIMPLE_CAPTURE: Final = {"poll_s": 5.0, "report_item_failures": True}


def shrink(history: History, played: Played, *, seconds: float = 120.0) -> tuple[History, Played]:
    """Return the smallest history found in that time that fails where `history` failed, and its result.

    Raises ValueError for a history that did not fail.
    """
    if not played.violations:
        raise ValueError(f"the history of seed {history.seed} does not fail")
    return _Shrinking(history, played, until=time.monotonic() + seconds).run()


class _Shrinking:
    def __init__(self, history: History, played: Played, *, until: float) -> None:
        self._place = _place(played)
        self._best = history, played
        self._until = until

    def run(self) -> tuple[History, Played]:
        history, played = self._best
        self._try(scripted(history, played.capture_script, played.scripts))
        before = None
        while before is not self._best and time.monotonic() < self._until:
            before = self._best
            self._acts()
            self._changes()
            self._faults()
            self._settings()
        return self._best

    def _try(self, history: History) -> bool:
        if time.monotonic() > self._until:
            return False
        played = play(history)
        if played.violations and _place(played) == self._place:
            self._best = history, played
            return True
        return False

    def _acts(self) -> None:
        """Remove the acts after the failure, then as many of the others as possible."""

        def fails(acts: Sequence[Act]) -> bool:
            return self._try(replace(self._best[0], acts=tuple(acts)))

        _reduce(self._best[0].acts, fails)

    def _changes(self) -> None:
        for at, act in enumerate(self._best[0].acts):
            if act.do == "write":

                def fails(changes: Sequence[Any], at: int = at, act: Act = act) -> bool:
                    return self._replaced(at, replace(act, given={**act.given, "changes": list(changes)}))

                _reduce(act.given["changes"], fails)

    def _faults(self) -> None:
        for at, act in enumerate(self._best[0].acts):

            def fails(script: Sequence[Fault], at: int = at, act: Act = act) -> bool:
                return self._replaced(at, replace(act, script=tuple(script)))

            _reduce(act.script or (), fails)

        def captured(script: Sequence[Fault]) -> bool:
            capture = replace(self._best[0].capture, script=tuple(script))
            return self._try(replace(self._best[0], capture=capture))

        _reduce(self._best[0].capture.script or (), captured)

    def _settings(self) -> None:
        history = self._best[0]
        if history.shards > 1:
            self._try(replace(history, shards=1))
        capture = self._best[0].capture
        for simpler in (
            replace(capture, kind="lambda", settings=_SIMPLE_CAPTURE),
            replace(capture, skew_s=0, lag_s=0),
        ):
            if simpler != capture:
                self._try(replace(self._best[0], capture=simpler))

    def _replaced(self, at: int, act: Act) -> bool:
        history = self._best[0]
        return self._try(replace(history, acts=(*history.acts[:at], act, *history.acts[at + 1 :])))


def _place(played: Played) -> str:
    """Return where it failed: the first words of the first violation."""
    return played.violations[0].partition(":")[0]


def _reduce(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> None:
    """Remove halves, quarters, ... single items as long as the rest still fails (delta debugging)."""
    left = list(items)
    if not left or fails([]):
        return
    size = max(1, len(left) // 2)
    while left:
        at = 0
        shorter = False
        while at < len(left):
            without = [*left[:at], *left[at + size :]]
            if without and fails(without):
                left, shorter = without, True
            else:
                at += size
        if size == 1 and not shorter:
            return
        size = max(1, size // 2)
