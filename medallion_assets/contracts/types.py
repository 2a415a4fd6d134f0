"""The types of columns: reading them from text, and the Arrow type that each is stored as.

Belongs here: types. Does not belong here: how the value of an image becomes a value of a type (silver.decode).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from medallion_assets.contracts.names import identifier, snake_case

if TYPE_CHECKING:
    import pyarrow as pa

ScalarKind = Literal["string", "bool", "int", "bigint", "decimal", "double", "date", "timestamp", "binary", "json"]
NestedKind = Literal["list", "set", "map", "struct"]

_SCALARS: tuple[ScalarKind, ...] = get_args(ScalarKind)
_EXPECTED = (
    "string, bool, int, bigint, decimal(p,s), double, date, timestamp, binary, json, list<type>, set<type>, "
    "map<type> or struct<Attribute:type,...>"
)
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)\Z", re.ASCII)
_NESTED = re.compile(r"(list|set|map|struct)<(.*)>\Z", re.DOTALL)
_MAX_PRECISION = 38
_MAX_NESTING = 32  # DynamoDB nests attributes no deeper


TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("S", "N"),
    "int": ("N",),
    "bigint": ("N",),
    "decimal": ("N",),
    "double": ("N",),
    "bool": ("BOOL",),
    "binary": ("B",),
    "date": ("S",),
    "timestamp": ("S",),
}
"""The type tags of DynamoDB values (`{"N": "7.99"}`) that a scalar column type takes, the usual one first."""


@dataclass(frozen=True)
class ColumnType:
    """One column type, nested ones with their parts.

    `element` is the type of a list's or set's members and of a map's values (a DynamoDB map's keys are strings).
    `fields` are a struct's parts as (attribute, lake name, type).
    """

    kind: ScalarKind | NestedKind
    precision: int = 0
    scale: int = 0
    element: ColumnType | None = None
    fields: tuple[tuple[str, str, ColumnType], ...] = ()

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.kind == "struct":
            return "struct<" + ",".join(f"{attribute}:{type_}" for attribute, _, type_ in self.fields) + ">"
        return self.kind if self.element is None else f"{self.kind}<{self.element}>"

    def arrow(self) -> pa.DataType:
        """Return the Arrow type that a column of this type is stored as; sets are lists, json is text."""
        import pyarrow as pa

        if self.element is not None:
            element = self.element.arrow()
            return pa.map_(pa.string(), element) if self.kind == "map" else pa.list_(element)
        if self.kind == "struct":
            return pa.struct([pa.field(name, type_.arrow()) for _, name, type_ in self.fields])
        if self.kind == "decimal":
            return pa.decimal128(self.precision, self.scale)
        return {
            "string": pa.string(),
            "bool": pa.bool_(),
            "int": pa.int32(),
            "bigint": pa.int64(),
            "double": pa.float64(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz="UTC"),
            "binary": pa.binary(),
            "json": pa.string(),
        }[self.kind]


def parse_type(text: object) -> ColumnType:
    """Return the type that a contract writes as `text`. Raises ValueError that says what was expected."""
    if isinstance(text, ColumnType):
        return text
    if text is None:
        raise ValueError(f"no type; expected {_EXPECTED}")
    if not isinstance(text, str):
        raise ValueError(f"{text!r:.80} is not a type; expected {_EXPECTED}")
    if _nesting(text) > _MAX_NESTING:
        raise ValueError(f"{text!r:.80}...: expected at most {_MAX_NESTING} nested types, as DynamoDB has")
    written = text.strip()
    for kind in _SCALARS:
        if written == kind != "decimal":
            return ColumnType(kind=kind)
    if decimal := _DECIMAL.match(written):
        precision, scale = int(decimal[1]), int(decimal[2])
        if not (1 <= precision <= _MAX_PRECISION and scale <= precision):
            raise ValueError(f"{text!r}: expected 1 <= precision <= {_MAX_PRECISION} and scale <= precision")
        return ColumnType(kind="decimal", precision=precision, scale=scale)
    if nested := _NESTED.match(written):
        return _parse_nested(nested[1], nested[2])
    raise ValueError(f"{text!r:.80} is not a type; expected {_EXPECTED}")


def _nesting(text: str) -> int:
    return max(accumulate((char == "<") - (char == ">") for char in text), default=0)


def _parse_nested(kind: str, inner: str) -> ColumnType:
    if kind == "struct":
        fields = []
        for part in _split(inner):
            attribute, colon, type_ = part.partition(":")
            if not colon:
                raise ValueError(f"struct field {part!r}: expected Attribute:type")
            fields.append((attribute.strip(), identifier(snake_case(attribute)), parse_type(type_)))
        if len({name for _, name, _ in fields}) != len(fields):
            raise ValueError(f"struct<{inner}>: two fields have one name in the lake")
        return ColumnType(kind="struct", fields=tuple(fields))
    element = parse_type(inner)
    if kind == "set":
        if element.kind not in {"string", "int", "bigint", "decimal", "double", "binary"}:
            raise ValueError(f"set<{inner}>: a DynamoDB set holds strings, numbers or binary")
        return ColumnType(kind="set", element=element)
    return ColumnType(kind="list" if kind == "list" else "map", element=element)


def _split(fields: str) -> list[str]:
    """Split `fields` at the commas that are outside brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(fields):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            parts.append(fields[start:at])
            start = at + 1
    return [*parts, fields[start:]]


def _schema_text() -> dict[str, Any]:
    return {"type": "string", "description": f"A column type: {_EXPECTED}", "examples": ["string", "decimal(12,2)"]}


TypeText = Annotated[
    ColumnType, PlainValidator(parse_type), PlainSerializer(str, return_type=str), WithJsonSchema(_schema_text())
]
"""A ColumnType as a pydantic field that is written as text."""
