"""What a contract should say of a table, by what was seen in some of its items.

Belongs here: types, rules and what to drop. Does not belong here: counting (seen), the file's text (contract_text).

A proposal takes what was seen, with room for larger values, and never a type that would lose something. A rule that a
later item may break warns and does not hold the item back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from medallion_assets.contracts.names import identifier, snake_case
from medallion_assets.infer.names import free_name
from medallion_assets.infer.propose_format import Written, month_or_day_first, written
from medallion_assets.infer.sample import Sample
from medallion_assets.infer.seen import MOST_FIELDS, Seen, SeenTable

_BIGINT_DIGITS: Final = 18
_MOST_DIGITS: Final = 38
_ROOM: Final = 4
"""Digits before the point more than were seen."""

_SMALLEST_DECIMAL: Final = 12
_SMALLEST_SCALE: Final = 2
"""Of numbers that are not whole: money in which only 12.5 was seen has two digits after the point."""

_MOST_CHOICES: Final = 20
_TIMES_EACH: Final = 20
"""How often each of a column's few values is there at least, on average, for them to be all that there are."""

_ENOUGH: Final = 100
"""Occurrences after which `always` and `only these` mean something."""

_MOST_STRUCT_FIELDS: Final = 30
_OVERLAP: Final = 0.9
_TELLING_CHARACTERS: Final = 6
"""Values of this length that are keys of another table are no accident; shorter ones also need its name."""

_COPIED: Final = 0.6
"""The share of a map's attributes that another table has, too, for the map to be a copy of that table's item."""

_SECRET: Final = re.compile(r"(?i)passwor[dt]|passwd|secret|token|api_?key|credential|private_?key")
_PERSONAL: Final = re.compile(
    r"(?i)(^|_)(e_?mail|phone|mobile|fax|first_?name|last_?name|full_?name|sur_?name|given_?name|family_?name|name|"
    r"address|street|city|zip|postal_?code|post_?code|birth\w*|dob|gender|ssn|passport|iban|bic|card\w*|ip|ip_address|"
    r"latitude|longitude|lat|lon|lng)($|_)"
)
_MAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}")
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_DELETED: Final = re.compile(r"(is_)?(soft_)?deleted(_at|_on|_date|_time|_flag)?")
_UNWRITABLE: Final = re.compile(r"[,<>():\s]")
"""What the text of a struct's type cannot have in an attribute's name."""


@dataclass(frozen=True)
class Proposal:
    """One attribute in the proposed contract.

    - spec: what stands after its name: a type, or a mapping with rules
    - notes: what was seen, for a comment
    """

    attribute: str
    spec: Any
    notes: tuple[str, ...]


@dataclass
class ProposedContract:
    """The parts of a proposed contract.

    - drop: attributes that should not reach the lake, with the reason of each
    - left: attributes that become no column, with the reason of each
    """

    sample: Sample
    seen: SeenTable
    columns: list[Proposal] = field(default_factory=list)
    drop: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def deleted_when(self) -> str | None:
        """The condition of items that the application seems to have marked as deleted; None if there is none."""
        for attribute, seen in self.seen.attributes.items():
            if _DELETED.fullmatch(snake_case(attribute)):
                if seen.kinds == {"BOOL"} or "true" in seen.values:
                    return f"{attribute} = true"
                if seen.count < self.seen.items:
                    return f"{attribute} is present"
        return None

    @property
    def lake_name(self) -> str:
        """The table's name in the lake."""
        return self.sample.lake_name


def propose(tables: list[tuple[Sample, SeenTable]]) -> list[ProposedContract]:
    """Return a contract for each of the tables, which may refer to each other."""
    found = [ProposedContract(sample, seen) for sample, seen in tables]
    for contract in found:
        names: dict[str, str] = {}
        keys = [contract.sample.key.hash, *([contract.sample.key.range] if contract.sample.key.range else [])]
        seen = contract.seen.attributes
        for attribute in [*keys, *(name for name in seen if name not in keys)]:
            one = seen.get(attribute, Seen())
            if attribute in keys:
                contract.columns.append(
                    _column(contract, attribute, ({"type": _key_type(contract, attribute)}, []), names)
                )
                continue
            if _SECRET.search(snake_case(attribute)):
                contract.drop[attribute] = "looks like a secret"
                continue
            if (copied := _copy_of(one, contract, found)) is not None:
                contract.drop[attribute] = f"looks like a copy of an item of {copied}"
                continue
            type_, notes = type_of(one)
            if type_ is None:
                contract.left[attribute] = "only null was seen"
                continue
            others = [other for other in found if other is not contract]
            said: Written = {"type": type_}, notes
            if _referred(attribute, one, "string", others) is None:
                said = written(attribute, one, _number_type) or said
            contract.columns.append(_column(contract, attribute, said, names, others=others))
        for attribute in [*keys, *(name for name in seen if name not in keys)]:
            contract.columns += _parts(contract, attribute, names)
    return found


def type_of(seen: Seen) -> tuple[str | None, list[str]]:
    """Return the type for what was seen, as a contract writes it, and notes; None if only null was seen."""
    match sorted(seen.kinds):
        case []:
            return None, []
        case [kind]:
            return _TYPES[kind](seen)
        case ["N", "S"]:
            return "string", [f"texts ({seen.tags['S']:,}) and numbers ({seen.tags['N']:,})"]
        case kinds:
            return "json", [f"values of different types: {', '.join(f'{tag} {seen.tags[tag]:,}' for tag in kinds)}"]


def _text_type(seen: Seen) -> tuple[str, list[str]]:
    match sorted(seen.forms.found):
        case ["day"]:
            return "date", []
        case ["time"]:
            return "timestamp", []
        case ["number"] | ["code"] | ["code", "number"]:
            return "string", ["each text is a number"]
        case ["pattern"] if month_or_day_first(seen):
            return "string", [f"days or times, written as {' or '.join(seen.forms.patterns)}: say which by `from`"]
    return "string", ["some texts are empty"] if "empty" in seen.forms.found else []


def _number_type(seen: Seen) -> tuple[str, list[str]]:
    before, after = seen.integer_digits, seen.scale
    if after <= 0 and before <= _BIGINT_DIGITS:
        return "bigint", [f"may be {' or '.join(seen.forms.epochs)}"] if seen.forms.epochs else []
    if max(after, 0) + before > _MOST_DIGITS:
        return "string", [f"numbers of {before} digits before the point and {after} after it, too long for a decimal"]
    scale = min(max(after, _SMALLEST_SCALE), _MOST_DIGITS - before) if after > 0 else 0
    precision = max(min(before + _ROOM, _MOST_DIGITS - scale) + scale, _SMALLEST_DECIMAL)
    return f"decimal({precision},{scale})", [f"{before} digits before the point, {max(after, 0)} after it"]


def _map_type(seen: Seen) -> tuple[str, list[str]]:
    if not seen.fields:
        return "json", []
    types = {name: type_of(one)[0] for name, one in seen.fields.items()}
    usual = sum(one.count for one in seen.fields.values()) / (len(seen.fields) * max(seen.tags["M"], 1))
    if len(seen.fields) >= MOST_FIELDS or (len(seen.fields) > _MOST_STRUCT_FIELDS and usual < 0.2):
        kinds = {*types.values(), *([type_of(seen.members)[0]] if seen.members else [])}
        (one, *more) = kinds
        of_one_type = one not in {None, "json"} and not more
        return (f"map<{one}>" if of_one_type else "json"), ["its keys are data"]
    names = [_field_name(name) for name in types]
    if None in names or len(set(names)) < len(names) or len(types) > _MOST_STRUCT_FIELDS:
        return "json", []
    known = {name: type_ for name, type_ in types.items() if type_ is not None}
    return f"struct<{','.join(f'{name}:{type_}' for name, type_ in known.items())}>" if known else "json", []


def _list_type(seen: Seen) -> tuple[str, list[str]]:
    member, _ = type_of(seen.members) if seen.members else (None, [])
    return (f"list<{member}>" if member not in {None, "json"} else "json"), []


def _number_set_type(seen: Seen) -> tuple[str, list[str]]:
    member, notes = _number_type(seen.members or Seen())
    return f"set<{member}>", notes


_TYPES: Final[Mapping[str, Callable[[Seen], tuple[str, list[str]]]]] = {
    "S": _text_type,
    "N": _number_type,
    "B": lambda _: ("binary", []),
    "BOOL": lambda _: ("bool", []),
    "M": _map_type,
    "L": _list_type,
    "SS": lambda _: ("set<string>", []),
    "NS": _number_set_type,
    "BS": lambda _: ("set<binary>", []),
}
"""What makes the type of an attribute that always has the same type tag."""


def _field_name(attribute: str) -> str | None:
    try:
        writable = attribute.isprintable() and not _UNWRITABLE.search(attribute)
        return identifier(snake_case(attribute)) if writable else None
    except ValueError:
        return None


def _key_type(contract: ProposedContract, attribute: str) -> str:
    """Return the type of a part of the key; an empty table's is what DynamoDB says."""
    seen = contract.seen.attributes.get(attribute, Seen())
    kinds = seen.kinds or {contract.sample.key_tags.get(attribute, "S")}
    if kinds == {"N"}:
        return _number_type(seen)[0]
    return "binary" if kinds == {"B"} else "string"


def _column(
    contract: ProposedContract,
    attribute: str,
    said: Written,
    names: dict[str, str],
    *,
    others: list[ProposedContract] | None = None,
) -> Proposal:
    """Return an attribute as a column; `others` are the tables that it may refer to, None for a part of the key."""
    seen, items = contract.seen.attributes.get(attribute, Seen()), contract.seen.items
    spec, notes = dict(said[0]), list(said[1])
    type_ = spec["type"]
    name = free_name(attribute, names)
    names[name] = attribute
    if name != snake_case(attribute):
        spec["rename"] = name
        notes.append(f"{snake_case(attribute)!r} is no name for the lake, or is taken")
    rules: list[dict[str, Any]] = []
    personal = _is_personal(attribute, seen)
    if others is not None:
        if seen.count == items >= _ENOUGH and "NULL" not in seen.tags:
            rules.append({"required": True, "severity": "warn"})
        elif seen.count < items:
            notes.insert(0, f"in {_share(seen.count, items)} of the items")
        if (choices := _choices(seen, type_)) and not personal:
            rules.append({"values": choices, "severity": "warn"})
        if (other := _referred(attribute, seen, type_, others)) is not None:
            rules.append({"references": other.lake_name, "severity": "warn"})
            notes.append(f"its values are keys of {other.sample.title}")
    if personal:
        notes.append("personal data?")
    elif type_.startswith("struct<") and (
        inside := [name for name, one in seen.fields.items() if _is_personal(name, one)]
    ):
        notes.append(f"personal data in {', '.join(inside)}?")
    if rules:
        spec["rules"] = rules
    return Proposal(attribute, spec if len(spec) > 1 else type_, tuple(notes))


def _parts(contract: ProposedContract, attribute: str, names: dict[str, str]) -> list[Proposal]:
    """Return a column for each part of a column's texts that differs, if all texts are put together alike."""
    known = {column.attribute: column.spec for column in contract.columns}
    seen = contract.seen.attributes.get(attribute, Seen())
    if known.get(attribute) != "string" or seen.kinds != {"S"}:
        return []

    def free(wanted: str) -> str:
        name = free_name(wanted, {**names, **dict.fromkeys(contract.seen.attributes, "")})
        names[name] = name
        return name

    found = seen.pieces.template(attribute, free)
    if found is None:
        return []
    template, parts = found
    return [Proposal(name, {"type": "string", "source": attribute, "part": template}, ()) for name in parts]


def _choices(seen: Seen, type_: str) -> list[str]:
    few = not seen.more_values and 1 < len(seen.values) <= _MOST_CHOICES and all(map(str.isprintable, seen.values))
    often = seen.count >= max(_ENOUGH, _TIMES_EACH * len(seen.values))
    return sorted(seen.values) if type_ == "string" and seen.kinds == {"S"} and few and often else []


def _referred(attribute: str, seen: Seen, type_: str, others: list[ProposedContract]) -> ProposedContract | None:
    """Return the table whose keys these values are, if there is exactly one."""
    found = []
    for other in others:
        key = other.sample.key
        if key.range is not None or not seen.values or _key_type(other, key.hash) != type_:
            continue
        share = sum(value in other.seen.keys for value in seen.values) / len(seen.values)
        named = snake_case(attribute) == snake_case(key.hash) or other.lake_name.rstrip("s") in snake_case(attribute)
        long = sum(map(len, seen.values)) / len(seen.values) >= _TELLING_CHARACTERS
        if share >= _OVERLAP and (named or (long and len(seen.values) > 1)):
            found.append(other)
    return found[0] if len(found) == 1 else None


def _copy_of(seen: Seen, contract: ProposedContract, others: list[ProposedContract]) -> str | None:
    """Return the other table whose items these maps repeat."""
    if seen.kinds != {"M"} or len(seen.fields) < 2:  # one attribute says nothing
        return None
    for other in others:
        known = other.seen.attributes.keys()
        if other is not contract and len(known & seen.fields.keys()) >= _COPIED * len(seen.fields):
            return other.sample.title
    return None


def _is_personal(attribute: str, seen: Seen) -> bool:
    if _PERSONAL.search(snake_case(attribute)):
        return True
    texts = list(seen.values)[:_ENOUGH]
    if not texts or "S" not in seen.kinds:
        return False
    return sum(bool(_MAIL.fullmatch(one) or _IBAN.fullmatch(one)) for one in texts) > len(texts) / 2


def _share(part: int, whole: int) -> str:
    return "less than 1 %" if part * 100 < whole else f"{part * 100 // whole} %"
