"""The forms that the texts and numbers of an attribute have: what they may be besides text and numbers.

Belongs here: telling forms apart, value by value. Does not belong here: which format a contract should say
(propose_format).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from medallion_assets.contracts.model import Column
from medallion_assets.reconciliation.reference_decoder import column_value
from medallion_assets.reconciliation.reference_format import Misfit

Form = Literal[
    "empty", "number", "code", "true", "false", "day", "time", "local", "long", "local_long", "pattern", "text"
]
"""What a text is.

- code: digits with zeros in front, or a number that is too long: it is no amount
- time, local: a time in ISO 8601 with an offset, and without one; long, local_long: with more digits than microseconds
- pattern: a day or time that is written in another way
"""

PATTERNS: Final = (
    *("dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy", "d/M/yyyy", "M/d/yyyy", "dd-MM-yyyy", "MM-dd-yyyy"),
    *("yyyy/MM/dd", "yyyy.MM.dd", "dd.MM.yyyy HH:mm", "dd.MM.yyyy HH:mm:ss", "dd/MM/yyyy HH:mm:ss"),
    *("MM/dd/yyyy HH:mm:ss", "yyyy-MM-dd HH:mm", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm:ss.SSS"),
    "yyyy-MM-dd HH:mm:ss.SSSSSS",
)
"""The patterns that are looked for, of two that read the same texts the narrower one first."""

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_DIGITS: Final = re.compile(r"[0-9]+")
_MOST_DIGITS: Final = 38
_FIRST_SECOND, _LAST_SECOND = 1_000_000_000, 4_102_444_800
_TRUTHS: Final[dict[str, Form]] = {"true": "true", "yes": "true", "false": "false", "no": "false"}


def _column(type_: str, **said: str) -> Column:
    return Column.model_validate({"label": "seen", "type": type_, **said})


_DAY: Final = _column("date")
_TIMES: Final[tuple[tuple[Form, Column], ...]] = (
    ("time", _column("timestamp")),
    ("local", _column("timestamp", zone="UTC")),
    ("long", _column("timestamp", fraction="cut")),
    ("local_long", _column("timestamp", zone="UTC", fraction="cut")),
)
_BY_PATTERN: Final = {
    pattern: _column("timestamp", zone="UTC", **{"from": pattern})
    if "HH" in pattern
    else _column("date", **{"from": pattern})
    for pattern in PATTERNS
}


@dataclass
class Forms:
    """What was seen of the values of one attribute.

    `found` are the forms of its texts, `patterns` those that all texts of the form `pattern` have. A number, also one
    that is written as text, may be a time since 1970 if that is from 2001 to 2099.
    """

    found: set[Form] = field(default_factory=set)
    patterns: tuple[str, ...] = PATTERNS
    _seconds: bool = False
    _millis: bool = False
    _other_numbers: bool = False

    @property
    def epochs(self) -> tuple[str, ...]:
        """The formats in which all numbers are such times; none if there is another number."""
        if self._other_numbers:
            return ()
        units = (("epoch_seconds", self._seconds), ("epoch_millis", self._millis))
        return tuple(name for name, seen in units if seen)

    def see_number(self, text: str) -> None:
        """Look at a number, or a text that is one."""
        whole = text.partition(".")[0]
        number = int(whole) if whole.isascii() and whole.isdecimal() and len(whole) <= _MOST_DIGITS else -1
        if _FIRST_SECOND <= number < _LAST_SECOND:
            self._seconds = True
        elif _FIRST_SECOND * 1_000 <= number < _LAST_SECOND * 1_000:
            self._millis = True
        else:
            self._other_numbers = True

    def see_text(self, text: str) -> Form:
        """Look at a text, and return its form."""
        form = "text" if "text" in self.found else self._form(text)
        self.found.add(form)
        return form

    def _form(self, text: str) -> Form:
        if not text:
            return "empty"
        if text[0] in "-0123456789":
            return self._of_digits(text)
        return _TRUTHS.get(text.lower(), "text") if text.isascii() else "text"

    def _of_digits(self, text: str) -> Form:
        if _NUMBER.fullmatch(text) and len(text) <= _MOST_DIGITS:
            self.see_number(text)
            return "number"
        if _DIGITS.fullmatch(text):
            return "code"
        if text[4:5] == "-" and len(text) == len("2026-01-31"):
            return "day" if _fits(_DAY, text) else "text"
        if text[10:11] == "T":
            return next((form for form, column in _TIMES if _fits(column, text)), "text")
        self.patterns = tuple(one for one in self.patterns if _fits(_BY_PATTERN[one], text))
        return "pattern" if self.patterns else "text"


def _fits(column: Column, text: str) -> bool:
    try:
        column_value(column, {"S": text})
    except Misfit:
        return False
    return True
