"""What goes wrong, and when: decided by one seed, or by a list of faults.

Belongs here: the plan, its kinds and its counts. Does not belong here: which calls can fail and with which error (the
clients, the object store, the mapping, and whoever else brings calls of its own).

Every call that may fail is a *point*, named `service.operation`. The nth call of a point meets the same fault whatever
happens at other points, so that a history from which something was taken away still meets the faults of the rest. A run
that was rolled tells which faults happened (`happened`); `Faults(..., script=...)` makes exactly those happen again, or
some of them: that is how a failing history is made small, and how each single call is made to fail once.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from medallion_assets.simulation.clock import Clock

T = TypeVar("T")

BEFORE: Final = "error before"
AFTER: Final = "error after"
DELAY: Final = "latency"
DEATH_BEFORE: Final = "death before"
DEATH_AFTER: Final = "death after"
OUTAGE: Final = "outage"


class Died(BaseException):
    """The process that made this call is dead. Nothing inside it may catch this; its driver starts it again."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """The fault that the `nth` call (from 0) of a point meets. `seconds` is the length of a latency or an outage."""

    point: str
    nth: int
    kind: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often a call meets a fault, as a share of the calls.

    `before`: an error, and nothing was done. `after`: an error, and it was done. `delay`: up to `delay_max_s` seconds
    pass first. `death`: the process dies at the call, half of the times before it is done, half after. `outage`: this
    call and all others of its service fail for up to `outage_max_s` seconds, with nothing done. `odd`: the answer is
    right but one that tests forget: an empty page though more follows, a stale read, a key left unread, a batch again.
    """

    before: float = 0.0
    after: float = 0.0
    delay: float = 0.0
    death: float = 0.0
    outage: float = 0.0
    odd: float = 0.0
    delay_max_s: float = 5.0
    outage_max_s: float = 60.0


NEVER: Final = Rates()


class Faults:
    """The plan of faults of one simulation, and counts of the faults that happened.

    `rates` are by point, by service (the part of the point before the dot), or for all ("" or a single Rates); the
    closest name counts. With a `script` nothing is rolled: its faults happen, and nothing else.
    """

    def __init__(
        self,
        seed: int,
        clock: Clock,
        rates: Rates | Mapping[str, Rates] = NEVER,
        *,
        script: Iterable[Fault] | None = None,
    ) -> None:
        self.reached: Counter[str] = Counter()
        """Calls by point, whether or not they met a fault."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Faults by (point, kind); of an outage, each call that failed for it."""
        self.happened: list[Fault] = []
        self._seed = seed
        self._clock = clock
        self._rates = {"": rates} if isinstance(rates, Rates) else dict(rates)
        self._script = None if script is None else {(fault.point, fault.nth): fault for fault in script}
        self._dice: defaultdict[str, random.Random] = _Dice(seed)
        self._out: dict[str, datetime] = {}
        self._calm = False
        self._dead = False

    @property
    def dead(self) -> bool:
        """Whether the running process died."""
        return self._dead

    def restart(self) -> None:
        """Start the process again. Until this is called every call of a dead process raises Died."""
        self._dead = False

    def calm(self) -> None:
        """End all outages and let nothing more go wrong."""
        self._calm = True
        self._out.clear()

    def by_kind(self) -> dict[str, int]:
        """Return how many faults there were of each kind, the most first."""
        kinds: Counter[str] = Counter()
        for (_, kind), count in self.counts.items():
            kinds[kind] += count
        return dict(kinds.most_common())

    def call(self, point: str, act: Callable[[], T], *, error: Callable[[str], Exception]) -> T:
        """Do `act`, or fail before it, or fail after it, as planned for this call of the point.

        `error(kind)` makes the error that the caller would see. Raises Died when the process dies here or is dead.
        """
        if self._dead:
            raise Died(point)
        fault = self._next(point)
        service = point.partition(".")[0]
        if fault is not None:
            self._note(fault)
            if fault.kind == OUTAGE:
                self._out[service] = self._clock() + timedelta(seconds=fault.seconds)
            elif fault.kind == DELAY:
                self._clock.advance(fault.seconds)
            elif fault.kind == BEFORE:
                raise error(BEFORE)
            elif fault.kind == DEATH_BEFORE:
                self._die(point)
        if service in self._out:
            if self._clock() < self._out[service]:
                self.counts[point, OUTAGE] += 1
                raise error(OUTAGE)
            del self._out[service]
        done = act()
        if fault is not None:
            if fault.kind == AFTER:
                raise error(AFTER)
            if fault.kind == DEATH_AFTER:
                self._die(point)
        return done

    def draw(self, point: str, kind: str, rate: float | None = None) -> bool:
        """Return whether something of another kind happens now, at this share of the times (None: the point's `odd`).

        Such a point counts by itself, as `<point>/<kind>`.
        """
        if rate is None:
            rate = self._rates_of(point).odd
        if self._calm or self._dead or (rate <= 0 and self._script is None):
            return False
        name = f"{point}/{kind}"
        nth = self.reached[name]
        self.reached[name] += 1
        happens = (name, nth) in self._script if self._script is not None else self._dice[name].random() < rate
        if happens:
            self.counts[point, kind] += 1
            self.happened.append(Fault(name, nth, kind))
        return happens

    def _next(self, point: str) -> Fault | None:
        nth = self.reached[point]
        self.reached[point] += 1
        if self._calm:
            return None
        if self._script is not None:
            return self._script.get((point, nth))
        rates = self._rates_of(point)
        if rates is NEVER:
            return None
        dice = self._dice[point]
        left, share = dice.random(), dice.random()
        for kind, rate in (
            (BEFORE, rates.before),
            (AFTER, rates.after),
            (DELAY, rates.delay),
            (DEATH_BEFORE, rates.death / 2),
            (DEATH_AFTER, rates.death / 2),
            (OUTAGE, rates.outage),
        ):
            left -= rate
            if left < 0:
                longest = {DELAY: rates.delay_max_s, OUTAGE: rates.outage_max_s}.get(kind, 0.0)
                return Fault(point, nth, kind, round(share * longest, 3))
        return None

    def _rates_of(self, point: str) -> Rates:
        for name in (point, point.partition(".")[0], ""):
            if name in self._rates:
                return self._rates[name]
        return NEVER

    def _note(self, fault: Fault) -> None:
        self.happened.append(fault)
        if fault.kind != OUTAGE:
            self.counts[fault.point, fault.kind] += 1

    def _die(self, point: str) -> None:
        self._dead = True
        raise Died(point)


class _Dice(defaultdict[str, random.Random]):
    """One generator for each name, so that what is drawn for one does not move the others."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def __missing__(self, name: str) -> random.Random:
        self[name] = random.Random(f"{self._seed}/{name}")  # noqa: S311 - dice
        return self[name]
