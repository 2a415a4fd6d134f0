"""Whether Silver would take an item, before it is written: the check of one item against its contract.

It agrees with Silver: an item without a mismatch is never quarantined when its change arrives, and one that has a
mismatch would be. Values are read by the reference decoder, which verification compares with Silver's own.

Belongs here: a pure function of contract and item. Does not belong here: what DynamoDB takes (stored_item), requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medallion_assets.contracts.entity import TextPattern
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.ingest.mismatch import Mismatch, shape
from medallion_assets.ingest.row_rule import blocking_rules
from medallion_assets.ingest.stored_item import Item
from medallion_assets.reconciliation.reference_decoder import column_value, extra_of, value
from medallion_assets.reconciliation.reference_format import Misfit


class Validator:
    """The check of items of one contract. It has no state, so threads may share it."""

    def __init__(self, contract: Contract) -> None:
        """`contract` is of one table, or of one entity of a table."""
        self.contract = contract
        self._columns = [(column, blocking_rules(column)) for column in contract.columns.values()]
        self._key = {column.name for column in contract.key_columns}

    def mismatches(self, item: Item) -> list[Mismatch]:
        """Return every mismatch of an item in DynamoDB's own form (`stored_item`); none if Silver would take it.

        Of an item that `deleted_when` calls deleted, Silver reads only the key, so only the key is checked.
        """
        if not self.is_of_entity(item):
            return list(self._foreign(item))
        deleted = self.is_deleted(item)
        return list(self._broken(item, deleted=deleted)) + ([] if deleted else list(self._undeclared(item)))

    def is_of_entity(self, item: Mapping[str, Any]) -> bool:
        """Return whether the contract's `where` matches the item."""
        return all(_is_like(pattern, item.get(name)) for name, pattern in (self.contract.where or {}).items())

    def is_deleted(self, item: Mapping[str, Any]) -> bool:
        """Return whether the contract's `deleted_when` calls the item deleted."""
        condition = self.contract.deleted_when
        if condition is None:
            return False
        tagged = item.get(condition.attribute)
        if condition.value is None:
            return tagged is not None and "NULL" not in tagged
        return _is_like(TextPattern(condition.value), tagged)

    def _foreign(self, item: Item) -> Iterator[Mismatch]:
        for name, pattern in (self.contract.where or {}).items():
            if not _is_like(pattern, item.get(name)):
                yield Mismatch(name, shape(item.get(name)), f"{pattern}: an item of {self.contract.lake_name}")

    def _broken(self, item: Item, *, deleted: bool) -> Iterator[Mismatch]:
        for column, rules in self._columns:
            is_key = column.name in self._key
            if deleted and not is_key:
                continue
            tagged = item.get(column.attribute)
            try:
                found = column_value(column, tagged)
            except Misfit:
                yield _misfit(column, tagged)
                continue
            if found is None and is_key:
                yield Mismatch(column.attribute, shape(tagged), f"{column.expected}, of the key")
                continue
            if not deleted:
                for expected, breaks in rules:
                    if breaks(found):
                        yield Mismatch(column.attribute, shape(tagged), expected)

    def _undeclared(self, item: Item) -> Iterator[Mismatch]:
        if self.contract.shape == "freeze":
            for name in extra_of(self.contract, item) or ():
                yield Mismatch(name, shape(item[name]), "only attributes that the contract declares or drops")


def _misfit(column: Column, tagged: Mapping[str, Any] | None) -> Mismatch:
    """Return the mismatch of a value that does not fit its column, at the innermost place that does not."""
    place, type_, seen = column.attribute, column.type, tagged
    if not column.is_usual or seen is None:
        return Mismatch(place, shape(seen), column.expected)
    while inner := next((one for one in _inside(place, type_, seen) if not _fits(one[1], one[2])), None):
        place, type_, seen = inner
    return Mismatch(place, shape(seen), str(type_))


def _fits(type_: ColumnType, tagged: Mapping[str, Any]) -> bool:
    try:
        value(type_, tagged)
    except Misfit:
        return False
    return True


def _inside(
    place: str, type_: ColumnType, tagged: Mapping[str, Any]
) -> Iterator[tuple[str, ColumnType, Mapping[str, Any]]]:
    """Yield the values inside one, each with its place and type."""
    ((tag, inside),) = tagged.items()
    if type_.kind == "struct" and tag == "M":
        yield from ((f"{place}.{name}", field, inside[name]) for name, _, field in type_.fields if name in inside)
    elif type_.element is not None and type_.kind == "map" and tag == "M":
        yield from ((f"{place}.{name}", type_.element, one) for name, one in inside.items())
    elif type_.element is not None and type_.kind == "list" and tag == "L":
        yield from ((f"{place}[{at}]", type_.element, one) for at, one in enumerate(inside))


def _is_like(pattern: TextPattern, tagged: Mapping[str, Any] | None) -> bool:
    ((tag, inside),) = (tagged or {"NULL": True}).items()
    if tag not in {"S", "N", "BOOL"}:
        return False
    text = str(inside).lower() if tag == "BOOL" else inside
    return bool(text.startswith(pattern.text) if pattern.is_prefix else text == pattern.text)
