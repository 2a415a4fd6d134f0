"""Virtual time: it stands still until somebody advances it.

Belongs here: the clock, and how code that asks `datetime.now` is shown it. Does not belong here: what happens at which
time (scheduler).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any, Final

START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Clock:
    """The time of one simulation, aware UTC. Calling it returns the time, as code that takes a `clock` expects."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        """Return the time, aware UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError for a negative time: this clock does not go backwards."""
        if seconds < 0:
            raise ValueError(f"the clock was to go {seconds} s; expected 0 or more")
        self._now += timedelta(seconds=seconds)

    def advance_to(self, moment: datetime) -> None:
        """Let time pass until `moment`; a moment that has passed changes nothing."""
        self._now = max(self._now, moment)

    @contextmanager
    def shown_to(self, *modules: ModuleType) -> Iterator[None]:
        """Let `datetime.now` and `datetime.today` of these modules return this clock's time while inside.

        Each module must have imported the class by the name `datetime`; AttributeError otherwise. `now()` without a
        zone is UTC's.
        """
        real = [(module, module.datetime) for module in modules]
        shown = _shown(self)
        try:
            for module in modules:
                module.datetime = shown  # type: ignore[attr-defined]
            yield
        finally:
            for module, original in real:
                module.datetime = original  # type: ignore[attr-defined]


def _shown(clock: Clock) -> type[datetime]:
    """`datetime` with another `now`: its instances and `isinstance` are datetime's own."""

    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class Shown(datetime, metaclass=Meta):
        def __new__(cls, *parts: Any, **named: Any) -> Any:
            return datetime(*parts, **named)  # noqa: DTZ001 - as the module's own code says

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock().astimezone(tz) if tz else clock().replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return clock().replace(tzinfo=None)

    return Shown
