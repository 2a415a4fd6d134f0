"""A YAML file as plain data, by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), strictly.

Belongs here: what a scalar is, and what is refused: text that is not YAML, a key that is repeated or not text, a tag, a
merge key, aliases that repeat too much, deep nesting. Does not belong here: what a file must say (loader).

PyYAML reads YAML 1.1, where 0100 is 64, 10:30 is 630, `no` is false and 2026-01-31 is a date. Only its parser is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from medallion_assets.errors import ContractError

Location: TypeAlias = tuple[str | int, ...]
"""The place of a value in a file: the keys and list positions that lead to it."""

_MAX_DEPTH: Final = 64
_MAX_DIGITS: Final = 400
_MAX_REPEATED: Final = 10_000

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+\Z")
_BASED: Final = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NAN: Final = frozenset({".nan", ".NaN", ".NAN"})
_UNUSABLE: Final = re.compile("[\0\ud800-\udfff]")
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})


class Key(str):
    """A key of a mapping: the text that was written. `plain` says whether it was written without quotes."""

    plain: bool

    def scalar(self) -> Any:
        """Return the value that the text is as a scalar. Raises ValueError for a number of too many digits."""
        return core_scalar(str(self)) if self.plain else str(self)


@dataclass(frozen=True)
class YamlFile:
    """A file as read: its data, and the line on which each part of it begins."""

    path: Path
    data: Any
    lines: Mapping[Location, int] = field(repr=False)

    def mistake(self, location: Sequence[str | int], text: str) -> str:
        """Return the message of a mistake: the file's path, the place, the text, and the line if it is known."""
        parents = (tuple(location[:end]) for end in range(len(location), 0, -1))
        known = next((self.lines[part] for part in parents if part in self.lines), None)
        line = f" (line {known})" if known is not None else ""
        name = ".".join(str(part) for part in location)
        first, *more = text.split("\n")
        return "\n".join([f"{self.path}: {name + ': ' if name else ''}{first}{line}", *more])


# libyaml, which the wheels of PyYAML bring along, reads 200 contracts in a tenth of the time.
_FAST_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> YamlFile:
    """Return the file with its data as dicts with keys of text, lists, text, bool, int, Decimal and None.

    Raises ContractError that names the file, the line and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        raise ContractError(f"{path}: no such file") from missing
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ContractError(f"{path}: not readable as YAML: {unreadable}; expected text in UTF-8") from unreadable
    try:
        try:
            return _read(path, text, _FAST_LOADER)
        except yaml.YAMLError:
            return _read(path, text, yaml.SafeLoader)  # it says more of a mistake
    except _Refused as refused:
        raise ContractError(f"{path}: not readable as YAML: {refused}") from refused
    except yaml.MarkedYAMLError as broken:
        what = ", ".join(part for part in (broken.context, broken.problem) if part)
        raise ContractError(f"{path}: not readable as YAML: {what}{_at(broken.problem_mark)}") from broken
    except yaml.YAMLError as broken:
        at = text.count("\n", 0, getattr(broken, "position", 0)) + 1
        raise ContractError(
            f"{path}: not readable as YAML: {str(broken).splitlines()[0]}, which no text may hold (line {at})"
        ) from broken


def _read(path: Path, text: str, loader: Any) -> YamlFile:
    reader = _Reader(yaml.parse(text, Loader=loader))
    return YamlFile(path, reader.document(), reader.lines)


def core_scalar(text: str) -> bool | int | Decimal | str | None:
    """Return a scalar that is written without quotes: null, bool, int, Decimal (for a float) or text.

    Raises ValueError for a number with more digits than any column type.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text) or _BASED.match(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits; expected at most {_MAX_DIGITS}, or text in quotes")
        return int(text, 0) if _BASED.match(text) else int(text)
    if _FLOAT.match(text):
        return _decimal(text)
    if _INFINITE.match(text):
        return Decimal("-Infinity" if text.startswith("-") else "Infinity")
    return Decimal("NaN") if text in _NAN else text


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
        if len(number.as_tuple().digits) <= _MAX_DIGITS and abs(int(number.as_tuple().exponent)) <= _MAX_DIGITS:
            return number
    except InvalidOperation:  # an exponent of twenty digits
        pass
    raise ValueError(f"{text[:40]!r}: expected a number of at most {_MAX_DIGITS} digits, or text in quotes")


class _Refused(Exception):
    """The text is YAML, but uses something that our files may not use."""

    def __init__(self, why: str, mark: Any) -> None:
        super().__init__(why + _at(mark))


def _at(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


class _Reader:
    """Builds data from the parser's events, and notes the line of each part."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._repeated = 0
        self._built = 0
        self.lines: dict[Location, int] = {}

    def document(self) -> Any:
        """Return the data of the only document; None for an empty text."""
        next(self._events)  # the beginning of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        if not isinstance(end := next(self._events), yaml.StreamEndEvent):
            raise _Refused("a second document begins; expected one for each file", end.start_mark)
        return data

    def _value(self, event: Any, location: Location) -> Any:
        self.lines.setdefault(location, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if len(location) > _MAX_DEPTH:
            raise _Refused(f"nested more than {_MAX_DEPTH} levels deep; expected fewer brackets", event.start_mark)
        before = self._built
        self._built += 1
        if isinstance(event, yaml.ScalarEvent):
            data = self._scalar(event)
        elif event.tag is not None:
            raise _Refused(f"the tag {event.tag}; expected no tag", event.start_mark)
        elif isinstance(event, yaml.SequenceStartEvent):
            data = self._sequence(location)
        else:
            data = self._mapping(location)
        if event.anchor is not None:
            self._anchors[event.anchor] = (data, self._built - before)
        return data

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _Refused(f"*{event.anchor}: expected &{event.anchor} before it, and not around it", event.start_mark)
        data, size = self._anchors[event.anchor]
        self._repeated += size
        self._built += size
        if self._repeated > _MAX_REPEATED:
            raise _Refused(
                f"*{event.anchor}: the aliases repeat more than {_MAX_REPEATED} values; write them out or use fewer",
                event.start_mark,
            )
        return data

    def _scalar(self, event: Any) -> Any:
        text = self._text(event)
        if event.tag is not None or event.style:
            return text
        try:
            return core_scalar(text)
        except ValueError as unusable:
            raise _Refused(str(unusable), event.start_mark) from unusable

    def _text(self, event: Any) -> str:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _Refused(f"the tag {event.tag}; expected no tag, or !!str", event.start_mark)
        if _UNUSABLE.search(event.value):
            raise _Refused("text with a NUL or a half of a surrogate pair; no column can hold it", event.start_mark)
        return str(event.value)

    def _sequence(self, location: Location) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*location, len(found))))
        return found

    def _mapping(self, location: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in found:
                first = self.lines[(*location, str(key))]
                raise _Refused(f"key {str(key)!r} stands twice, first on line {first}", event.start_mark)
            self.lines[(*location, str(key))] = event.start_mark.line + 1
            found[key] = self._value(next(self._events), (*location, str(key)))
        return found

    def _key(self, event: Any) -> Key:
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused("a key that is a list, a mapping or an alias; expected text", event.start_mark)
        key = Key(self._text(event))
        key.plain = event.tag is None and not event.style
        if key.plain and key == "<<":
            raise _Refused("the merge key << is YAML 1.1; expected the keys themselves", event.start_mark)
        if key.plain and not key:
            raise _Refused("no key before the colon; expected one", event.start_mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = (str(key), 1)
        return key
