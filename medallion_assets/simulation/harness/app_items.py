"""The writes to `App`, the single-table design of the histories: papers, drafts, users, and items of no entity.

Belongs here: which changes there are. Does not belong here: when they happen (histories), the contracts (shop).
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any, Final

APP: Final = "App"

Item = dict[str, Any]


class AppItems:
    """Draws changes of few items, so that an item changes its entity now and then."""

    def __init__(self, dice: random.Random, start: datetime) -> None:
        self._dice = dice
        self._start = start

    def changes(self) -> list[dict[str, Any]]:
        """Return some changes, in the form of an act's."""
        return [self._change() for _ in range(self._dice.randint(1, 5))]

    def _change(self) -> dict[str, Any]:
        dice, key = self._dice, self._key()
        roll = dice.random()
        if roll < 0.15:
            return {"table": APP, "delete": key}
        if roll < 0.45:
            attributes = self._attributes()
            names = dice.sample(sorted(attributes), k=min(2, len(attributes)))
            return {"table": APP, "update": key, "set": {name: attributes[name] for name in names}}
        item = {**key, **self._attributes()}
        return {"table": APP, "put": item, "bad": _breaks_its_contract(item)}

    def _key(self) -> Item:
        pk = self._dice.choice(["DOC#1", "DOC#1", "DOC#2", "DOC#3", "USER#1", "USER#2", "CACHE#1"])
        sk = "V1" if pk.startswith("DOC#") else self._dice.choice(["PROFILE", "PROFILE", "SETTINGS"])
        return {"PK": {"S": pk}, "SK": {"S": sk}}

    def _attributes(self) -> Item:
        dice = self._dice
        item: Item = {
            "Kind": dice.choice([{"S": "paper"}, {"S": "paper"}, {"S": "draft"}, {"S": "old"}, {"NULL": True}]),
            "Pages": {"N": dice.choice(["1", "2", "300", "-1"])},
        }
        if dice.random() < 0.8:
            item["Title"] = {"S": dice.choice(["One", "Zwei", "三"])}
        if dice.random() < 0.2:
            item["Hidden"] = {"BOOL": dice.random() < 0.7}
        if dice.random() < 0.25:
            at = self._start + timedelta(minutes=dice.choice([-60, 1, 30]))
            item["ExpiresAt"] = {"N": str(int(at.timestamp()))}
        return item


def _breaks_its_contract(item: Item) -> bool:
    """Return whether an item breaks the first contract of its entity."""
    pk, kind = item["PK"]["S"], item["Kind"].get("S")
    if pk.startswith("DOC#") and kind == "paper":
        return "Title" not in item or item["Pages"]["N"] == "-1"
    return bool(pk.startswith("USER#") and item["SK"]["S"] == "PROFILE" and "Title" not in item)
