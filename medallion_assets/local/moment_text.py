"""A moment as a source writes it: a day or time of ISO 8601, a number since 1970, or a pattern such as `dd.MM.yyyy`.

Belongs here: writing. Does not belong here: reading, and which patterns there are (contracts.time_pattern).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

_TOKENS: Final = re.compile(r"yyyy|MM|dd|HH|mm|ss|S+|M|d|H")
_WRITTEN: Final[Mapping[str, str]] = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_DAY_SECONDS: Final = 86_400

_NAMED: Final[Mapping[str, Callable[[datetime], str | int]]] = {
    "date": lambda moment: f"{moment:%Y-%m-%d}",
    "timestamp": lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}",
    "epoch_days": lambda moment: int(moment.timestamp()) // _DAY_SECONDS,
    "epoch_seconds": lambda moment: int(moment.timestamp()),
    "epoch_millis": lambda moment: int(moment.timestamp()) * 1000,
}

MOMENTS: Final = tuple(_NAMED)
"""The ways to write a moment that have names."""


def write_moment(moment: datetime, how: str) -> str | int:
    """Return a moment in UTC, in whole seconds, as `how` says: date, timestamp, epoch_… or a pattern."""
    if how in _NAMED:
        return _NAMED[how](moment)
    return _TOKENS.sub(lambda token: _of_token(moment, token.group()), how)


def _of_token(moment: datetime, token: str) -> str:
    if token in _WRITTEN:
        return moment.strftime(_WRITTEN[token])
    if token.startswith("S"):
        return "0" * len(token)
    return str({"M": moment.month, "d": moment.day, "H": moment.hour}[token])
