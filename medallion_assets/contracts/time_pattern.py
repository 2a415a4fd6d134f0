"""Patterns of days and times that a source writes as text, such as dd.MM.yyyy.

| letters | stand for |
| --- | --- |
| yyyy | the year, four digits |
| MM, dd, HH, mm, ss | month, day, hour of 0 to 23, minute and second, two digits each |
| M, d, H | the same, one or two digits |
| S to SSSSSS | that many digits of the second's fraction |

The characters `. - / : , _`, the space and T stand for themselves.

Belongs here: what a pattern is, and which texts it reads. Does not belong here: reading them (silver).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final

_FIELDS: Final = {
    "yyyy": ("year", (4,)),
    "MM": ("month", (2,)),
    "M": ("month", (1, 2)),
    "dd": ("day", (2,)),
    "d": ("day", (1, 2)),
    "HH": ("hour", (2,)),
    "H": ("hour", (1, 2)),
    "mm": ("minute", (2,)),
    "ss": ("second", (2,)),
    **{"S" * digits: ("fraction", (digits,)) for digits in range(1, 7)},
}
_DAY: Final = ("year", "month", "day")
_TIME: Final = ("hour", "minute", "second", "fraction")
_TOKEN: Final = re.compile(r"([yMdHmsS])\1*|[-./:,_ T]|(?P<wrong>.)", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One field, with its possible numbers of digits, or one character that stands for itself (`field` is empty)."""

    text: str
    field: str = ""
    digits: tuple[int, ...] = ()


@dataclass(frozen=True)
class TimePattern:
    """A pattern that was read."""

    text: str
    tokens: tuple[Token, ...]

    @property
    def shapes(self) -> frozenset[str]:
        """The forms of the texts that it reads, 9 for each digit: `99.99.9999`."""
        choices = [["9" * digits for digits in token.digits] if token.field else [token.text] for token in self.tokens]
        return frozenset(map("".join, product(*choices)))

    @property
    def has_time(self) -> bool:
        """Whether it has a time of day."""
        return any(token.field in _TIME for token in self.tokens)


def parse_pattern(text: str) -> TimePattern:
    """Return the pattern that a contract writes as `text`. Raises ValueError that says what was expected."""
    tokens = []
    for found in _TOKEN.finditer(text):
        written = found[0]
        if found["wrong"] or (found[1] and written not in _FIELDS):
            raise ValueError(
                f"{text!r:.80} is no format and no pattern because of {written!r}; expected yyyy, MM or M, dd or d, HH "
                "or H, mm, ss and S to SSSSSS, with . - / : , _ T or a space between them"
            )
        tokens.append(Token(written, *_FIELDS[written]) if found[1] else Token(written))
    fields = [token.field for token in tokens if token.field]
    wanted = _DAY if not set(fields) & set(_TIME) else (*_DAY, "hour", "minute")
    if missing := [field for field in wanted if field not in fields]:
        raise ValueError(f"{text!r:.80} has no {', no '.join(missing)}; expected year, month and day")
    if len(set(fields)) < len(fields) or ("fraction" in fields and "second" not in fields):
        raise ValueError(f"{text!r:.80}: expected each part once, and a fraction only of a second")
    for one, next_ in pairwise(tokens):
        if one.field and next_.field and (len(one.digits) + len(next_.digits) > 2 or one.field == "fraction"):
            raise ValueError(f"{text!r:.80}: nothing stands between {one.text} and {next_.text}; expected a character")
    return TimePattern(text, tuple(tokens))
