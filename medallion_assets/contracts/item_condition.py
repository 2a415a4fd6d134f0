"""A condition on one attribute of an item: `deleted_at is present`, or `status = closed`.

Belongs here: what a condition says and how it is written. Does not belong here: testing items; decode, reconciliation
and the judge of the histories each do it in their own way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_WRITTEN: Final = re.compile(r"(?P<attribute>\S.*?)\s+(?:is\s+present|=\s+(?P<value>\S.*?))\s*", re.DOTALL)
_EXPECTED: Final = "'<attribute> is present' or '<attribute> = <value>'"


@dataclass(frozen=True)
class ItemCondition:
    """A condition on one top-level attribute.

    - value None: the item has the attribute, and it is not NULL
    - another value: the attribute is this text, or a number or boolean that DynamoDB writes as this text
    """

    attribute: str
    value: str | None = None

    def __str__(self) -> str:
        return f"{self.attribute} is present" if self.value is None else f"{self.attribute} = {self.value}"


def parse_condition(written: Any) -> ItemCondition:
    """Return the condition that is written as text. Raises ValueError."""
    if isinstance(written, ItemCondition):
        return written
    match = _WRITTEN.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f"expected {_EXPECTED}, found {written!r:.80}")
    return ItemCondition(match["attribute"], match["value"])


ItemConditionText = Annotated[
    ItemCondition,
    PlainValidator(parse_condition),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "description": f"Expected {_EXPECTED}.", "examples": ["deleted_at is present"]}),
]
"""An ItemCondition as a pydantic field that is written as text."""
