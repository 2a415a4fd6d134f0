"""A counter as its consumer needs it: which items of which table it counts, by what, and what it sums.

Belongs here: the counter as plain data, which a function or a process receives as JSON. Does not belong here: the file
that a domain writes, and its mistakes (counter_file); what one item adds (contribution).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, Self

from medallion_assets.errors import SettingsError

VARIABLE: Final = "MEDALLION_COUNTERS"
"""The environment variable that has the counters of a function, as `to_json` writes them."""

COUNT: Final = "count"


@dataclass(frozen=True, slots=True)
class Value:
    """A column of the contract whose value a counter reads: its name in the lake, its attribute and its type.

    `precision` and `scale` are those of a decimal.
    """

    name: str
    attribute: str
    kind: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one attribute: its text is `text`, or begins with it if `is_prefix`.

    With None it is there and not NULL.
    """

    attribute: str
    text: str | None = None
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of the items of one DynamoDB table, by the contract's name of it.

    - silver: the lake name of the contract whose items it counts
    - passes: what an item must pass; fails: what it must not pass (the contract's `deleted_when`)
    - by: what the groups are made of; day: the last part of a group is the UTC day of this value
    - sums: what is summed, beside the count of the items
    """

    name: str
    table: str
    silver: str = ""
    by: tuple[Value, ...] = ()
    day: Value | None = None
    sums: tuple[Value, ...] = ()
    passes: tuple[Condition, ...] = ()
    fails: tuple[Condition, ...] = ()

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of the parts of a group, in order."""
        return (*(value.name for value in self.by), *(("day",) if self.day else ()))

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of what is known of each group: the count, and for each sum how many values it has."""
        return (COUNT, *(name for value in self.sums for name in (sum_of(value.name), values_of(value.name))))

    def described(self, group: Sequence[Any], measures: dict[str, Decimal]) -> dict[str, Any]:
        """Return a group as a reader sees it: its parts and measures by name."""
        known = {name: measures.get(name, Decimal(0)) for name in self.measures}
        scales = {sum_of(value.name): value.scale for value in self.sums if value.kind == "decimal"}
        shown: dict[str, Any] = dict(zip(self.group_names, group, strict=True))
        for name, number in known.items():
            shown[name] = f"{number:.{scales[name]}f}" if name in scales else int(number)
        return shown

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Return the counter that `asdict` described."""
        return cls(
            name=data["name"],
            table=data["table"],
            silver=data["silver"],
            by=tuple(Value(**value) for value in data["by"]),
            day=Value(**data["day"]) if data["day"] else None,
            sums=tuple(Value(**value) for value in data["sums"]),
            passes=tuple(Condition(**one) for one in data["passes"]),
            fails=tuple(Condition(**one) for one in data["fails"]),
        )


def sum_of(column: str) -> str:
    """Return the name of a column's sum."""
    return f"sum_{column}"


def values_of(column: str) -> str:
    """Return the name of the number of a column's values that are not null: what its average is divided by."""
    return f"values_{column}"


def to_json(counters: Sequence[Counter]) -> str:
    """Return counters as text."""
    return json.dumps([asdict(counter) for counter in counters], separators=(",", ":"))


def from_json(text: str) -> tuple[Counter, ...]:
    """Return the counters in a text that `to_json` wrote. Raises SettingsError."""
    try:
        return tuple(Counter.from_data(data) for data in json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{text[:80]!r}: expected counters as JSON ({type(error).__name__}: {error}); deploy the function again"
        ) from error


def load_counters() -> tuple[Counter, ...]:
    """Return the counters in this process's MEDALLION_COUNTERS. Raises SettingsError."""
    text = os.environ.get(VARIABLE)
    if not text:
        raise SettingsError(f"{VARIABLE} is not set; expected counters as JSON, as the deployment writes them")
    return from_json(text)
