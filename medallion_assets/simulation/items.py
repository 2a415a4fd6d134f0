"""Items: what DynamoDB takes, how it writes it down, and items of every type by the dice.

Belongs here: the ten types' rules (limits, trimmed numbers, sets without order), sizes, key order, random items. Does
not belong here: a table's contents (table).
An item is {attribute: {tag: value}} as boto3's client gives it: numbers as text, binary as bytes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

Item = dict[str, dict[str, Any]]


def normal(item: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return the item as DynamoDB stores it, or raise ValueError with DynamoDB's words for what it refuses."""
    raise NotImplementedError


def size_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return an item's size as DynamoDB counts it."""
    raise NotImplementedError


def random_value(dice: random.Random, *, depth: int = 3) -> dict[str, Any]:
    """Return a tagged value of any of the ten types."""
    raise NotImplementedError


def random_number(dice: random.Random) -> str:
    """Return a number as DynamoDB writes it: up to 38 digits, 1E-130 to 9.99E+125, zeros trimmed."""
    raise NotImplementedError
