"""The entities of a single-table design: which items of a sample are of one kind, by their keys or a type attribute.

Belongs here: telling entities apart, and when that is sure enough to be proposed. Does not belong here: what the
contract of an entity says (propose).

Entities are proposed only if no item can be of two of them, nearly every item is of one, and they have different
attributes. Words that are data, such as the countries in `US#1` and `DE#2`, are in front of items that are alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, islice
from typing import Final

from medallion_assets.contracts.entity import can_both_match, parse_pattern
from medallion_assets.contracts.names import snake_case
from medallion_assets.infer.names import free_name, lake_name
from medallion_assets.infer.sample import Item, Sample

_LOOKED_AT: Final = 1_000
"""Items in which a key that begins with a word and # is looked for, before all are kept in memory."""

_MOST_ENTITIES: Final = 20
_MOST_STRAY: Final = 0.01
"""The share of the items that may be of no entity."""

_ALIKE: Final = 0.5
"""The share of the attributes of the smaller one of two groups that the other one has, too, if they are one entity."""

_WORD: Final = r"[#$]?[A-Za-z][A-Za-z_-]{0,39}"
_BEGINNING: Final = re.compile(rf"({_WORD}#).+", re.DOTALL)
_CONSTANT: Final = re.compile(_WORD)
_TYPE_NAME: Final = re.compile(r"_*((entity|item|record|object|model|row)_?)?(type|kind|typename)_*|_et|__edb_e__")
_TYPE_VALUE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,59}")

Where = tuple[tuple[str, str], ...]
"""Patterns by attribute, as a contract writes them under `where`."""


class _Unclear(Exception):
    """Why no entities are proposed."""


def split(sample: Sample) -> list[Sample]:
    """Return a sample for each entity; the sample itself if it has one, or if an item could be of two.

    In the latter case a warning of the sample says why. The items of a table that may be a single-table design are read
    into memory.
    """
    items = iter(sample.items)
    first = list(islice(items, _LOOKED_AT))
    keys = [sample.key.hash, *([sample.key.range] if sample.key.range else [])]
    if not any(_BEGINNING.fullmatch(_text(item, name)) for item in first for name in keys):
        return [replace(sample, items=chain(first, items))]
    known = [*first, *items]
    whole = replace(sample, items=iter(known))
    try:
        groups, stray = _entities(known, keys)
    except _Unclear as why:
        begins = ", ".join(f"{one}…" for one in _beginnings(known, keys))
        warning = (
            f"{sample.table}: its keys begin with {begins}, but no entities are proposed: {why}. One contract "
            "has all items. If they are several entities, write a contract for each, with `where`."
        )
        return [replace(whole, warnings=(*sample.warnings, warning))]
    if len(groups) == 1 and not stray:
        return [whole]
    warnings = sample.warnings
    if stray:
        warnings += (
            f"{sample.table}: {stray:,} of {len(known):,} items are of none of the proposed entities. They stay in "
            "Bronze, and `medallion status` counts their changes.",
        )
    return [
        replace(
            sample,
            items=iter(of_it),
            size=None,
            name=_name(where),
            where=dict(where),
            part_of=len(known),
            warnings=() if at else warnings,
        )
        for at, (where, of_it) in enumerate(groups.items())
    ]


def name_apart(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with different names in the lake: an entity whose name is taken gets its table's in front."""
    counts = Counter(one.lake_name for one in samples)
    taken = {name: name for name in counts}
    found = []
    for sample in samples:
        named = sample
        if sample.where and counts[sample.lake_name] > 1:
            named = replace(sample, name=free_name(f"{sample.table}_{sample.lake_name}", taken))
            taken[named.lake_name] = named.table
        found.append(named)
    return found


def _entities(items: Sequence[Item], keys: Sequence[str]) -> tuple[dict[Where, list[Item]], int]:
    """Return the items of each entity, the largest first, and how many items are of none. Raises _Unclear."""
    types = _type_attribute(items)
    by_key = _grouped(items, lambda item: _key_patterns(item, keys, constants=True))
    if len(by_key) > _MOST_ENTITIES:  # what seems constant may be data: names of people
        by_key = _grouped(items, lambda item: _key_patterns(item, keys, constants=False))
    if len(by_key) > _MOST_ENTITIES:
        raise _Unclear(f"there are more than {_MOST_ENTITIES} kinds of keys")
    apart = _without_overlaps(by_key)
    stray = len(items) - sum(map(len, apart.values()))
    if len(apart) > 1 and stray <= _MOST_STRAY * len(items):
        if _are_different(list(apart.values()), keys, types):
            return apart, stray
        raise _Unclear("the items have the same attributes")
    if types is not None:
        by_type = _grouped(items, lambda item: ((types, _text(item, types)),))
        if len(by_type) > 1 and _are_different(list(by_type.values()), [*keys, types], None):
            return by_type, 0
    if len(by_key) == 1:
        return by_key, 0
    raise _Unclear(
        f"{stray:,} of {len(items):,} items have keys that others have, too, and no attribute says the type of each"
    )


def _key_patterns(item: Item, keys: Sequence[str], *, constants: bool) -> Where:
    """Return the patterns of an item's key; an attribute that is all data has none."""
    found = []
    for name in keys:
        text = _text(item, name)
        if (beginning := _BEGINNING.fullmatch(text)) is not None:
            found.append((name, f"{beginning[1]}*"))
        elif constants and _CONSTANT.fullmatch(text):
            found.append((name, text))
    return tuple(found)


def _grouped(items: Iterable[Item], patterns: Callable[[Item], Where]) -> dict[Where, list[Item]]:
    """Return the items by their patterns, the largest group first."""
    found: dict[Where, list[Item]] = {}
    for item in items:
        found.setdefault(patterns(item), []).append(item)
    return dict(sorted(found.items(), key=lambda one: (-len(one[1]), one[0])))


def _without_overlaps(groups: Mapping[Where, list[Item]]) -> dict[Where, list[Item]]:
    """Return the groups without those whose patterns items of another group match, too."""
    wheres = {one: {name: parse_pattern(text) for name, text in one} for one in groups}
    vague = {
        loose if len(loose) <= len(strict) else strict
        for one, other in combinations(groups, 2)
        if can_both_match(wheres[one], wheres[other])
        for loose, strict in [(one, other)]
    }
    return {one: items for one, items in groups.items() if one and one not in vague}


def _are_different(groups: Sequence[Sequence[Item]], keys: Sequence[str], types: str | None) -> bool:
    """Return whether two of the groups have different attributes, or another type in their type attribute."""
    names = [{name for item in group for name in item} - {*keys} for group in groups]
    said = [{_text(item, types) for item in group} if types is not None else set() for group in groups]
    return any(
        len(names[one] & names[other]) < _ALIKE * min(len(names[one]), len(names[other]))
        or (types is not None and not said[one] & said[other])
        for one, other in combinations(range(len(groups)), 2)
    )


def _type_attribute(items: Sequence[Item]) -> str | None:
    """Return the one attribute that says of each item which type it is; None if there is none, or are several."""
    shared = set(items[0]).intersection(*items[1:]) if items else set()
    found = []
    for name in shared:
        if _TYPE_NAME.fullmatch(snake_case(name)) or _TYPE_NAME.fullmatch(name.lower()):
            values = {_text(item, name) for item in items}
            if len(values) <= _MOST_ENTITIES and all(map(_TYPE_VALUE.fullmatch, values)):
                found.append(name)
    return found[0] if len(found) == 1 else None


def _beginnings(items: Sequence[Item], keys: Sequence[str]) -> list[str]:
    """Return with which words and # the keys begin, the most frequent first; five at most."""
    matches = (_BEGINNING.fullmatch(_text(item, name)) for item in items for name in keys)
    return [word for word, _ in Counter(one[1] for one in matches if one is not None).most_common(5)]


def _name(where: Where) -> str:
    """Return what an entity is called in the lake: the words of its patterns, each once."""
    words = dict.fromkeys(snake_case(text.strip("#$*")) for _, text in where)
    return lake_name("_".join(words))


def _text(item: Item, name: str) -> str:
    """Return a text attribute; an empty text if it is none."""
    found = item.get(name, {}).get("S", "")
    return found if isinstance(found, str) else ""
