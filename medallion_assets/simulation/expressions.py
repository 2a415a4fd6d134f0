"""The small part of DynamoDB's expressions that the simulator speaks.

Belongs here: SET and REMOVE of top-level attributes, conditions joined by AND, lists of names. Does not belong here:
the rest of the language; what is not understood raises NotImplementedError with the expression, it is never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from medallion_assets.simulation.aws_error import invalid
from medallion_assets.simulation.items import Item, same

_NAME: Final = r"(#[A-Za-z0-9_]+|[A-Za-z_][A-Za-z0-9_]*)"
_VALUE: Final = r"(:[A-Za-z0-9_]+)"
_CLAUSE: Final = re.compile(r"\b(SET|REMOVE)\b", re.IGNORECASE)
_SET: Final = re.compile(rf"\s*{_NAME}\s*=\s*{_VALUE}\s*")
_BARE: Final = re.compile(rf"\s*{_NAME}\s*")
_EXISTS: Final = re.compile(rf"\s*(attribute_exists|attribute_not_exists)\s*\(\s*{_NAME}\s*\)\s*")
_EQUALS: Final = re.compile(rf"\s*{_NAME}\s*=\s*{_VALUE}\s*")

Condition = Callable[[Item | None], bool]


class Expressions:
    """The names and values of one request's expressions, and how they are read."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._names: Mapping[str, str] = request.get("ExpressionAttributeNames", {})
        self._values: Mapping[str, dict[str, Any]] = request.get("ExpressionAttributeValues", {})

    def update(self, text: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Return what an update expression sets, and which attributes it removes."""
        changes: dict[str, dict[str, Any]] = {}
        drop: list[str] = []
        before, *rest = _CLAUSE.split(text)
        if before.strip() or not rest:
            raise _unknown(text)
        for clause, body in zip(rest[::2], rest[1::2], strict=True):
            for part in body.split(","):
                match = (_SET if clause.upper() == "SET" else _BARE).fullmatch(part)
                if match is None:
                    raise _unknown(text)
                if clause.upper() == "SET":
                    changes[self._name(match[1])] = self._value(match[2])
                else:
                    drop.append(self._name(match[1]))
        return changes, drop

    def condition(self, text: str | None) -> Condition | None:
        """Return a condition on the item there is."""
        if text is None:
            return None
        parts = [self._one_condition(part, text) for part in re.split(r"\bAND\b", text, flags=re.IGNORECASE)]
        return lambda item: all(part(item) for part in parts)

    def projection(self, text: str | None) -> set[str] | None:
        """Return the attributes to answer with; None: all."""
        if text is None:
            return None
        matches = [_BARE.fullmatch(part) for part in text.split(",")]
        if None in matches:
            raise _unknown(text)
        return {self._name(match[1]) for match in matches if match}

    def _one_condition(self, part: str, text: str) -> Condition:
        if match := _EXISTS.fullmatch(part):
            name, wanted = self._name(match[2]), match[1] == "attribute_exists"
            return lambda item: (item is not None and name in item) is wanted
        if match := _EQUALS.fullmatch(part):
            name, value = self._name(match[1]), self._value(match[2])
            return lambda item: item is not None and name in item and same({"": item[name]}, {"": value})
        raise _unknown(text)

    def _name(self, name: str) -> str:
        if not name.startswith("#"):
            return name
        if name not in self._names:
            raise invalid(f"Invalid expression: An expression attribute name used is not defined: {name}")
        return self._names[name]

    def _value(self, name: str) -> dict[str, Any]:
        if name not in self._values:
            raise invalid(f"Invalid expression: An expression attribute value used is not defined: {name}")
        return self._values[name]


def _unknown(text: str) -> NotImplementedError:
    return NotImplementedError(f"the simulator cannot read the expression {text!r}; extend expressions.py")
