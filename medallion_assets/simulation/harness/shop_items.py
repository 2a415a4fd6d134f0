"""Items of the shop's tables: customers, orders and readings, good ones and bad ones.

Belongs here: which items there are. Does not belong here: when they are written (histories), the contracts (shop).
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

Item = dict[str, Any]
"""DynamoDB JSON; binary is base64 text, so that a history is JSON."""


class ShopItems:
    """Draws items of the shop's tables: few keys, one of them hot, so that changes of one key are close."""

    def __init__(self, dice: random.Random, start: datetime) -> None:
        self._dice = dice
        self._start = start

    def key(self, table: str) -> Item:
        """Return a key of the table."""
        dice = self._dice
        if table == "Customers":
            return {"CustomerID": {"S": self._hot("c", 4)}}
        if table == "Orders":
            return {"OrderID": {"S": self._hot("o", 7)}}
        return {"Device": {"S": self._hot("d", 3)}, "At": {"N": str(dice.randint(1, 3))}}

    def good(self, table: str) -> Item:
        """Return an item that its contracts take."""
        item = {**self.key(table), **self._all(table)}
        if table == "Readings" and self._dice.random() < 0.3:
            at = self._start + timedelta(minutes=self._dice.choice([-60, 1, 30]))
            item["ExpiresAt"] = {"N": str(int(at.timestamp()))}
        if self._dice.random() < 0.15:
            item["Surplus"] = self._anything()
        return item

    def some(self, table: str) -> Item:
        """Return some attributes of an item, for an update."""
        attributes = self._all(table)
        return {name: attributes[name] for name in self._dice.sample(sorted(attributes), k=min(2, len(attributes)))}

    def bad(self, table: str) -> Item:
        """Return an item that breaks the first contract of its table."""
        item = self.good(table)
        attribute, value = self._dice.choice(_MISTAKES[table])
        if value is None:
            item.pop(attribute, None)
        else:
            item[attribute] = value
        return item

    def _all(self, table: str) -> Item:
        return {"Customers": self._customer, "Orders": self._order, "Readings": self._reading}[table]()

    def _customer(self) -> Item:
        dice = self._dice
        item: Item = {
            "Name": {"S": dice.choice(["Ada", "Bo", "Čeněk", 'O\'Neil "x"', "山田"])},
            "Tier": {"N": str(dice.randint(0, 3))},
        }
        if dice.random() < 0.85:
            item["Region"] = {"S": dice.choice(["north", "south", "east"])}
        if dice.random() < 0.4:
            item["Segment"] = {"S": dice.choice(["new", "loyal"])}
        return item

    def _order(self) -> Item:
        dice = self._dice
        item: Item = {
            "CustomerID": {"S": self._hot("c", 5)},
            "OrderDate": {"S": self._moment()},
            "Amount": {"N": dice.choice(["0", "0.1", "0.2", "19.99", "7", "1234567890.12", "0.07", "9999999999.99"])},
        }
        if dice.random() < 0.9:
            item["Status"] = {"S": dice.choice(["open", "paid", "cancelled"])}
        if dice.random() < 0.2:
            item["Secret"] = {"S": "never shown"}
        if dice.random() < 0.2:
            item["Coupon"] = {"S": dice.choice(["SPRING", "AUTUMN"])}
        return item

    def _reading(self) -> Item:
        dice = self._dice
        item: Item = {
            "Small": {"N": dice.choice(["0", "-1", "2147483647", "-2147483648"])},
            "Big": {"N": dice.choice(["9223372036854775807", "1", "9007199254740993"])},
            "Exact": {"N": self._exact()},
            "Rough": {"N": dice.choice(["0.5", "1E+20", "-2.25"])},
            "Flag": {"BOOL": dice.random() < 0.5},
            "Blob": {"B": base64.b64encode(dice.randbytes(dice.randint(1, 4))).decode()},
            "Day": {"S": dice.choice(["2026-01-04", "2024-02-29", "0001-01-01"])},
            "Seen": {"S": self._moment()},
            "Note": {"S": dice.choice(["", "fine", "zeile\nzwei"])},
            "Names": {"L": [{"S": dice.choice("ab")} for _ in range(dice.randint(0, 2))]},
            "Tags": {"SS": dice.sample(["x", "y", "é"], k=dice.randint(1, 3))},
            "Levels": {"NS": dice.sample(["3", "-1", "20"], k=dice.randint(1, 3))},
            "Counts": {
                "M": {name: {"N": str(dice.randint(0, 9))} for name in dice.sample("pqr", k=dice.randint(0, 2))}
            },
            "Place": {"M": {"Lat": {"N": dice.choice(["50.1", "-0.000001"])}, "Label": {"S": "here"}}},
            "Anything": self._anything(),
        }
        if dice.random() < 0.1:
            item["Place"]["M"]["Undeclared"] = {"N": "1"}
        for name in dice.sample(sorted(item), k=dice.randint(0, 6)):
            if dice.random() < 0.2:
                item[name] = {"NULL": True}
            else:
                del item[name]
        return item

    def _anything(self) -> Item:
        return self._dice.choice(
            [
                {"M": {"a": {"N": "1.5"}, "b": {"L": [{"S": "x"}, {"N": "2"}, {"NULL": True}]}}},
                {"N": "12345678901234567890123456789012345678"},
                {"S": "text"},
                {"NS": ["2", "10"]},
                {"BOOL": True},
            ]
        )

    def _exact(self) -> str:
        whole = self._dice.choice(["0", "3", "100000000000000000007", "-1000000000000"])
        return whole + self._dice.choice(["", ".0000000001", ".1", ".9999999999"])

    def _moment(self) -> str:
        at = self._start - timedelta(hours=self._dice.choice([0, 1, 11, 24, 30, 50]), seconds=self._dice.randint(0, 99))
        if self._dice.random() < 0.2:
            return at.replace(tzinfo=None).isoformat(timespec="seconds") + self._dice.choice(["+02:00", "-11:30"])
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _hot(self, letter: str, count: int) -> str:
        return f"{letter}1" if self._dice.random() < 0.35 else f"{letter}{self._dice.randint(1, count)}"


_MISTAKES: Final[Mapping[str, Sequence[tuple[str, Item | None]]]] = {
    "Customers": (("Tier", {"N": "-1"}), ("Tier", {"S": "gold"}), ("Name", None), ("Name", {"NULL": True})),
    "Orders": (
        ("Amount", {"N": "-0.01"}),
        ("Amount", {"N": "1.005"}),
        ("Amount", None),
        ("OrderDate", {"S": "yesterday"}),
        ("CustomerID", {"BOOL": True}),
    ),
    "Readings": (
        ("Small", {"N": "2147483648"}),
        ("Day", {"S": "2026-02-30"}),
        ("Note", {"S": "a#b"}),
        ("At", {"N": "1.5"}),
        ("Place", {"M": {"Lat": {"S": "north"}}}),
        ("Exact", {"N": "0.12345678901"}),
        ("Counts", {"L": []}),
    ),
}
"""By table: an attribute and its bad value (None: the attribute is left out)."""
