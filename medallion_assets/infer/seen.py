"""What was seen in the items of a table: of each attribute its types, how wide its values are, and how many differ.

Belongs here: counting. Does not belong here: what follows for a contract (propose).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from medallion_assets.errors import SettingsError
from medallion_assets.infer.forms import Forms
from medallion_assets.infer.pieces import Pieces
from medallion_assets.infer.sample import Sample

MOST_VALUES: Final = 1_000
"""Different values of an attribute that are remembered."""

MOST_FIELDS: Final = 100
"""Different attributes of a map that are remembered; a map with more is keyed by data."""

_DEEPEST: Final = 4
"""Levels of maps and lists that are looked into; what is deeper stays JSON."""

_FORM: Final = re.compile(r"[+-]?(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?", re.ASCII)


@dataclass
class Seen:
    """One attribute, or the members of a list, a set or a map.

    - count: how often it was there; tags: by type tag of DynamoDB
    - values: how often each text or number was there, MOST_VALUES of them; more_values: there were others
    - forms: what its texts and numbers may be; pieces: what its texts are put together from
    - integer_digits, scale: the most digits before and after the point of a number, also of one that is text, without
      zeros that say nothing
    - longest: characters of the longest text
    - fields: the attributes of its maps, MOST_FIELDS of them
    - members: those of its lists and sets, and further values of its maps
    """

    depth: int = 0
    count: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    more_values: bool = False
    forms: Forms = field(default_factory=Forms)
    pieces: Pieces = field(default_factory=Pieces)
    integer_digits: int = 0
    scale: int = 0
    longest: int = 0
    fields: dict[str, Seen] = field(default_factory=dict)
    members: Seen | None = None

    def see(self, tagged: Mapping[str, Any]) -> None:
        """Count one value."""
        ((tag, inside),) = tagged.items()
        self.count += 1
        self.tags[tag] += 1
        match tag:
            case "S":
                self._text(inside)
            case "N":
                self._number(inside)
            case "M" if self.depth < _DEEPEST:
                for name, one in inside.items():
                    known = name in self.fields or len(self.fields) < MOST_FIELDS
                    (_at(self.fields, name, self.depth + 1) if known else self._member()).see(one)
            case "L" if self.depth < _DEEPEST:
                for one in inside:
                    self._member().see(one)
            case "SS" | "NS" | "BS":
                for one in inside:
                    self._member().see({tag[0]: one})

    @property
    def kinds(self) -> frozenset[str]:
        """The type tags that were there, but for NULL."""
        return frozenset(self.tags) - {"NULL"}

    def _member(self) -> Seen:
        if self.members is None:
            self.members = Seen(self.depth + 1)
        return self.members

    def _text(self, text: str) -> None:
        if not self._remember(text):
            return
        self.longest = max(self.longest, len(text))
        self.pieces.see(text)
        if self.forms.see_text(text) == "number":
            self._digits(text)

    def _number(self, text: str) -> None:
        if self._remember(text):
            self.forms.see_number(text)
            self._digits(text)

    def _digits(self, text: str) -> None:
        if (form := _FORM.fullmatch(text)) is None:
            return
        before, after, shift = form[1], form[2], int(form[3] or 0)
        digits = (before + after).lstrip("0")
        kept = digits.rstrip("0")
        scale = len(after) - shift - (len(digits) - len(kept))
        self.scale = max(self.scale, scale if kept else 0)
        self.integer_digits = max(self.integer_digits, len(kept) - scale if kept else 0)

    def _remember(self, text: str) -> bool:
        """Count the value; return whether it was not known before, or may have been known as text and not as number."""
        known = text in self.values
        if known or len(self.values) < MOST_VALUES:
            self.values[text] += 1
        else:
            self.more_values = True
        return not known or {"S", "N"} <= self.tags.keys()


@dataclass
class SeenTable:
    """The items of one table.

    - attributes: by name, in the order in which they were first there
    - shapes: how many items have these attributes with these type tags
    - keys: the values of the hash key, as texts
    """

    items: int = 0
    attributes: dict[str, Seen] = field(default_factory=dict)
    shapes: Counter[tuple[tuple[str, str], ...]] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)


def look(sample: Sample) -> SeenTable:
    """Return what is seen in the items of a sample. Raises SettingsError for an item without the key."""
    table = SeenTable()
    keys = [sample.key.hash, *([sample.key.range] if sample.key.range else [])]
    for item in sample.items:
        table.items += 1
        if missing := [name for name in keys if name not in item]:
            raise SettingsError(
                f"{sample.table}: item {table.items} has no attribute {', '.join(missing)}; "
                "expected the key in each item. Correct --key."
            )
        for name, tagged in item.items():
            _at(table.attributes, name, 0).see(tagged)
        table.shapes[tuple(sorted((name, next(iter(tagged))) for name, tagged in item.items()))] += 1
        table.keys.add(str(next(iter(item[sample.key.hash].values()))))
    return table


def _at(seen: dict[str, Seen], name: str, depth: int) -> Seen:
    found = seen.get(name)
    if found is None:
        found = seen[name] = Seen(depth)
    return found
