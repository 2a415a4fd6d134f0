"""The workload of a domain: what the generator writes, as frozen models read from `workload.yaml`.

Belongs here: the model of the file, and checking it against the domain's contracts. Does not belong here: how values
are drawn (`generator`) or written (`writer`).
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from medallion_assets.contracts.loader import Domain, load_yaml
from medallion_assets.contracts.model import Contract, Strict
from medallion_assets.contracts.time_pattern import parse_pattern
from medallion_assets.contracts.types import ColumnType
from medallion_assets.contracts.yaml_file import Key
from medallion_assets.errors import ContractError
from medallion_assets.local.moment_text import MOMENTS

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart

Share = Annotated[Decimal, Field(ge=0, le=1)]
Weight = Annotated[Decimal, Field(ge=0)]
Scalar = bool | int | Decimal | date | str
ValueKind = Literal["text", "sequence", "choice", "number", "moment", "reference", "list", "map"]

FILE = "workload.yaml"
NEWEST = 100
_KINDS: tuple[ValueKind, ...] = ("text", "sequence", "choice", "number", "moment", "reference", "list", "map")
_NUMERIC = {"int", "bigint", "decimal", "double"}


class NumberRange(Strict):
    """Numbers from `min` to `max`, both included, with as many decimal places as the longer of the two."""

    min: Decimal
    max: Decimal

    @property
    def scale(self) -> int:
        """The number of decimal places."""
        return max(0, *(-int(bound.as_tuple().exponent) for bound in (self.min, self.max)))

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _several(written: object) -> object:
    return (written,) if isinstance(written, str) else written


def _known(moments: tuple[str, ...]) -> tuple[str, ...]:
    for how in moments:
        if how not in MOMENTS:
            try:
                parse_pattern(how)
            except ValueError as wrong:
                raise ValueError(f"{wrong}; or one of {', '.join(MOMENTS)}") from None
    return moments


class ListOf(Strict):
    """A list of `min` to `max` values; written as a set where the contract says set."""

    of: Value
    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _weights(written: object) -> object:
    """Return value -> weight. A key is text, but here it stands for a value: 10 is the number, '10' the text."""
    if isinstance(written, list | tuple):
        return dict.fromkeys(written, 1)
    if not isinstance(written, dict):
        return written
    values = [key.scalar() if isinstance(key, Key) else key for key in written]
    if len(set(values)) < len(values):
        raise ValueError("one value stands twice")
    return dict(zip(values, written.values(), strict=True))


Choice = Annotated[
    dict[Scalar, Weight],
    BeforeValidator(_weights, json_schema_input_type=list[Scalar] | dict[Scalar, Weight]),
]


class Value(Strict):
    """How one attribute gets its values: exactly one kind, and the share of items that carry it at all."""

    text: str | None = Field(
        default=None, description="A template: {n} is the item's number ({n:06} pads it), {name} a word of that list."
    )
    sequence: int | None = Field(default=None, description="The item's number, counted from this one.")
    choice: Choice | None = Field(
        default=None, description="One of these; with a mapping, as often as its weight says.", min_length=1
    )
    number: NumberRange | None = None
    moment: (
        Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_known), Field(min_length=1)] | None
    ) = Field(
        default=None,
        description="When the item was written, in UTC; items of the initial load lie in the past: date, timestamp, "
        "epoch_days, epoch_seconds, epoch_millis or a pattern such as dd.MM.yyyy; of several any one.",
    )
    reference: str | None = Field(default=None, description="The key of a row of that table (its lake name).")
    early: Share = Field(
        default=Decimal(0), description="With reference: the share that point at a row written only a little later."
    )
    list: ListOf | None = None
    map: dict[str, Value] | None = Field(default=None, min_length=1)
    as_text: bool = Field(default=False, description="Write a number, sequence or moment as text.")
    share: Share = Field(default=Decimal(1), description="The share of items that carry the attribute.")

    @property
    def kind(self) -> ValueKind:
        """Which of the eight this value is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        said = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(said) != 1:
            raise ValueError(f"a value says exactly one of {', '.join(_KINDS)}; this one says {said}")
        if self.early and self.reference is None:
            raise ValueError("early belongs to a reference")
        if self.choice is not None and not any(self.choice.values()):
            raise ValueError("choice: every weight is 0")
        if self.as_text and self.kind not in {"number", "sequence", "moment"}:
            raise ValueError(f"as_text belongs to number, sequence or moment; this value says {self.kind}")
        return self


class Initial(Strict):
    """The rows that are there before traffic starts, their moments spread evenly over the past."""

    count: Annotated[int, Field(ge=0)] = 0
    over_days: Annotated[int, Field(ge=0)] = 0


class Traffic(Strict):
    """How often each kind of write happens, relative to all others of the domain. `touch` writes what is there."""

    insert: Weight = Decimal(0)
    update: Weight = Decimal(0)
    delete: Weight = Decimal(0)
    touch: Weight = Decimal(0)


class Hot(Strict):
    """A few rows that most of the updates and references go to."""

    keys: Annotated[int, Field(ge=1)]
    share: Share


class Late(Strict):
    """The share of updates that go to rows written more than `days` ago; the others go to the hundred newest rows."""

    days: Annotated[int, Field(ge=1)]
    share: Share


class TableWorkload(Strict):
    """What is written to one table."""

    initial: Initial = Initial()
    traffic: Traffic = Traffic()
    update: tuple[str, ...] = Field(default=(), description="The attributes an update may change.")
    hot: Hot | None = None
    late: Late | None = None
    delete_sets: dict[str, Value] = Field(
        default={}, description="What a deletion sets in the item; left out, the item is deleted in DynamoDB."
    )
    item: dict[str, Value] = Field(min_length=1)


class Burst(Strict):
    """Many writes in one moment: each write starts one with this chance."""

    chance: Share
    size: Annotated[int, Field(ge=2)]


class Workload(Strict):
    """`workload.yaml`: the tables in the order of their initial load, by lake name."""

    words: dict[str, tuple[str, ...]] = Field(default={}, description="Lists of words for text templates.")
    tables: dict[str, TableWorkload] = Field(min_length=1)
    burst: Burst | None = None
    redelivered: Share = Field(
        default=Decimal(0), description="The share of captured batches that are delivered a second time."
    )


def oldest_day(domain: Domain, marts: Iterable[Mart], workload: Workload, *, today: date) -> date:
    """Return the oldest day that a partition of this workload can be of: a mart's day, or today, when capture begins.

    Never before the domain's `since`.
    """
    tables: set[str] = set()
    for mart in marts:
        if (partition := mart.spec.partition) is not None and mart.is_daily:
            upstream = mart.upstream.get(partition.table)
            tables.update([partition.table] if upstream is None else upstream.tables)
    back = [workload.tables[name].initial.over_days for name in tables & workload.tables.keys()]
    return max(domain.since, today - timedelta(days=max(back, default=0)))


def load_workload(domain: Domain) -> Workload:
    """The workload of `domain`, checked against its contracts. Raises ContractError naming file and field."""
    path = domain.folder / FILE
    if not path.exists():
        raise ContractError(
            f"{path}: no such file. It describes what `medallion demo` and `medallion generate` write. "
            "`medallion init` writes an example of it, `medallion contracts schema workload` its JSON Schema."
        )
    workload = load_yaml(Workload, path)
    mistakes = [f"{path}: {mistake}" for mistake in _mistakes(domain, workload)]
    if mistakes:
        raise ContractError("\n".join(mistakes))
    return workload


def _mistakes(domain: Domain, workload: Workload) -> Iterator[str]:
    for words in (name for name, listed in workload.words.items() if not listed):
        yield f"words.{words}: empty; expected at least one word"
    loaded: list[str] = []
    for name, table in workload.tables.items():
        contract = domain.by_name.get(name)
        if contract is None:
            yield f"tables.{name}: no such table; expected one of {', '.join(sorted(domain.by_name))}"
            continue
        yield from _Check(domain, workload, loaded).table(f"tables.{name}", contract, table)
        loaded.append(name)
    if not any(weight for table in workload.tables.values() for weight in dict(table.traffic).values()):
        yield "tables: every traffic weight is 0; expected at least one write to happen"


class _Check:
    """One table of the workload against its contract. `loaded`: the tables that are there before it."""

    def __init__(self, domain: Domain, workload: Workload, loaded: list[str]) -> None:
        self._domain = domain
        self._words = workload.words
        self._loaded = loaded

    def table(self, field: str, contract: Contract, table: TableWorkload) -> Iterator[str]:
        keys = [column.attribute for column in contract.key_columns]
        for key in keys:
            if key not in table.item:
                yield f"{field}.item.{key}: missing; every key attribute needs a value"
            elif table.item[key].share != 1:
                yield f"{field}.item.{key}.share: a key attribute is in every item"
        if not any(_counts(table.item[key]) for key in keys if key in table.item):
            yield f"{field}.item.{keys[-1]}: no key attribute counts; expected sequence, or text with {{n}}"
        if table.traffic.update and not table.update:
            yield f"{field}.update: missing; traffic.update is {table.traffic.update}, so say which attributes change"
        for attribute, value in table.delete_sets.items():
            column = contract.columns.get(attribute)
            yield from self.value(
                f"{field}.delete_sets.{attribute}",
                value,
                column.type if column is not None and column.is_usual else None,
            )
        if table.delete_sets and contract.deleted_when is None:
            yield f"{field}.delete_sets: the contract has no deleted_when, so such an item would stay in the lake"
        for attribute in table.update:
            if attribute not in table.item or attribute in keys:
                yield f"{field}.update: {attribute!r} is not an attribute of item outside the key"
        for attribute, value in table.item.items():
            column = contract.columns.get(attribute)
            # What a column with a format takes is not said by its type.
            type_ = column.type if column is not None and column.is_usual else None
            yield from self.value(f"{field}.item.{attribute}", value, type_)

    def value(self, field: str, value: Value, type_: ColumnType | None) -> Iterator[str]:
        """Mistakes of `value`; `type_` is what the contract says, None where it says nothing (or json)."""
        type_ = None if type_ is None or type_.kind == "json" else type_
        if value.text is not None:
            yield from self._text(field, value.text)
        if value.reference is not None:
            yield from self._reference(field, value.reference, type_)
        elif type_ is not None and (expected := _misfit(value, type_)):
            yield f"{field}: the contract says {type_}; {expected}"
        if value.list is not None:
            yield from self.value(f"{field}.list.of", value.list.of, type_.element if type_ else None)
        for attribute, part in (value.map or {}).items():
            parts = {name: part_type for name, _, part_type in type_.fields} if type_ else {}
            inner = (type_.element or parts.get(attribute)) if type_ else None
            yield from self.value(f"{field}.map.{attribute}", part, inner)

    def _text(self, field: str, template: str) -> Iterator[str]:
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
            known = {"n", *self._words}
            if unknown := names - known:
                yield f"{field}.text: {sorted(unknown)} unknown; expected {{n}} or a list of words: {sorted(known)}"
            else:
                template.format(n=1, **{name: words[0] for name, words in self._words.items() if words})
        except (ValueError, KeyError, IndexError) as broken:
            yield f"{field}.text: {template!r} is not a template: {broken}"

    def _reference(self, field: str, table: str, type_: ColumnType | None) -> Iterator[str]:
        target = self._domain.by_name.get(table)
        if target is None or table not in self._loaded:
            yield f"{field}.reference: {table!r} is not a table listed before this one; found {self._loaded}"
        elif len(target.key_columns) != 1:
            yield f"{field}.reference: {table} has a composite key; expected a table with a hash key only"
        elif type_ is not None and type_ != target.key_columns[0].type:
            yield f"{field}.reference: the key of {table} is {target.key_columns[0].type}, the contract says {type_}"


def _counts(value: Value) -> bool:
    return value.sequence is not None or (value.text is not None and "{n" in value.text)


def _misfit(value: Value, type_: ColumnType) -> str:
    """What the contract's type asks for instead of `value`; empty when it fits.

    A choice may break the contract on purpose: that is how a workload shows the quarantine.
    """
    moments = value.moment or ()
    fits = {
        "choice": True,
        "text": type_.kind == "string",
        "sequence": type_.kind in ({"string"} if value.as_text else _NUMERIC),
        "number": type_.kind in ({"string"} if value.as_text else _NUMERIC),
        "moment": all(
            how == type_.kind or (type_.kind == "string" and how in {"date", "timestamp"}) for how in moments
        ),
        "list": type_.kind in {"list", "set"},
        "map": type_.kind in {"map", "struct"},
    }
    if not fits[value.kind]:
        return f"{value.kind} does not write that"
    if value.number is not None and type_.kind not in {"double", "string"} and value.number.scale > type_.scale:
        return f"number has {value.number.scale} decimal places"
    if value.list is not None and type_.kind == "set" and value.list.min == 0:
        return "list.min 0 would write an empty set, which DynamoDB does not have"
    return ""
