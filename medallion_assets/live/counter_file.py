"""The file `live/<name>.yaml` of a domain: one counter over one table, checked against the table's contract.

Belongs here: what such a file may say, and loading all of them. Does not belong here: the counter as its consumer
needs it (counter).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, model_validator

from medallion_assets.contracts.files import counter_files
from medallion_assets.contracts.item_condition import ItemCondition, ItemConditionText
from medallion_assets.contracts.loader import Domain, parse
from medallion_assets.contracts.mistakes import Mistake, Mistakes, Place, raise_all
from medallion_assets.contracts.model import Column, Contract, Strict
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.yaml_file import YamlFile, read_yaml
from medallion_assets.errors import ContractError
from medallion_assets.live.counter import Condition, Counter, Value

_EXTREMES: Final = ("min", "max", "minimum", "maximum")
_AVERAGES: Final = ("avg", "average", "mean")
_PART_KINDS: Final = ("string", "int", "bigint", "bool", "date")
_SUM_KINDS: Final = ("int", "bigint", "decimal")
_DAY_KINDS: Final = ("date", "timestamp")
_TEXT_KINDS: Final = ("string", "int", "bigint", "bool")

# A number in DynamoDB has 38 digits, so the sum of ten billion values has to fit in them.
_MOST_DIGITS: Final = 28


class CounterFile(Strict):
    """A counter: how many items of a table each group has, and the sums of their values."""

    table: str = Field(description="The lake name of the table whose items are counted.")
    description: str = ""
    by: tuple[str, ...] = Field(
        default=(), description="The columns that make the groups; one group if not given.", max_length=8
    )
    day: str | None = Field(default=None, description="A date or timestamp column: a group for each of its UTC days.")
    sum: tuple[str, ...] = Field(
        default=(), description="The columns that are summed, beside the count of the items.", max_length=16
    )
    where: ItemConditionText | None = Field(default=None, description="Only items that pass this are counted.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        found = [
            Mistake(
                (key,),
                "a counter cannot have it: when the item with that value is deleted, nobody knows the next one "
                "without reading the table; compute it in a mart",
            )
            for key in _EXTREMES
            if key in written
        ]
        found += [
            Mistake((key,), "say the column under `sum`: readers get the sum and the number of its values")
            for key in _AVERAGES
            if key in written
        ]
        if "count" in written:
            found.append(Mistake(("count",), "leave it out: every counter counts its items"))
        raise_all(found)
        return written

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        raise_all(
            [
                Mistake((key, at), f"{name!r} stands twice")
                for key, names in (("by", self.by), ("sum", self.sum))
                for at, name in enumerate(names)
                if name in names[:at]
            ]
        )
        return self


def load_counters(domain: Domain) -> tuple[Counter, ...]:
    """Return the counters of a domain, sorted by name. Raises ContractError with the mistakes of all files."""
    paths, mistakes = counter_files(domain.folder)
    counters = []
    for path in paths:
        try:
            counters.append(_load(domain, path))
        except ContractError as wrong:
            mistakes.append(str(wrong))
    if mistakes:
        raise ContractError("\n".join(mistakes))
    return tuple(counters)


def _load(domain: Domain, path: Path) -> Counter:
    file = read_yaml(path)
    written = parse(CounterFile, file)
    try:
        identifier(path.stem)
        contract = domain.by_name.get(written.table)
        if contract is None:
            expected = ", ".join(sorted(domain.by_name))
            raise_all([Mistake(("table",), f"no table {written.table!r}; expected one of {expected}")])
            raise AssertionError
        raise_all(list(_mistakes(written, contract)))
    except Mistakes as wrong:
        raise ContractError("\n".join(file.mistake(one.place, one.text) for one in wrong.mistakes)) from wrong
    except ValueError as wrong:
        raise ContractError(_of_name(file, wrong)) from wrong
    return _counter(path.stem, written, contract)


def _of_name(file: YamlFile, wrong: ValueError) -> str:
    return f"{file.path}: the counter has the file's name; {wrong}"


def _counter(name: str, written: CounterFile, contract: Contract) -> Counter:
    columns = contract.by_name
    members = tuple(
        Condition(attribute, pattern.text, pattern.is_prefix) for attribute, pattern in (contract.where or {}).items()
    )
    return Counter(
        name=name,
        table=contract.table,
        silver=contract.lake_name,
        by=tuple(_value(columns[column]) for column in written.by),
        day=_value(columns[written.day]) if written.day else None,
        sums=tuple(_value(columns[column]) for column in written.sum),
        passes=(*members, *_conditions(written.where)),
        fails=_conditions(contract.deleted_when),
    )


def _value(column: Column) -> Value:
    return Value(column.name, column.attribute, column.type.kind, column.type.precision, column.type.scale)


def _conditions(condition: ItemCondition | None) -> tuple[Condition, ...]:
    return () if condition is None else (Condition(condition.attribute, condition.value),)


def _mistakes(written: CounterFile, contract: Contract) -> Iterator[Mistake]:
    """Yield what is wrong between a counter and the contract of its table."""
    if contract.on_expiry == "keep":
        text = (
            f"{contract.lake_name} keeps the rows of expired items (on_expiry: keep), which the stream shows as "
            "deleted; a counter would differ from it. Count another table"
        )
        yield Mistake(("table",), text)
    if contract.files is not None:
        text = f"{contract.lake_name} takes dropped files, whose rows do not come in the stream. Count another table"
        yield Mistake(("table",), text)
    for at, name in enumerate(written.by):
        yield from _of_column(contract, ("by", at), name, _PART_KINDS)
        if name == "day" and written.day is not None:
            yield Mistake(("by", at), "'day' is also the name of the counter's day; leave one of them out")
    for at, name in enumerate(written.sum):
        yield from _of_column(contract, ("sum", at), name, _SUM_KINDS)
        column = contract.by_name.get(name)
        if column is not None and column.type.kind == "decimal" and column.type.precision > _MOST_DIGITS:
            text = f"{name} is {column.type}, whose sum may need more than 38 digits; expected at most {_MOST_DIGITS}"
            yield Mistake(("sum", at), text)
    if written.day is not None:
        yield from _of_column(contract, ("day",), written.day, _DAY_KINDS)
    if written.where is not None:
        attribute = written.where.attribute
        of_attribute = [column.name for column in contract.columns.values() if column.attribute == attribute]
        if not of_attribute:
            yield Mistake(("where",), f"no column comes from the attribute {attribute!r}")
        elif len(of_attribute) > 1:
            yield Mistake(("where",), f"several columns come from the attribute {attribute!r}; expected one of its own")
        else:
            kinds = _TEXT_KINDS if written.where.value is not None else (*_TEXT_KINDS, *_SUM_KINDS, *_DAY_KINDS)
            yield from _of_column(contract, ("where",), of_attribute[0], kinds)


def _of_column(contract: Contract, place: Place, name: str, kinds: tuple[str, ...]) -> Iterator[Mistake]:
    column = contract.by_name.get(name)
    if column is None:
        copied = " (copied from another table, whose changes do not come in this stream)" * (
            name in contract.enriched_names
        )
        known = ", ".join(sorted(one.name for one in contract.by_name.values() if one.type.kind in kinds))
        yield Mistake(place, f"{contract.lake_name} has no column {name!r} of its own{copied}; expected one of {known}")
    elif column.type.kind not in kinds:
        yield Mistake(place, f"{name} is {column.type}; expected a column of type {' or '.join(kinds)}")
    elif not column.is_usual:
        text = f"{name} is read from another form ({column.reading or 'default'}); a counter reads DynamoDB's own types"
        yield Mistake(place, text)
